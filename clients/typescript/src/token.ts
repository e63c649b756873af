import { inspect } from 'node:util';

const REDACTED = '[redacted]';

export interface TokenFacts {
  readonly connection: string;
  readonly scopes: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** The label of the account at the provider, such as a login or an e-mail address. */
  readonly account: string | undefined;
  /** What calls to the API need beside the token, such as Salesforce's `instance_url`. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** A provider's access token. Only `accessToken` gives it away: logging or serialising the object does not. */
export class ProviderToken implements TokenFacts {
  readonly connection: string;
  readonly scopes: readonly string[];
  readonly expiresAt: number;
  readonly account: string | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly #accessToken: string;

  constructor(accessToken: string, facts: TokenFacts) {
    this.#accessToken = accessToken;
    this.connection = facts.connection;
    this.scopes = facts.scopes;
    this.expiresAt = facts.expiresAt;
    this.account = facts.account;
    this.metadata = facts.metadata;
  }

  get accessToken(): string {
    return this.#accessToken;
  }

  toJSON(): object {
    return { ...this, accessToken: REDACTED };
  }

  toString(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return `ProviderToken ${inspect(this.toJSON())}`;
  }
}
