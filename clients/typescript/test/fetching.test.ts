import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { type Fetch, InteractionRequired, MistakenUse, type VaultClient } from '@vaultd/client';
import { client, json, rejection, scripted, watched, world } from './support.js';

const { tokens, github, vault } = world();

function exchanges(requests: readonly Request[]): number {
  return requests.filter(({ url }) => url === `${vault}/oauth/token`).length;
}

test('requests bring the token along, relative to the base or not', async () => {
  const network = watched();
  const api = client({ fetch: network.fetch }).fetch('github', { subjectToken: tokens.ada, baseUrl: github });
  for (const url of ['/user', `${github}/user`, new Request(`${github}/user`)]) {
    assert.equal((await api(url)).status, 200);
  }
  assert.equal(exchanges(network.requests), 1);
});

test('a token that the provider no longer takes is exchanged anew, once', async () => {
  const network = watched();
  const start = Date.now();
  // A clock that stands still keeps the token beyond its end, as a revocation at the provider does.
  const late = client({ fetch: network.fetch, now: () => start, expiryMargin: 0 });
  const api = late.fetch('github', { subjectToken: tokens.eve, baseUrl: github });
  assert.equal((await api('/user')).status, 200);
  await pause(2100);
  const answer = await api('/user');
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { login: string }).login, 'alice');
  const statuses = network.answers.map(({ status, url }) => `${new URL(url).pathname} ${status}`);
  assert.deepEqual(statuses, ['/oauth/token 200', '/user 200', '/user 401', '/oauth/token 200', '/user 200']);
});

