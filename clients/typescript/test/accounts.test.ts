import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InteractionRequired, VaultRefused } from '@vaultd/client';
import { client, json, rejection, scripted, watched, world } from './support.js';

const { tokens, vault, returnTo } = world();

test('the status is asked for once and looked at again after a reconnect error, by ETag', async () => {
  const network = watched();
  const looking = client({ fetch: network.fetch });
  const asked = { subjectToken: tokens.cyd };
  const statuses = () => network.answers.filter(({ url }) => url.includes('/accounts')).map(({ status }) => status);

  const together = await Promise.all([looking.status('github', asked), looking.accounts(asked)]);
  assert.deepEqual(together, ['not_connected', []]);
  assert.equal(await looking.status('github', asked), 'not_connected');
  assert.deepEqual(statuses(), [200]);

  await rejection(InteractionRequired, looking.getAccessToken('github', asked));
  assert.equal(await looking.status('github', asked), 'not_connected');
  assert.equal(await looking.status('github', asked), 'not_connected');
  assert.deepEqual(statuses(), [200, 304]);

  looking.connectionsChanged(tokens.cyd);
  await looking.accounts(asked);
  assert.deepEqual(statuses(), [200, 304, 304]);

  looking.forget(tokens.cyd);
  await looking.accounts(asked);
  assert.deepEqual(statuses(), [200, 304, 304, 200]);
});

test('accounts come with their labels', async () => {
  const accounts = await client().accounts({ subjectToken: tokens.bea });
  assert.deepEqual(
    accounts.map(({ connection, status }) => [connection, status]),
    [
      ['github', 'connected'],
      ['github', 'connected'],
    ],
  );
  assert.equal(new Set(accounts.map(({ account }) => account)).size, 2);
  assert.equal(await client().status('github', { subjectToken: tokens.bea }), 'connected');
});

test('all who ask at one moment are told the same, by one request', async () => {
  const network = watched();
  const looking = client({ fetch: network.fetch });
  const asked = { subjectToken: tokens.ada };
  const all = async () => Promise.all(Array.from({ length: 3 }, async () => looking.status('github', asked)));
  assert.deepEqual(await all(), ['connected', 'connected', 'connected']);
  assert.equal(network.requests.length, 1);
  looking.connectionsChanged(tokens.ada);
  const early = looking.status('github', asked);
  looking.connectionsChanged(tokens.ada);
  // What was under way may have been answered before the second change.
  assert.deepEqual(await all(), ['connected', 'connected', 'connected']);
  await early;
  assert.equal(network.requests.length, 3);
});

test('a list of several pages is one list, each page by its own ETag', async () => {
  const page = (id: number) => ({ accounts: [{ id: `a${id}`, connection: 'github', status: 'connected' }] });
  await using vault = await scripted((request, response) => {
    const from = Number(new URL(request.url ?? '', 'http://x').searchParams.get('from') ?? 1);
    const etag = `"${from}"`;
    if (request.headers['if-none-match'] === etag && from !== 2) response.writeHead(304, { etag }).end();
    else json(response, 200, { ...page(from), ...(from < 3 ? { next: String(from + 1) } : {}) }, { etag });
  });
  const looking = client({ url: vault.url });
  const ids = async () => (await looking.accounts({ subjectToken: tokens.ada })).map(({ id }) => id);
  assert.deepEqual(await ids(), ['a1', 'a2', 'a3']);
  looking.connectionsChanged(tokens.ada);
  assert.deepEqual(await ids(), ['a1', 'a2', 'a3']);
  assert.equal(vault.seen.length, 6);
  assert.ok(vault.seen.slice(3).every(({ headers }) => headers['if-none-match'] !== undefined));
});

test('a refused look is an error, and is not remembered', async () => {
  const network = watched();
  const looking = client({ fetch: network.fetch });
  const refused = await rejection(VaultRefused, looking.accounts({ subjectToken: 'not.a.token' }));
  assert.equal(refused.status, 401);
  await rejection(VaultRefused, looking.accounts({ subjectToken: 'not.a.token' }));
  assert.equal(network.requests.length, 2);
});

test('the link to connect names the app, the way back and the wish', () => {
  const link = new URL(client().connectUrl('github', { returnTo, scopes: ['repo', 'read:user'], loginHint: 'alice' }));
  assert.equal(link.origin + link.pathname, `${vault}/auth/connect/github`);
  assert.deepEqual(Object.fromEntries(link.searchParams), {
    client_id: 'ts-basic',
    return_to: returnTo,
    scope: 'repo read:user',
    login_hint: 'alice',
  });
  assert.equal(new URL(client().connectUrl('a/b')).pathname, '/auth/connect/a%2Fb');
});

test('the vault takes that link', async () => {
  const answer = await fetch(client().connectUrl('github', { returnTo }), { redirect: 'manual' });
  assert.equal(answer.status, 303);
  assert.match(answer.headers.get('location') ?? '', /\/auth\/login\?/);
  const elsewhere = client().connectUrl('github', { returnTo: 'https://attacker.example/' });
  assert.equal((await fetch(elsewhere, { redirect: 'manual' })).status, 400);
});
