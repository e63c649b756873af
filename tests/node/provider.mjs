// A certified OAuth 2 and OpenID server on a loopback port, as a provider that vaultd connects accounts at.
//
// node provider.mjs '{"redirectUris": ["http://127.0.0.1:8080/auth/callback/acme"], "accessTokenTtl": 60}'
//
// Prints one line of JSON with `issuer`, `clientId`, `clientSecret` and `introspector` when it listens; discovery tells
// the rest. Ends when its standard input does, so that it cannot outlive the test that started it. Any name with any
// password signs in. With `resource`, access tokens are for that API (RFC 8707), opaque all the same. `introspector` is
// a client that may ask about every token and do nothing else. `client` is more metadata of the app that it knows, such
// as `backchannel_logout_uri`; `clients` are further apps, whole. With `accessTokenFormat` "jwt" access tokens for the
// resource are signed (RFC 9068).

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import process from 'node:process';

import Provider from 'oidc-provider';

const given = JSON.parse(process.argv[2] ?? '{}');
const options = {
  redirectUris: [],
  clientId: 'vaultd',
  clientSecret: randomBytes(32).toString('base64url'),
  clientAuth: 'client_secret_basic',
  scopes: ['openid', 'offline_access', 'email', 'profile', 'api:read', 'api:write'],
  accessTokenTtl: 600,
  refreshTokenTtl: 24 * 3600,
  resource: undefined,
  accessTokenFormat: 'opaque',
  client: {},
  clients: [],
  ...given,
};
const introspector = { clientId: 'introspector', clientSecret: randomBytes(32).toString('base64url') };

function signingKeys() {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  };
  return Object.entries(pairs).map(([alg, { privateKey }]) => {
    const jwk = privateKey.export({ format: 'jwk' });
    const kid = createHash('sha256').update(jwk.n ?? jwk.x).digest('base64url').slice(0, 16);
    return { ...jwk, alg, use: 'sig', kid };
  });
}

const configuration = {
  clients: [
    {
      client_id: options.clientId,
      client_secret: options.clientSecret,
      client_name: 'vaultd under test',
      redirect_uris: options.redirectUris,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: options.clientAuth,
      ...options.client,
    },
    ...options.clients,
    {
      client_id: introspector.clientId,
      client_secret: introspector.clientSecret,
      redirect_uris: [],
      grant_types: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  scopes: options.scopes,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  // Without its own dispatcher, which calls no loopback address: whom it tells of a logout is on this machine.
  fetch: (url, { dispatcher, ...request }) => fetch(url, request),
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  jwks: { keys: signingKeys() },
  // Its default of 15 seconds would keep a token alive that long after the time its client was told.
  clockTolerance: 0,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  // Like most providers: whoever may refresh gets a refresh token, with or without `prompt=consent`.
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  ttl: {
    AccessToken: options.accessTokenTtl,
    AuthorizationCode: 60,
    Grant: options.refreshTokenTtl,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: options.refreshTokenTtl,
    Session: 3600,
  },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: options.resource !== undefined,
      defaultResource: async () => options.resource,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: options.scopes.join(' '),
        accessTokenFormat: options.accessTokenFormat,
        accessTokenTTL: options.accessTokenTtl,
      }),
    },
    revocation: { enabled: true },
    userinfo: { enabled: true },
  },
  findAccount: async (_ctx, sub) => ({
    accountId: sub,
    claims: async () => ({
      sub,
      name: sub,
      preferred_username: sub,
      email: `${sub}@example.test`,
      email_verified: true,
    }),
  }),
};

const server = createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('server_error', (_ctx, error) => console.error(error));
  provider.on('backchannel.error', (_ctx, error) => console.error(error));
  server.on('request', provider.callback());
  const { clientId, clientSecret } = options;
  // Read once here, so that a client it does not accept is an error of the start and not of a later request.
  await provider.Client.find(clientId);
  console.log(JSON.stringify({ issuer, clientId, clientSecret, introspector }));
});

process.stdin.resume();
process.stdin.on('end', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
