// A client's private key, as WebCrypto wants it: from a JWK whose `alg` says what it signs.

const ALGORITHMS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  Ed25519: { name: 'Ed25519' },
};

export async function privateKey({ alg, kid, ...jwk }) {
  const algorithm = ALGORITHMS[alg];
  if (algorithm === undefined) {
    throw new TypeError(`no such algorithm: ${alg}`);
  }
  return { key: await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']), kid };
}
