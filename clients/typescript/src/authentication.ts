import { type JsonWebKey, KeyObject, createPrivateKey, randomUUID, sign } from 'node:crypto';

import { MistakenUse } from './errors.js';

/** What a client adds to a token request to say who it is. Made anew for every attempt. */
export interface Credentials {
  readonly headers?: Readonly<Record<string, string>>;
  readonly form: Readonly<Record<string, string>>;
}

/** How a client proves who it is (RFC 6749 §2.3). Secrets lie in closures, where no inspection shows them. */
export interface ClientAuthentication {
  readonly method: 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'none';
  credentials(asked: { clientId: string; audience: string; now: number }): Credentials;
}

export function clientSecretBasic(secret: string): ClientAuthentication {
  checkSecret(secret);
  return {
    method: 'client_secret_basic',
    credentials({ clientId }) {
      const pair = Buffer.from(`${formEncoded(clientId)}:${formEncoded(secret)}`).toString('base64');
      return { headers: { authorization: `Basic ${pair}` }, form: {} };
    },
  };
}

export function clientSecretPost(secret: string): ClientAuthentication {
  checkSecret(secret);
  return {
    method: 'client_secret_post',
    credentials: ({ clientId }) => ({ form: { client_id: clientId, client_secret: secret } }),
  };
}

/** For a client that vaultd is configured to take without proof, such as one bound to its network. */
export function noAuthentication(): ClientAuthentication {
  return { method: 'none', credentials: ({ clientId }) => ({ form: { client_id: clientId } }) };
}

export type Algorithm = 'ES256' | 'ES384' | 'ES512' | 'EdDSA' | 'RS256' | 'PS256';
export interface KeyOptions {
  /** By the kind of key, unless named here: ES256, ES384, ES512, EdDSA, and RS256 for RSA. */
  readonly algorithm?: Algorithm;
  /** Which of the client's registered keys it is; a JWK may bring its own `kid`. */
  readonly keyId?: string;
}

const ASSERTION_LIFE = 60;
const HASHES: Readonly<Record<Algorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
  EdDSA: null,
  RS256: 'sha256',
  PS256: 'sha256',
};
const CURVES: Readonly<Record<string, Algorithm>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };
const PSS_PADDING = 6;

/** RFC 7523 §2.2. The key is a private JWK, a PEM text, or a `KeyObject` that may lie in an HSM-backed provider. */
export function privateKeyJwt(key: JsonWebKey | KeyObject | string, options: KeyOptions = {}): ClientAuthentication {
  const { privateKey, keyId } = imported(key);
  const alg = options.algorithm ?? algorithmOf(privateKey);
  const kid = options.keyId ?? keyId;
  const header = base64url({ alg, typ: 'JWT', ...(kid === undefined ? {} : { kid }) });
  return {
    method: 'private_key_jwt',
    credentials({ clientId, audience, now }) {
      const iat = Math.floor(now / 1000);
      const claims = { iss: clientId, sub: clientId, aud: audience, iat, exp: iat + ASSERTION_LIFE, jti: randomUUID() };
      const signed = `${header}.${base64url(claims)}`;
      return {
        form: {
          client_id: clientId,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: `${signed}.${signature(alg, signed, privateKey)}`,
        },
      };
    },
  };
}

function signature(algorithm: Algorithm, text: string, key: KeyObject): string {
  const padding = algorithm === 'PS256' ? { padding: PSS_PADDING, saltLength: 32 } : {};
  // RFC 7518 §3.4: both numbers one after the other, not in DER.
  return sign(HASHES[algorithm], Buffer.from(text), { key, dsaEncoding: 'ieee-p1363', ...padding }).toString(
    'base64url',
  );
}

function imported(key: JsonWebKey | KeyObject | string): { privateKey: KeyObject; keyId: string | undefined } {
  if (key instanceof KeyObject) return { privateKey: key, keyId: undefined };
  try {
    if (typeof key === 'string') return { privateKey: createPrivateKey(key), keyId: undefined };
    const { kid } = key;
    return {
      privateKey: createPrivateKey({ key, format: 'jwk' }),
      keyId: typeof kid === 'string' ? kid : undefined,
    };
  } catch {
    // Node's own message could quote the key.
    throw new MistakenUse('The client key is not a private key that Node.js can read.');
  }
}

function algorithmOf(key: KeyObject): Algorithm {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key;
  if (kind === 'ed25519') return 'EdDSA';
  if (kind === 'rsa') return 'RS256';
  const byCurve = kind === 'ec' ? CURVES[details?.namedCurve ?? ''] : undefined;
  if (byCurve === undefined) throw new MistakenUse('The client key is of a kind that no algorithm here signs with.');
  return byCurve;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

function checkSecret(secret: string): void {
  if (secret === '') throw new MistakenUse('The client secret is empty.');
}
