// npm `oidc-provider` on a loopback port: hands out opaque tokens of the client credentials grant, kept in memory.
//
// NODE_ENV=production node issuer.mjs PORT CLIENT_ID CLIENT_SECRET

import { createServer } from 'node:http';
import process from 'node:process';

// The version that the tests of vaultd have locked and installed.
const { default: Provider } = await import('../../tests/node/node_modules/oidc-provider/lib/index.js');

const [port, clientId, clientSecret] = process.argv.slice(2);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  ttl: { ClientCredentials: 600 },
});
provider.on('server_error', (_ctx, error) => console.error(error));

const server = createServer(provider.callback());
server.listen(Number(port), '127.0.0.1');
