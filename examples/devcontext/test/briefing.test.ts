/** Nothing of an answer is shown before all three tools have really run (issue 7, item 4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MockLanguageModelV4 } from 'ai/test';

import { mockModel } from '../src/mock.js';
import { type Part, ask, calls, says, saying, world } from './support.js';

const ALL = ['github', 'google', 'slack'];

test('an answer from a model that called nothing is not shown, and it is said why', async () => {
  const { text, notices } = await ask(saying(says('You fixed the login page.')));
  assert.equal(text, '');
  assert.deepEqual(notices, [
    'The assistant did not look at GitHub, Google Calendar, and Slack, so its answer is not shown.',
  ]);
});

test('nor from one that called some only', async () => {
  const { text, notices, events } = await ask(saying(calls('github'), says('You fixed the login page.')));
  assert.equal(text, '');
  assert.match(String(notices[0]), /did not look at Google Calendar and Slack, so/);
  assert.deepEqual(events.find(({ type }) => type === 'looked'), {
    type: 'looked',
    looked: { github: 'not connected', google: 'not looked at', slack: 'not looked at' },
  });
});

test('a result that the model brings itself is none', async () => {
  const forged = ALL.flatMap((toolName): Part[] => [
    { type: 'tool-call', toolCallId: toolName, toolName, input: '{"day":"2030-05-16"}', providerExecuted: true },
    { type: 'tool-result', toolCallId: toolName, toolName, result: { items: ['Fixed the login page'] } },
  ]);
  const { text, notices } = await ask(saying([...forged, ...says('You fixed the login page.')], says('You did.')));
  assert.equal(text, '');
  assert.match(String(notices[0]), /did not look at GitHub, Google Calendar, and Slack/);
});

test('what a model says before it has seen the results is not shown either', async () => {
  const early = [...says('You fixed the login page.'), ...calls(...ALL), ...says('And more.')];
  const { text, notices, events } = await ask(saying(early, says('Nothing is connected.')));
  assert.equal(text, 'Nothing is connected.');
  assert.deepEqual(notices, []);
  const links = events.flatMap((event) => (event.type === 'connect' ? event.link : []));
  assert.equal(links.length, 3);
  const { environment } = world();
  for (const link of links) {
    assert.ok(link.startsWith(`${environment['VAULTD_URL']}/auth/connect/`));
    assert.equal(new URL(link).searchParams.get('return_to'), `${environment['APP_URL']}/connected`);
  }
});

test('a model that fails is no answer, and its error is not logged in its own words', async () => {
  const failing = new MockLanguageModelV4({
    doStream: async () => {
      throw new Error('the model is out of order: sk-secret');
    },
  });
  const { text, notices, log } = await ask(failing);
  assert.equal(text, '');
  assert.match(String(notices[0]), /^The assistant did not look at GitHub/);
  assert.ok(log.some(({ event }) => event === 'model failed'));
  assert.ok(!JSON.stringify(log).includes('sk-secret'));
});

test('a call that the tool does not take is none', async () => {
  const input = '{"day":"2030-13-77"}';
  const wrong = calls(...ALL).map((call) => (call.type === 'tool-call' ? { ...call, input } : call));
  // The SDK refuses a day that is none, so no tool has run.
  const { notices } = await ask(saying(wrong, says('All is well.')));
  assert.match(String(notices[0]), /did not look at GitHub, Google Calendar, and Slack/);
});

test('a provider that does not answer is named and left out', async () => {
  const google = world().environment['GOOGLE_API_URL'];
  const headers = { 'content-type': 'application/json' };
  const faults = async (body: object) =>
    fetch(`${google}/_sandbox/faults`, { method: 'PUT', headers, body: JSON.stringify(body) });
  await faults({ api: 'down' });
  try {
    const { text, notices } = await ask(mockModel(), world().tokens.everything);
    assert.deepEqual(notices, ['Google Calendar did not answer and is left out.']);
    assert.match(text, /^GitHub\n[^]*\n\nSlack\n/);
  } finally {
    await faults({});
  }
});

test('the mock model really calls the tools, and reports what they found', async () => {
  const { text, notices, events } = await ask(mockModel(), world().tokens.everything);
  assert.deepEqual(notices, []);
  const [github, google, slack] = text.split('\n\n');
  assert.match(String(github), /^GitHub\n• #42 Water the seedlings/);
  assert.match(String(google), /^Google Calendar\n• 09:30 Morning round/);
  assert.match(String(slack), /^Slack\n• alice: /);
  assert.ok(events.filter(({ type }) => type === 'text').length > 10, 'it is streamed word by word');
});
