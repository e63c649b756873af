import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { InteractionRequired, MistakenUse, VaultRefused } from '@vaultd/client';
import { client, rejection, watched, world } from './support.js';

const { tokens, vault, github } = world();

test('a token works at the API, with its facts beside it', async () => {
  const token = await client().getAccessToken('github', { subjectToken: tokens.ada, scopes: ['repo'] });
  assert.equal(token.connection, 'github');
  // GitHub cannot narrow: the token says what it really carries.
  assert.deepEqual(token.scopes, ['read:user', 'repo']);
  assert.ok(token.account);
  assert.ok(token.expiresAt > Date.now());
  const answer = await fetch(`${github}/search/issues?q=is:pr`, {
    headers: { authorization: `Bearer ${token.accessToken}` },
  });
  assert.equal(answer.status, 200);
});

test('no token and no secret shows when things are printed or serialised', async () => {
  const speaking = client();
  const token = await speaking.getAccessToken('github', { subjectToken: tokens.ada });
  const options = { depth: 20, showHidden: true };
  const printed = [
    inspect(token, options),
    inspect({ nested: [token] }, options),
    JSON.stringify({ token }),
    `${token}`,
    inspect(speaking, options),
    JSON.stringify(speaking),
    inspect(speaking.fetch('github', { subjectToken: tokens.ada, baseUrl: github }), options),
  ].join('\n');
  assert.match(printed, /redacted/);
  assert.match(printed, /github/);
  for (const hidden of [token.accessToken, tokens.ada, world().secrets.basic]) assert.ok(!printed.includes(hidden));
});

test('what the user must do comes as an error with a link to the vault', async () => {
  const wanted = { subjectToken: tokens.cyd, scopes: ['repo'] };
  const needed = await rejection(InteractionRequired, client().getAccessToken('github', wanted));
  assert.equal(needed.reason, 'not_connected');
  assert.equal(needed.connection, 'github');
  assert.equal(needed.status, 400);
  assert.equal(needed.message, 'GitHub is not connected. Connect it to continue.');
  assert.equal(needed.connectUri, client().connectUrl('github', { scopes: ['repo'] }));
  assert.ok(needed.requestId);
  assert.ok(!inspect(needed, { depth: 20, showHidden: true }).includes(tokens.cyd));
});

test('several accounts are told apart by the hint', async () => {
  const needed = await rejection(InteractionRequired, client().getAccessToken('github', { subjectToken: tokens.bea }));
  assert.equal(needed.reason, 'account_ambiguous');
  assert.equal(needed.accounts.length, 2);
  for (const loginHint of needed.accounts) {
    const token = await client().getAccessToken('github', { subjectToken: tokens.bea, loginHint });
    assert.equal(token.account, loginHint);
  }
});

test('other refusals keep their OAuth error', async () => {
  const unknown = client().getAccessToken('nowhere', { subjectToken: tokens.ada });
  assert.equal((await rejection(VaultRefused, unknown)).error, 'invalid_target');
  const wide = client().getAccessToken('github', { subjectToken: tokens.ada, scopes: ['admin:org'] });
  assert.equal((await rejection(VaultRefused, wide)).error, 'invalid_scope');
  const forged = await rejection(VaultRefused, client().getAccessToken('github', { subjectToken: 'not.a.token' }));
  assert.deepEqual([forged.error, forged.status], ['invalid_request', 400]);
  await rejection(MistakenUse, client().getAccessToken('github', { subjectToken: '' }));
});

test('a token is kept until shortly before its end, and only in memory for its own wishes', async () => {
  const network = watched();
  let now = Date.now();
  const keeping = client({ fetch: network.fetch, now: () => now });
  const wanted = { subjectToken: tokens.ada };
  const first = await keeping.getAccessToken('github', wanted);
  assert.equal(await keeping.getAccessToken('github', wanted), first);
  assert.equal(network.requests.length, 1);
  await keeping.getAccessToken('github', { ...wanted, scopes: ['repo'] });
  assert.equal(network.requests.length, 2);
  now = first.expiresAt - 30_001;
  await keeping.getAccessToken('github', wanted);
  assert.equal(network.requests.length, 2);
  now = first.expiresAt - 29_999;
  await keeping.getAccessToken('github', wanted);
  assert.equal(network.requests.length, 3);
});

test('a scope is not taken for a hint', async () => {
  const network = watched();
  const keeping = client({ fetch: network.fetch });
  await keeping.getAccessToken('github', { subjectToken: tokens.ada, scopes: ['repo'] });
  const hinted = keeping.getAccessToken('github', { subjectToken: tokens.ada, loginHint: 'repo' });
  assert.equal((await rejection(InteractionRequired, hinted)).reason, 'not_connected');
});

test('a kept token outlives neither the session token nor signing out', async () => {
  const network = watched();
  const claims = JSON.parse(Buffer.from(tokens.ada.split('.')[1] ?? '', 'base64url').toString()) as { exp: number };
  let now = claims.exp * 1000 - 5000;
  const keeping = client({ fetch: network.fetch, now: () => now });
  const wanted = { subjectToken: tokens.ada };
  await keeping.getAccessToken('github', wanted);
  await keeping.getAccessToken('github', wanted);
  assert.equal(network.requests.length, 1);
  now += 5001;
  await keeping.getAccessToken('github', wanted);
  assert.equal(network.requests.length, 2);

  const leaving = client({ fetch: network.fetch });
  await leaving.getAccessToken('github', wanted);
  leaving.forget(tokens.ada);
  await leaving.getAccessToken('github', wanted);
  assert.equal(network.requests.length, 4);
});

test('the memory is bounded, and can be none', async () => {
  const network = watched();
  const small = client({ fetch: network.fetch, cachedTokens: 1 });
  const ask = async (scope: string) => small.getAccessToken('github', { subjectToken: tokens.ada, scopes: [scope] });
  await ask('repo');
  await ask('read:user');
  await ask('repo');
  assert.equal(network.requests.length, 3);
  const forgetful = client({ fetch: network.fetch, cachedTokens: 0 });
  await forgetful.getAccessToken('github', { subjectToken: tokens.ada });
  await forgetful.getAccessToken('github', { subjectToken: tokens.ada });
  assert.equal(network.requests.length, 5);
});

test('callers at one moment share one exchange, and one who leaves takes nothing from the others', async () => {
  const network = watched();
  const shared = client({ fetch: network.fetch, cachedTokens: 0 });
  const leaver = new AbortController();
  const impatient = shared.getAccessToken('github', { subjectToken: tokens.ada, signal: leaver.signal });
  const waiting = Array.from({ length: 20 }, async () =>
    shared.getAccessToken('github', { subjectToken: tokens.ada }),
  );
  leaver.abort(new Error('gone'));
  await assert.rejects(impatient, /gone/);
  assert.equal(new Set(await Promise.all(waiting)).size, 1);
  assert.equal(network.requests.length, 1);
  assert.equal(network.requests[0]?.url, `${vault}/oauth/token`);
});
