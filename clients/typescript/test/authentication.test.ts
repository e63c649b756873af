import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import {
  MistakenUse,
  VaultRefused,
  clientSecretBasic,
  clientSecretPost,
  noAuthentication,
  privateKeyJwt,
} from '@vaultd/client';
import { client, rejection, watched, world } from './support.js';

const { tokens, secrets, keys } = world();
const wanted = { subjectToken: tokens.ada };

test('a secret in the Authorization header, and a wrong one', async () => {
  await client({ authentication: clientSecretBasic(secrets.basic) }).getAccessToken('github', wanted);
  const wrong = client({ authentication: clientSecretBasic(`${secrets.basic}x`) });
  const refused = await rejection(VaultRefused, wrong.getAccessToken('github', wanted));
  assert.deepEqual([refused.error, refused.status], ['invalid_client', 401]);
});

test('RFC 6749 §2.3.1: both halves of the header are form-encoded', () => {
  const { headers } = clientSecretBasic('s3cret/+ %ü').credentials({ clientId: 'a:b', audience: '', now: 0 });
  const pair = Buffer.from(String(headers?.['authorization']).slice('Basic '.length), 'base64').toString();
  assert.equal(pair, 'a%3Ab:s3cret%2F%2B+%25%C3%BC');
});

test('a secret in the form', async () => {
  const posting = client({ clientId: 'ts-post', authentication: clientSecretPost(secrets.post) });
  assert.ok((await posting.getAccessToken('github', wanted)).accessToken);
});

test('no authentication', async () => {
  const open = client({ clientId: 'ts-none', authentication: noAuthentication() });
  assert.ok((await open.getAccessToken('github', wanted)).accessToken);
});

for (const [algorithm, jwk] of Object.entries(keys)) {
  test(`an assertion signed with ${algorithm}, never the same twice`, async () => {
    const network = watched();
    const authentication = privateKeyJwt(jwk);
    const signing = client({ clientId: 'ts-key', authentication, fetch: network.fetch, cachedTokens: 0 });
    await signing.getAccessToken('github', wanted);
    await signing.getAccessToken('github', wanted);
    assert.equal(network.requests.length, 2);
  });
}

test('RSASSA-PSS, and a key as PEM or as an object', async () => {
  const key = createPrivateKey({ key: keys.RS256, format: 'jwk' });
  const keyId = keys.RS256['kid'] ?? '';
  for (const given of [key, key.export({ type: 'pkcs8', format: 'pem' }).toString()]) {
    const authentication = privateKeyJwt(given, { algorithm: 'PS256', keyId });
    assert.ok(await client({ clientId: 'ts-key', authentication }).getAccessToken('github', wanted));
  }
});

test('mistakes are told without the secret', () => {
  assert.throws(() => clientSecretBasic(''), MistakenUse);
  assert.throws(() => clientSecretPost(''), MistakenUse);
  assert.throws(
    () => privateKeyJwt('-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----'),
    (error) => error instanceof MistakenUse && !inspect(error).includes('c2VjcmV0'),
  );
  assert.ok(!inspect(privateKeyJwt(keys.ES256), { depth: 9, showHidden: true }).includes(keys.ES256['d'] ?? ''));
  for (const url of ['http://v.example.com', 'vault', 'https://u:p@v.example.com', 'https://v.example.com/?a']) {
    assert.throws(() => client({ url }), MistakenUse);
  }
});
