// One token exchange (RFC 8693) by oauth4webapi's generic token endpoint request, over http on loopback.
//
// Reads one JSON object from standard input, so that no secret stands in a process list:
//   issuer, clientId, clientAuth ("client_secret_basic", the default, "client_secret_post", "private_key_jwt" or
//   "none"), clientSecret, clientKey (a private JWK with `alg`), parameters (what the request carries beside
//   grant_type), grantType (default: the token exchange's), discovery ("oauth2", the default, or "oidc": which of the
//   two metadata documents is read), dpopKey (a private JWK on P-256: the request then carries a proof of it, RFC 9449).
// Prints one JSON object: {ok: true, result} or {ok: false, kind, message, status, error, error_description, body}.

import process from 'node:process';
import { text } from 'node:stream/consumers';

import * as oauth from 'oauth4webapi';

import { privateKey } from './keys.mjs';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const insecure = { [oauth.allowInsecureRequests]: true };

async function clientAuthentication({ clientAuth = 'client_secret_basic', clientSecret, clientKey }) {
  switch (clientAuth) {
    case 'client_secret_basic':
      return oauth.ClientSecretBasic(clientSecret);
    case 'client_secret_post':
      return oauth.ClientSecretPost(clientSecret);
    case 'private_key_jwt':
      return oauth.PrivateKeyJwt(await privateKey(clientKey));
    case 'none':
      return oauth.None();
    default:
      throw new TypeError(`no such client authentication: ${clientAuth}`);
  }
}

async function proofs(client, dpopKey) {
  if (dpopKey === undefined) return {};
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const { d, ...publicJwk } = dpopKey;
  const privateKey = await crypto.subtle.importKey('jwk', { ...publicJwk, d }, algorithm, false, ['sign']);
  const publicKey = await crypto.subtle.importKey('jwk', publicJwk, algorithm, true, ['verify']);
  return { DPoP: oauth.DPoP(client, { privateKey, publicKey }) };
}

async function exchange(request) {
  const issuer = new URL(request.issuer);
  // RFC 8414: the client reads where the token endpoint is, and checks whose metadata it read.
  const metadata = await oauth.discoveryRequest(issuer, { algorithm: request.discovery ?? 'oauth2', ...insecure });
  const server = await oauth.processDiscoveryResponse(issuer, metadata);
  const client = { client_id: request.clientId };
  const response = await oauth.genericTokenEndpointRequest(
    server,
    client,
    await clientAuthentication(request),
    request.grantType ?? TOKEN_EXCHANGE,
    new URLSearchParams(request.parameters),
    { ...insecure, ...(await proofs(client, request.dpopKey)) },
  );
  return oauth.processGenericTokenEndpointResponse(server, client, response);
}

function described(error) {
  const plain = { ok: false, kind: error.constructor.name, message: error.message, code: error.code };
  if (error instanceof oauth.ResponseBodyError) {
    const { status, error: code, error_description, cause } = error;
    return { ...plain, status, error: code, error_description, body: cause };
  }
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    const [{ scheme, parameters }] = error.cause;
    const { error: code, error_description } = parameters;
    return { ...plain, status: error.status, error: code, error_description, challenge: { scheme, parameters } };
  }
  return plain;
}

const request = JSON.parse(await text(process.stdin));
const outcome = await exchange(request).then((result) => ({ ok: true, result }), described);
console.log(JSON.stringify(outcome));
