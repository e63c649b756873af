/** Puts the app together and serves it. */
import { createServer } from 'node:http';
import process from 'node:process';

import { VaultClient, clientSecretBasic } from '@vaultd/client';

import { Answering } from './answering.js';
import { Briefings } from './briefing.js';
import { configFrom } from './config.js';
import { Connections } from './connections.js';
import { Cookies } from './cookies.js';
import { logTo } from './log.js';
import { modelOf } from './model.js';
import { Seal } from './seal.js';
import { listener } from './server.js';
import { Sessions } from './sessions.js';
import { SignIn } from './signin.js';
import { Store } from './store.js';
import { createTools } from './tools.js';

const config = configFrom(process.env);
const log = logTo(process.stdout);
const returnTo = new URL('/connected', config.url).href;

const vault = new VaultClient({
  url: config.vault.url,
  clientId: config.vault.clientId,
  authentication: clientSecretBasic(config.vault.clientSecret),
  // Every look at somebody's account is to be seen in the audit log: three tools, three exchanges, three events.
  cachedTokens: 0,
});
const store = new Store(config.database);
const cookies = new Cookies(config.url);
const seal = new Seal(config.cookieKey);
const sessions = new Sessions({ store, seal, cookies });
const signIn = new SignIn({ config, cookies, seal, sessions });
const connections = new Connections({ vault, returnTo, log });
const briefings = new Briefings({ vault, model: modelOf(config), tools: createTools(config), log });
const answering = new Answering({ briefings, connections, store, returnTo });

const parts = { url: config.url, vault, store, sessions, signIn, connections, answering, log };
const modelName = config.model?.name ?? 'the AI SDK’s mock model, which calls the tools and lists what they found';
const server = createServer(listener({ ...parts, modelName }, new URL('../../public/', import.meta.url)));

server.listen(Number(config.url.port) || 80, config.url.hostname, () => {
  log({ event: 'listening', url: config.url.href, model: config.model?.name ?? 'mock' });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
