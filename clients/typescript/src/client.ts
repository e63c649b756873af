import { inspect } from 'node:util';

import { Accounts, type AsksForAccounts, type ConnectedAccount, type ConnectionStatus } from './accounts.js';
import { type Refuses, authenticatedFetch } from './fetching.js';
import { type Fetch, Http } from './http.js';
import { type Settings, type VaultClientOptions, checked } from './options.js';
import { type Wanted, fingerprint } from './subject.js';
import type { ProviderToken } from './token.js';
import { Tokens } from './tokens.js';

export interface ConnectLink {
  /** Where the browser goes afterwards: one of the client's `redirect_uris`. Without it, vaultd's own page. */
  readonly returnTo?: string;
  readonly scopes?: readonly string[];
  readonly loginHint?: string;
}

export interface ApiAccess extends Omit<Wanted, 'insteadOf'> {
  /** The provider's API, `https://api.github.com`. Relative URLs start there; the token goes to its origin only. */
  readonly baseUrl: string;
  /** For an API that says under another status than 401 that it does not take the token, as Slack's does under 200. */
  readonly refuses?: Refuses;
}

/**
 * One vaultd, as one of its clients sees it. Make one and share it.
 *
 * ```ts
 * const vault = new VaultClient({ url, clientId, authentication: clientSecretBasic(secret) });
 * const github = vault.fetch('github', { subjectToken, baseUrl: 'https://api.github.com' });
 * const response = await github('/user');
 * ```
 */
export class VaultClient {
  readonly url: string;
  readonly clientId: string;
  readonly #settings: Settings;
  readonly #tokens: Tokens;
  readonly #accounts: Accounts;

  constructor(options: VaultClientOptions) {
    const settings = checked(options);
    const http = new Http(settings);
    const accounts = new Accounts({ settings, http });
    this.url = settings.url;
    this.clientId = settings.clientId;
    this.#settings = settings;
    this.#accounts = accounts;
    this.#tokens = new Tokens({ settings, http, onInteraction: (subject) => accounts.doubt(subject) });
  }

  /**
   * The user's token for `connection`, from memory while it lasts; callers at the same moment share one exchange.
   *
   * Rejects with `InteractionRequired` when the user must act, and with the other errors of this package.
   */
  async getAccessToken(connection: string, wanted: Wanted): Promise<ProviderToken> {
    return this.#tokens.get(connection, wanted);
  }

  /** A `fetch` that brings the token along; see `authenticatedFetch`. */
  fetch(connection: string, access: ApiAccess): Fetch {
    const source = {
      get: () => this.#tokens.get(connection, access),
      insteadOf: (refused: ProviderToken) => this.#tokens.get(connection, { ...access, insteadOf: refused }),
    };
    return authenticatedFetch(source, access, this.#settings.fetch);
  }

  /** The user's accounts, from memory. Needs the scope `read:me:connected_accounts` in the session token. */
  async accounts(asked: AsksForAccounts): Promise<readonly ConnectedAccount[]> {
    return this.#accounts.list(asked);
  }

  /** How `connection` stands: `connected` if one of its accounts is. */
  async status(connection: string, asked: AsksForAccounts): Promise<ConnectionStatus> {
    const accounts = (await this.#accounts.list(asked)).filter((account) => account.connection === connection);
    if (accounts.length === 0) return 'not_connected';
    return accounts.some(({ status }) => status === 'connected') ? 'connected' : 'reconnect_required';
  }

  /** The user comes back from connecting: look at their accounts again when they are asked for next. */
  connectionsChanged(subjectToken: string): void {
    this.#accounts.doubt(fingerprint(subjectToken));
  }

  /** Keep nothing of this session, as after signing out. */
  forget(subjectToken: string): void {
    const subject = fingerprint(subjectToken);
    this.#tokens.forget(subject);
    this.#accounts.forget(subject);
  }

  /** Where a browser goes to connect an account. */
  connectUrl(connection: string, link: ConnectLink = {}): string {
    const query = new URLSearchParams({ client_id: this.clientId });
    if (link.returnTo !== undefined) query.set('return_to', link.returnTo);
    if (link.scopes?.length) query.set('scope', link.scopes.join(' '));
    if (link.loginHint !== undefined) query.set('login_hint', link.loginHint);
    return `${this.url}/auth/connect/${encodeURIComponent(connection)}?${query}`;
  }

  [inspect.custom](): string {
    return `VaultClient ${inspect({ url: this.url, clientId: this.clientId })}`;
  }
}
