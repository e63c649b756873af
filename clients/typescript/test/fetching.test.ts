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

/** Three pieces of a kind, and no more until `go` is called. */
function streamed(piece: string, go: Promise<void> = Promise.resolve()): ReadableStream<Uint8Array> {
  let left = 3;
  return new ReadableStream({
    async pull(controller) {
      if (left === 0) await go;
      if (left === 0) controller.close();
      else controller.enqueue(Buffer.from(piece));
      left -= 1;
    },
  });
}

test('a long body, and one that still comes, is sent once, and vaultd is told all the same', async () => {
  let refused = '';
  const lengths: number[] = [];
  await using api = await scripted((request, response) => {
    const sent = request.headers.authorization ?? '';
    refused ||= sent;
    let length = 0;
    request.on('data', (piece: Buffer) => (length += piece.length));
    // The second is refused before its end.
    if (request.url === '/still') json(response, sent === refused ? 401 : 200, {});
    request.on('end', () => {
      lengths.push(length);
      if (request.url !== '/still') json(response, sent === refused ? 401 : 200, {});
    });
  });
  let go = () => {};
  const later = new Promise<void>((resolve) => (go = resolve));
  const bodies: [string, ReadableStream<Uint8Array> | string][] = [
    ['/long', streamed('x'.repeat(1024 * 1024))],
    ['/text', 'x'.repeat(1024 * 1024 + 1)],
    ['/still', streamed('x', later)],
  ];
  for (const [path, body] of bodies) {
    refused = '';
    let asked = 0;
    const counting: Fetch = (input, init) => {
      asked += (input instanceof Request ? input.url : String(input)) === `${vault}/oauth/token` ? 1 : 0;
      return globalThis.fetch(input, init);
    };
    const own = client({ fetch: counting, cachedTokens: 0 });
    const post = own.fetch('github', { subjectToken: tokens.eve, baseUrl: api.url });
    const before = api.seen.length;
    const answer = await post(path, { method: 'POST', body, duplex: 'half' } as RequestInit);
    await answer.body?.cancel();
    assert.deepEqual([answer.status, api.seen.length - before, asked], [401, 1, 2], path);
  }
  go();
  assert.deepEqual(lengths.slice(0, 2), [3 * 1024 * 1024, 1024 * 1024 + 1]);
});

test('a short body that was a stream or a Request’s is sent again whole', async () => {
  const seen: string[] = [];
  await using api = await scripted((request, response) => {
    let body = '';
    request.on('data', (piece) => (body += String(piece)));
    request.on('end', () => {
      seen.push(`${request.headers['content-type']} ${body}`);
      json(response, seen.length % 2 === 1 ? 401 : 200, {});
    });
  });
  const post = client({ cachedTokens: 0 }).fetch('github', { subjectToken: tokens.eve, baseUrl: api.url });
  const headers = { 'content-type': 'text/x' };
  const stream = { method: 'POST', headers, body: streamed('ab'), duplex: 'half' } as RequestInit;
  assert.equal((await post('/', stream)).status, 200);
  assert.equal((await post(new Request(api.url, { method: 'PUT', headers, body: 'whole' }))).status, 200);
  assert.equal((await post('/', { method: 'POST', body: new URLSearchParams({ a: 'b' }) })).status, 200);
  const form = 'application/x-www-form-urlencoded;charset=UTF-8 a=b';
  assert.deepEqual(seen, ['text/x ababab', 'text/x ababab', 'text/x whole', 'text/x whole', form, form]);
});

test('an API may say in its own way that it does not take the token', async () => {
  const refused: string[] = [];
  await using api = await scripted((request, response) => {
    const sent = request.headers.authorization ?? '';
    if (refused.length === 0) refused.push(sent);
    const error = request.url === '/other' ? 'channel_not_found' : 'token_revoked';
    json(response, 200, refused.includes(sent) ? { ok: false, error } : { ok: true });
  });
  const network = watched();
  const access = { subjectToken: tokens.gus, baseUrl: api.url };
  const get = keeping(network.fetch).fetch('github', {
    ...access,
    refuses: async (answer) => ((await answer.json()) as { error?: string }).error === 'token_revoked',
  });
  // Not about the token, and the caller's to read.
  assert.deepEqual(await (await get('/other')).json(), { ok: false, error: 'channel_not_found' });
  assert.equal(exchanges(network.requests), 1);
  assert.deepEqual(await (await get('/')).json(), { ok: true });
  assert.deepEqual([api.seen.length, exchanges(network.requests)], [3, 2]);
  // Without that, status 200 is good news.
  refused.length = 0;
  const plain = keeping(network.fetch).fetch('github', access);
  assert.deepEqual(await (await plain('/')).json(), { ok: false, error: 'token_revoked' });
  assert.equal(exchanges(network.requests), 3);
});

test('who looks at the answer need not read it, and may fail', async () => {
  await using api = await scripted((_, response) => json(response, 200, { long: 'x'.repeat(100_000) }));
  const access = { subjectToken: tokens.ada, baseUrl: api.url };
  const get = client().fetch('github', { ...access, refuses: () => false });
  assert.equal(((await (await get('/')).json()) as { long: string }).long.length, 100_000);
  const failing = client().fetch('github', {
    ...access,
    refuses: () => {
      throw new RangeError('not what was expected');
    },
  });
  await rejection(RangeError, failing('/'));
});
