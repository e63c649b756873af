/** A vault that is busy, down, or not what it should be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { TryLater, UnexpectedAnswer, VaultUnreachable, clientSecretBasic } from '@vaultd/client';
import { client, json, rejection, scripted, watched, world } from './support.js';

const { tokens, secrets, github } = world();
const wanted = { subjectToken: tokens.ada };
const token = { access_token: 'gho_made_up', token_type: 'Bearer', expires_in: 300, scope: 'repo' };

test('a 429 is waited out as long as it says, and given when nobody wants to wait', async () => {
  const network = watched();
  const slow = { clientId: 'ts-slow', authentication: clientSecretBasic(secrets.slow), cachedTokens: 0 };
  const patient = client({ ...slow, fetch: network.fetch });
  await patient.getAccessToken('github', wanted);
  const started = performance.now();
  await patient.getAccessToken('github', wanted);
  assert.deepEqual(
    network.answers.map(({ status }) => status),
    [200, 429, 200],
  );
  assert.ok(performance.now() - started >= 990);
  const error = await rejection(TryLater, client({ ...slow, retries: 0 }).getAccessToken('github', wanted));
  assert.deepEqual([error.error, error.status, error.retryAfter], ['slow_down', 429, 1]);
});

test('a provider that is down is tried again, then told', async () => {
  const network = watched();
  await faults({ token: 'down' });
  try {
    const eve = { subjectToken: tokens.eve };
    const tried = client({ fetch: network.fetch, retries: 1, maxRetryAfter: 60 });
    const error = await rejection(TryLater, tried.getAccessToken('github', eve));
    assert.deepEqual([error.error, error.status], ['temporarily_unavailable', 503]);
    assert.ok(error.retryAfter >= 1);
    assert.equal(network.requests.length, 2);
  } finally {
    await faults({});
  }
});

async function faults(switches: Record<string, string>): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await fetch(`${github}/_sandbox/faults`, { method: 'PUT', headers, body: JSON.stringify(switches) });
}

test('nobody waits for longer than the bound, or on an error that names no time', async () => {
  const headers: Record<string, string>[] = [{ 'retry-after': '3600' }, {}, { 'retry-after': 'soon' }];
  await using vault = await scripted((_, response) =>
    json(response, 503, { error: 'temporarily_unavailable' }, headers[vault.seen.length - 1]),
  );
  for (const seconds of [3600, 1, 1]) {
    const error = await rejection(TryLater, client({ url: vault.url }).getAccessToken('github', wanted));
    assert.equal(error.retryAfter, seconds);
  }
  assert.equal(vault.seen.length, 3);
});

test('each attempt is a request of its own', async () => {
  await using vault = await scripted((_, response) => {
    if (vault.seen.length < 3) json(response, 503, { error: 'temporarily_unavailable' }, { 'retry-after': '0' });
    else json(response, 200, token);
  });
  const got = await client({ url: vault.url }).getAccessToken('github', wanted);
  assert.equal(got.accessToken, 'gho_made_up');
  assert.equal(vault.seen.length, 3);
});

test('a server error is not tried again', async () => {
  await using vault = await scripted((_, response) => json(response, 500, { error: 'server_error' }));
  await assert.rejects(client({ url: vault.url }).getAccessToken('github', wanted), { error: 'server_error' });
  assert.equal(vault.seen.length, 1);
});

test('redirects are not followed: they would carry the secret along', async () => {
  await using thief = await scripted((_, response) => json(response, 200, token));
  for (const status of [301, 302, 303, 307, 308]) {
    await using vault = await scripted((_, response) => response.writeHead(status, { location: thief.url }).end());
    await rejection(UnexpectedAnswer, client({ url: vault.url }).getAccessToken('github', wanted));
    await rejection(UnexpectedAnswer, client({ url: vault.url }).accounts(wanted));
  }
  assert.equal(thief.seen.length, 0);
});

test('a vault that hangs, in its head or in its body, and one that is not there', async () => {
  await using silent = await scripted(() => undefined);
  await using halting = await scripted((_, response) => response.writeHead(200).write('{"access'));
  for (const { url } of [silent, halting]) {
    const error = await rejection(VaultUnreachable, client({ url, timeout: 80 }).getAccessToken('github', wanted));
    assert.match(error.message, /within 80 ms/);
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(tokens.ada));
  }
  const gone = await scripted(() => undefined);
  await gone[Symbol.asyncDispose]();
  await rejection(VaultUnreachable, client({ url: gone.url }).getAccessToken('github', wanted));
});

test('answers that no vault gives', async () => {
  const answers: [number, string][] = [
    [200, 'gho_naked'],
    [200, '["gho_naked"]'],
    [200, '{}'],
    [200, JSON.stringify({ ...token, token_type: 'DPoP' })],
    [200, JSON.stringify({ ...token, pad: 'x'.repeat(300_000) })],
    [400, '{"detail":"Not Found"}'],
    [502, '<html>Bad gateway gho_naked</html>'],
    [400, JSON.stringify({ error: 'interaction_required', connect_uri: 'https://attacker.example/connect' })],
  ];
  for (const [status, body] of answers) {
    await using vault = await scripted((_, response) => response.writeHead(status).end(body));
    const error = await rejection(UnexpectedAnswer, client({ url: vault.url }).getAccessToken('github', wanted));
    assert.equal(error.status, status);
    assert.ok(!inspect(error).includes('gho_naked'));
  }
});
