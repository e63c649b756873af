import type { ClientAuthentication } from './authentication.js';
import { MistakenUse } from './errors.js';
import type { Fetch } from './http.js';

export interface VaultClientOptions {
  /** vaultd's public URL, which is also its issuer identifier. Plain http is for a loopback host only. */
  readonly url: string;
  readonly clientId: string;
  readonly authentication: ClientAuthentication;
  /** Milliseconds that one request may take. */
  readonly timeout?: number;
  /** How often a 429 or 503 with `Retry-After` is tried again. */
  readonly retries?: number;
  /** Seconds of `Retry-After` beyond which nobody waits: the error is given at once. */
  readonly maxRetryAfter?: number;
  /** How many tokens are kept in memory; 0 keeps none, so that every use is an exchange of its own. */
  readonly cachedTokens?: number;
  /** Seconds before its end from which on a token is no longer given out. */
  readonly expiryMargin?: number;
  /** Replaces the network, for a proxy or a trace. */
  readonly fetch?: Fetch;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

export interface Settings {
  readonly url: string;
  readonly clientId: string;
  readonly authentication: ClientAuthentication;
  readonly timeout: number;
  readonly retries: number;
  readonly maxRetryAfter: number;
  readonly cachedTokens: number;
  readonly expiryMargin: number;
  readonly fetch: Fetch;
  readonly now: () => number;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

export function checked(options: VaultClientOptions): Settings {
  if (options.clientId === '') throw new MistakenUse('clientId is empty.');
  return {
    url: checkedUrl(options.url),
    clientId: options.clientId,
    authentication: options.authentication,
    timeout: positive('timeout', options.timeout ?? 10_000),
    retries: count('retries', options.retries ?? 2),
    maxRetryAfter: count('maxRetryAfter', options.maxRetryAfter ?? 10),
    cachedTokens: count('cachedTokens', options.cachedTokens ?? 1000),
    expiryMargin: count('expiryMargin', options.expiryMargin ?? 30),
    fetch: options.fetch ?? globalThis.fetch,
    now: options.now ?? Date.now,
  };
}

function checkedUrl(text: string): string {
  if (!URL.canParse(text)) throw new MistakenUse('url is not a URL.');
  const url = new URL(text);
  // Secrets and session tokens are sent there.
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.test(url.hostname))) {
    throw new MistakenUse('url is not https; plain http is for a loopback host only.');
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new MistakenUse('url carries more than an origin and a path.');
  }
  return text.replace(/\/+$/, '');
}

function positive(name: string, value: number): number {
  if (!(Number.isFinite(value) && value > 0)) throw new MistakenUse(`${name} is not a positive number.`);
  return value;
}

function count(name: string, value: number): number {
  if (!(Number.isFinite(value) && value >= 0)) throw new MistakenUse(`${name} is not a number of zero or more.`);
  return value;
}
