// An OAuth 2 server of another make than oidc-provider on a loopback port: @node-oauth/oauth2-server, which is OAuth
// alone, without OpenID Connect and discovery, and keeps what it grants in memory.
//
// node node-oauth.mjs '{"redirectUris": ["http://127.0.0.1:8080/auth/callback/acme"], "accessTokenTtl": 60}'
//
// Prints one line of JSON with `issuer`, `clientId` and `clientSecret` when it listens: it has `/authorize`, `/token` and
// `/userinfo` there. Ends when its standard input does. Whoever comes is ada and consents at once.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import process from 'node:process';

import OAuth2Server from '@node-oauth/oauth2-server';

const options = {
  redirectUris: [],
  clientId: 'vaultd',
  clientSecret: randomBytes(32).toString('base64url'),
  accessTokenTtl: 600,
  ...JSON.parse(process.argv[2] ?? '{}'),
};
const client = {
  id: options.clientId,
  redirectUris: options.redirectUris,
  grants: ['authorization_code', 'refresh_token'],
  accessTokenLifetime: options.accessTokenTtl,
};
const user = { id: 'u-1', login: 'ada' };
const codes = new Map();
const accessTokens = new Map();
const refreshTokens = new Map();

// Where the package wants to keep things; what it is kept for, and when it is good, the package decides.
const model = {
  getClient: async (id, secret) =>
    id === options.clientId && (secret === null || secret === options.clientSecret) ? client : null,
  saveAuthorizationCode: async (code) => {
    const saved = { ...code, client, user };
    codes.set(code.authorizationCode, saved);
    return saved;
  },
  getAuthorizationCode: async (code) => codes.get(code),
  revokeAuthorizationCode: async ({ authorizationCode }) => codes.delete(authorizationCode),
  saveToken: async (token) => {
    const saved = { ...token, client, user };
    accessTokens.set(token.accessToken, saved);
    refreshTokens.set(token.refreshToken, saved);
    return saved;
  },
  getAccessToken: async (token) => accessTokens.get(token),
  getRefreshToken: async (token) => refreshTokens.get(token),
  revokeToken: async ({ refreshToken }) => refreshTokens.delete(refreshToken),
};
const oauth = new OAuth2Server({ model });

const pages = {
  '/authorize': (request, response) => oauth.authorize(request, response, { authenticateHandler: { handle: () => user } }),
  '/token': (request, response) => oauth.token(request, response),
  '/userinfo': async (request, response) => {
    response.body = (await oauth.authenticate(request, response)).user;
  },
};

async function bodyOf(incoming) {
  const pieces = [];
  for await (const piece of incoming) pieces.push(piece);
  return Object.fromEntries(new URLSearchParams(Buffer.concat(pieces).toString()));
}

async function answer(incoming, outgoing) {
  const { pathname, searchParams } = new URL(incoming.url, 'http://127.0.0.1');
  const { headers, method } = incoming;
  const query = Object.fromEntries(searchParams);
  const request = new OAuth2Server.Request({ headers, method, query, body: await bodyOf(incoming) });
  const response = new OAuth2Server.Response({});
  try {
    await pages[pathname](request, response);
  } catch (error) {
    // The package has written its OAuth error into the response by now; what is none is a fault of this program.
    if (!(error instanceof OAuth2Server.OAuthError)) throw error;
    response.status = response.status === 200 ? error.code : response.status;
  }
  outgoing.writeHead(response.status, { 'content-type': 'application/json', ...response.headers });
  outgoing.end(JSON.stringify(response.body));
}

const server = createServer((incoming, outgoing) => {
  answer(incoming, outgoing).catch((error) => {
    console.error(error);
    outgoing.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  const { clientId, clientSecret } = options;
  console.log(JSON.stringify({ issuer: `http://127.0.0.1:${server.address().port}`, clientId, clientSecret }));
});

process.stdin.resume();
process.stdin.on('end', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
