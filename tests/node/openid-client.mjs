// One token exchange (RFC 8693) by openid-client's generic grant request, over http on loopback.
//
// Reads and prints what exchange.mjs does.

import process from 'node:process';
import { text } from 'node:stream/consumers';

import * as client from 'openid-client';

import { privateKey } from './keys.mjs';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

async function clientAuthentication({ clientAuth = 'client_secret_basic', clientSecret, clientKey }) {
  switch (clientAuth) {
    case 'client_secret_basic':
      return client.ClientSecretBasic(clientSecret);
    case 'client_secret_post':
      return client.ClientSecretPost(clientSecret);
    case 'private_key_jwt':
      return client.PrivateKeyJwt(await privateKey(clientKey));
    case 'none':
      return client.None();
    default:
      throw new TypeError(`no such client authentication: ${clientAuth}`);
  }
}

async function exchange(request) {
  const server = await client.discovery(
    new URL(request.issuer),
    request.clientId,
    undefined,
    await clientAuthentication(request),
    { algorithm: 'oauth2', execute: [client.allowInsecureRequests] },
  );
  return client.genericGrantRequest(server, request.grantType ?? TOKEN_EXCHANGE, request.parameters);
}

function described(error) {
  const plain = { ok: false, kind: error.constructor.name, message: error.message, code: error.code };
  if (error instanceof client.ResponseBodyError) {
    const { status, error: code, error_description, cause } = error;
    return { ...plain, status, error: code, error_description, body: cause };
  }
  if (error instanceof client.WWWAuthenticateChallengeError) {
    const [{ scheme, parameters }] = error.cause;
    const { error: code, error_description } = parameters;
    return { ...plain, status: error.status, error: code, error_description, challenge: { scheme, parameters } };
  }
  return plain;
}

const request = JSON.parse(await text(process.stdin));
const outcome = await exchange(request).then((result) => ({ ok: true, result }), described);
console.log(JSON.stringify(outcome));
