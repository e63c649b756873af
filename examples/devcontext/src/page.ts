import { QUESTION } from './briefing.js';
import type { Connection } from './connections.js';
import type { SavedBriefing } from './store.js';
import { TITLES, TOPICS, type Topic } from './topics.js';

/** Text that was escaped, or written here. */
class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export interface View {
  readonly name: string;
  readonly connections: readonly Connection[];
  readonly vaultPage: string;
  readonly briefing: SavedBriefing | undefined;
  readonly linkOf: (topic: Topic) => string;
  readonly notice: string | undefined;
  readonly model: string;
}

export function signedOutPage(notice: string | undefined): string {
  return document(html`
    <header><p class="brand">DevContext</p></header>
    <main class="welcome">
      ${noticed(notice)}
      <h1>What did I work on yesterday?</h1>
      <p>DevContext reads your pull requests, your calendar and your team’s messages, and tells you. It keeps none of
      your passwords or tokens: those stay in your vault.</p>
      <p><a class="button primary" href="/auth/sign-in">Sign in</a></p>
    </main>`);
}

export function page(view: View): string {
  return document(html`
    <header>
      <p class="brand">DevContext</p>
      <form method="post" action="/sign-out"><span>${view.name}</span><button class="plain">Sign out</button></form>
    </header>
    <main>
      ${noticed(view.notice)}
      <section class="ask" aria-labelledby="ask-title">
        <h1 id="ask-title">Good morning, ${view.name}</h1>
        <form id="ask" method="post" action="/ask">
          <label for="question">Your question</label>
          <div class="row">
            <input id="question" name="question" value="${QUESTION}" maxlength="500" required autocomplete="off">
            <button class="primary">Ask</button>
          </div>
        </form>
      </section>
      <section id="briefing" class="card" aria-labelledby="briefing-title" ${view.briefing ? html`` : html`hidden`}>
        <h2 id="briefing-title">Your briefing</h2>
        <ul id="looked" class="looked" aria-label="What was looked at">${looked(view.briefing?.looked)}</ul>
        <p id="progress" role="status" class="quiet"></p>
        <div id="answer" class="answer">${view.briefing?.text ?? ''}</div>
        <div id="notes">${notes(view)}</div>
      </section>
      <section aria-labelledby="connections-title">
        <h2 id="connections-title">Where it looks</h2>
        <ul id="connections" class="connections">${view.connections.map(connection)}</ul>
        <p class="quiet">What is connected, and what was done with it, stands in
        <a href="${view.vaultPage}">your vault</a>. You can take back anything there.</p>
      </section>
    </main>
    <footer class="quiet">Answers by ${view.model}.</footer>
    <script src="/app.js" type="module"></script>`);
}

function looked(words: SavedBriefing['looked'] | undefined): Html[] {
  if (words === undefined) return [];
  return TOPICS.map((topic) => html`<li>${TITLES[topic]}: ${words[topic]}</li>`);
}

function notes({ briefing, linkOf }: View): Html[] {
  if (briefing === undefined) return [];
  return [
    ...briefing.notices.map((sentence) => html`<p class="notice">${sentence}</p>`),
    ...briefing.toConnect.map(
      ({ topic, sentence }) =>
        html`<p class="notice">${sentence} <a href="${linkOf(topic)}">Connect ${TITLES[topic]}</a></p>`,
    ),
  ];
}

function connection({ topic, title, status, words, act, link }: Connection): Html {
  const way = act ? html`<a class="button" href="${link}">${act}<span class="unseen"> ${title}</span></a>` : html``;
  return html`<li data-topic="${topic}"><span class="name">${title}</span>
    <span class="status ${status}">${words}</span>${way}</li>`;
}

function noticed(notice: string | undefined): Html {
  return notice === undefined ? html`` : html`<p role="status" class="notice">${notice}</p>`;
}

function document(body: Html): string {
  return html`<!doctype html>
    <html lang="en">
    <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>DevContext</title>
      <link rel="stylesheet" href="/app.css">
      <link rel="icon" href="data:,">
    </head>
    <body>${body}</body>
    </html>`.text;
}

type Value = Html | string | readonly Html[];

/** Every value is escaped, unless it was made by this function. */
function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  const texts = values.map((value) => (Array.isArray(value) ? value.map(({ text }) => text).join('') : textOf(value)));
  return new Html(String.raw({ raw: pieces }, ...texts));
}

function textOf(value: Value): string {
  return value instanceof Html ? value.text : String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
