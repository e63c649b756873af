export type { AsksForAccounts, ConnectedAccount, ConnectionStatus } from './accounts.js';
export {
  type Algorithm,
  type ClientAuthentication,
  type Credentials,
  type KeyOptions,
  clientSecretBasic,
  clientSecretPost,
  noAuthentication,
  privateKeyJwt,
} from './authentication.js';
export { type ApiAccess, type ConnectLink, VaultClient } from './client.js';
export {
  InteractionRequired,
  MistakenUse,
  type Reason,
  TryLater,
  UnexpectedAnswer,
  VaultError,
  VaultRefused,
  VaultUnreachable,
} from './errors.js';
export type { Refuses } from './fetching.js';
export type { Fetch } from './http.js';
export type { VaultClientOptions } from './options.js';
export type { Subject, TokenType, Wanted } from './subject.js';
export { ProviderToken, type TokenFacts } from './token.js';
