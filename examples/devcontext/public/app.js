// Asks without leaving the page, and shows the answer as it comes. Everything is set as text, never as HTML.

const form = document.getElementById('ask');
const part = (id) => document.getElementById(id);

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  for (const id of ['looked', 'answer', 'notes']) part(id).replaceChildren();
  part('briefing').hidden = false;
  part('progress').textContent = 'Looking …';
  try {
    await ask(new URLSearchParams(new FormData(form)));
    part('progress').textContent = '';
  } catch {
    part('progress').textContent = 'The answer broke off. Please ask again.';
  } finally {
    button.disabled = false;
  }
});

async function ask(body) {
  const headers = { accept: 'application/x-ndjson' };
  const answer = await fetch(form.action, { method: 'POST', headers, body });
  if (answer.status === 401) return location.assign('/');
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  let rest = '';
  let ended = false;
  for await (const piece of pieces(answer.body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    for (const line of lines) ended = show(JSON.parse(line)) || ended;
  }
  if (!ended) throw new Error('the stream ended early');
}

async function* pieces(stream) {
  const reader = stream.getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) yield step.value;
}

function show(event) {
  switch (event.type) {
    case 'looked':
      part('looked').replaceChildren(...event.looked.map((text) => element('li', text)));
      break;
    case 'text':
      part('progress').textContent = 'Writing …';
      part('answer').append(event.text);
      break;
    case 'notice':
      note(event.sentence);
      break;
    case 'connect':
      note(`${event.sentence} `, link(event.link, event.label));
      break;
    case 'connections':
      for (const one of event.connections) status(one);
      break;
    case 'end':
      return true;
  }
  return false;
}

function note(...contents) {
  const paragraph = element('p');
  paragraph.className = 'notice';
  paragraph.append(...contents);
  part('notes').append(paragraph);
}

function status({ topic, title, status, words, act, link: target }) {
  const row = document.querySelector(`#connections [data-topic="${topic}"]`);
  const state = element('span', words);
  state.className = `status ${status}`;
  row.replaceChildren(Object.assign(element('span', title), { className: 'name' }), ' ', state);
  if (act !== undefined) {
    const unseen = Object.assign(element('span', ` ${title}`), { className: 'unseen' });
    const way = Object.assign(link(target, act), { className: 'button' });
    way.append(unseen);
    row.append(way);
  }
}

function link(target, text) {
  return Object.assign(element('a', text), { href: target });
}

function element(name, text = '') {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