test('a disconnected account shows as such on the next call, although its token was kept', async () => {
  const network = watched();
  const dan = client({ fetch: network.fetch });
  const api = dan.fetch('github', { subjectToken: tokens.dan, baseUrl: github });
  assert.equal((await api('/user')).status, 200);
  assert.equal(await dan.status('github', { subjectToken: tokens.dan }), 'connected');
  const [account] = await dan.accounts({ subjectToken: tokens.dan });
  const removed = await fetch(`${vault}/me/v1/connected-accounts/accounts/${account?.id}`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${tokens.dan}` },
  });
  assert.equal(removed.status, 204);
  // Revocation at the provider starts at once, and takes a moment.
  for (let tries = 0; (await fetchKept(network)) !== 401 && tries < 100; tries += 1) await pause(20);
  const needed = await rejection(InteractionRequired, api('/user'));
  assert.equal(needed.reason, 'reconnect_required');
  assert.match(needed.message, /Reconnect required/);
  assert.notEqual(await dan.status('github', { subjectToken: tokens.dan }), 'connected');
});

async function fetchKept({ requests }: { requests: readonly Request[] }): Promise<number> {
  const used = requests.find(({ url }) => url === `${github}/user`);
  assert.ok(used);
  return (await fetch(used.clone())).status;
}

/** A clock that stands still keeps the two seconds of life that renewed tokens have here. */
function keeping(fetch: Fetch): VaultClient {
  const start = Date.now();
  return client({ fetch, now: () => start, expiryMargin: 0 });
}

test('a 401 that another token does not help is the caller’s to read', async () => {
  await using api = await scripted((_, response) => json(response, 401, { message: 'Bad credentials' }));
  const network = watched();
  const get = keeping(network.fetch).fetch('github', { subjectToken: tokens.fay, baseUrl: api.url });
  const answer = await get('/user', { method: 'POST', body: 'kept' });
  assert.deepEqual([answer.status, await answer.json()], [401, { message: 'Bad credentials' }]);
  // Once with each of two tokens, and then no more.
  assert.equal(api.seen.length, 2);
  assert.equal(new Set(api.seen.map(({ headers }) => headers.authorization)).size, 2);
  assert.equal(exchanges(network.requests), 2);
});

test('vaultd is told which token the provider refused, and has it renewed before its end', async () => {
  const refused: string[] = [];
  await using api = await scripted((request, response) => {
    const sent = request.headers.authorization ?? '';
    if (refused.length === 0) refused.push(sent);
    json(response, refused.includes(sent) ? 401 : 200, {});
  });
  const network = watched();
  const told = keeping(network.fetch);
  const get = told.fetch('github', { subjectToken: tokens.fay, baseUrl: api.url });
  const answers = await Promise.all([get('/'), get('/'), get('/')]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  );
  // The three asked together, and heard together of the other one.
  const forms = await Promise.all(
    network.requests.filter(({ url }) => url === `${vault}/oauth/token`).map(async (sent) => sent.clone().formData()),
  );
  const [first] = refused;
  assert.deepEqual(
    forms.map((form) => form.get('refused_token')),
    [null, first?.replace('Bearer ', '')],
  );
  // Its own copy is gone too: what is kept is the other one.
  const kept = await told.getAccessToken('github', { subjectToken: tokens.fay });
  assert.notEqual(`Bearer ${kept.accessToken}`, first);
  assert.equal(exchanges(network.requests), 2);
});

test('a token that was replaced already costs no exchange', async () => {
  const network = watched();
  const told = keeping(network.fetch);
  const wanted = { subjectToken: tokens.gus };
  const old = await told.getAccessToken('github', wanted);
  const fresh = await told.getAccessToken('github', { ...wanted, insteadOf: old });
  assert.notEqual(fresh.accessToken, old.accessToken);
  assert.equal(await told.getAccessToken('github', { ...wanted, insteadOf: old }), fresh);
  assert.equal(exchanges(network.requests), 2);
});

test('a body is sent again with the second request', async () => {
  const bodies: string[] = [];
  await using api = await scripted((request, response) => {
    let body = '';
    request.on('data', (piece) => (body += String(piece)));
    request.on('end', () => {
      bodies.push(body);
      json(response, bodies.length === 1 ? 401 : 201, {});
    });
  });
  // Tokens of this user are exchanged for new ones each time.
  const post = client({ cachedTokens: 0 }).fetch('github', { subjectToken: tokens.eve, baseUrl: api.url });
  const answer = await post('/issues', { method: 'POST', body: '{"title":"Hello"}' });
  assert.equal(answer.status, 201);
  assert.deepEqual(bodies, ['{"title":"Hello"}', '{"title":"Hello"}']);
  const [first, second] = api.seen.map(({ headers }) => headers.authorization);
  assert.notEqual(first, second);
});

test('the token goes to no other origin', async () => {
  const network = watched();
  const api = client({ fetch: network.fetch }).fetch('github', { subjectToken: tokens.ada, baseUrl: github });
  await rejection(MistakenUse, api('https://attacker.example/user'));
  await rejection(MistakenUse, api(github.replace('127.0.0.1', 'localhost')));
  assert.equal(network.requests.length, 0);
  assert.throws(() => client().fetch('github', { subjectToken: tokens.ada, baseUrl: 'api' }), MistakenUse);
});

test('redirects are followed within the origin and handed over beyond it', async () => {
  await using elsewhere = await scripted((_, response) => json(response, 200, {}));
  await using api = await scripted((request, response) => {
    const target = { '/old': '/new', '/away': `${elsewhere.url}/user`, '/round': '/round' }[request.url ?? ''];
    if (target === undefined) json(response, 200, { path: request.url });
    else response.writeHead(302, { location: target }).end();
  });
  const get = client().fetch('github', { subjectToken: tokens.ada, baseUrl: api.url });
  assert.deepEqual(await (await get('/old')).json(), { path: '/new' });
  assert.ok(api.seen.every(({ headers }) => headers.authorization?.startsWith('Bearer ')));
  const away = await get('/away');
  assert.deepEqual([away.status, away.headers.get('location')], [302, `${elsewhere.url}/user`]);
  assert.equal(elsewhere.seen.length, 0);
  assert.equal((await get('/old', { method: 'POST', body: 'once' })).status, 302);
  assert.equal((await get('/round')).status, 302);
});

test('a caller’s own Authorization header does not stay', async () => {
  await using api = await scripted((request, response) => json(response, 200, { sent: request.headers.authorization }));
  const get = client().fetch('github', { subjectToken: tokens.ada, baseUrl: api.url });
  const answer = (await (await get('/', { headers: { authorization: 'Bearer other' } })).json()) as { sent: string };
  const { accessToken } = await client().getAccessToken('github', { subjectToken: tokens.ada });
  assert.equal(answer.sent, `Bearer ${accessToken}`);
});
