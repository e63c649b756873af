import { setTimeout as pause } from 'node:timers/promises';

import { BoundedMap } from './bounded.js';
import { InteractionRequired, UnexpectedAnswer } from './errors.js';
import { Flights, unlessAborted } from './flights.js';
import { type Answer, type Http, isObject } from './http.js';
import type { Settings } from './options.js';
import { refused, retryAfter } from './refusals.js';
import { type Wanted, exchangeForm, fingerprint, unverifiedEnd } from './subject.js';
import { ProviderToken } from './token.js';

const MOST_BYTES = 256 * 1024;

interface Kept {
  readonly token: ProviderToken;
  /** Milliseconds since the epoch from which on it is not given out. */
  readonly until: number;
  readonly subject: string;
}

/** Gets tokens by exchange and keeps them, in memory only, until shortly before their end. */
export class Tokens {
  readonly #settings: Settings;
  readonly #http: Http;
  readonly #kept: BoundedMap<Kept>;
  readonly #flights = new Flights<ProviderToken>();
  readonly #onInteraction: (subject: string) => void;

  /** `onInteraction` learns of each subject who must act. */
  constructor(parts: { settings: Settings; http: Http; onInteraction: (subject: string) => void }) {
    this.#settings = parts.settings;
    this.#http = parts.http;
    this.#onInteraction = parts.onInteraction;
    this.#kept = new BoundedMap(parts.settings.cachedTokens);
  }

  get(connection: string, wanted: Wanted): Promise<ProviderToken> {
    const form = exchangeForm(connection, wanted);
    const key = nameOf(form);
    const refused = wanted.insteadOf?.accessToken;
    // One that has come since is good.
    if (refused !== undefined) this.#kept.deleteWhere(({ token }) => token.accessToken === refused);
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#settings.now() < kept.until) return Promise.resolve(kept.token);
    const asked = refused === undefined ? form : { ...form, refused_token: refused };
    // A signal ends one caller's waiting; the exchange belongs to all who wait for it.
    const flight = this.#flights.join(nameOf(asked), () => this.#exchange(key, asked, wanted.subjectToken));
    return unlessAborted(flight, wanted.signal);
  }

  /** Keep nothing of a session, as after signing out. */
  forget(subject: string): void {
    this.#kept.deleteWhere((kept) => kept.subject === subject);
  }

  async #exchange(key: string, form: Record<string, string>, subjectToken: string): Promise<ProviderToken> {
    const asked = this.#settings.now();
    const subject = fingerprint(subjectToken);
    const answer = await this.#patiently(form);
    if (answer.status !== 200) {
      const error = refused(answer, this.#settings.url);
      if (error instanceof InteractionRequired) this.#onInteraction(subject);
      throw error;
    }
    const token = tokenOf(answer, asked);
    const until = Math.min(token.expiresAt - this.#settings.expiryMargin * 1000, unverifiedEnd(subjectToken));
    if (until > this.#settings.now()) this.#kept.set(key, { token, until, subject });
    return token;
  }

  async #patiently(form: Record<string, string>): Promise<Answer> {
    for (let left = this.#settings.retries; ; left -= 1) {
      const answer = await this.#post(form);
      const seconds = retryAfter(answer);
      if (seconds === undefined || left <= 0 || seconds > this.#settings.maxRetryAfter) return answer;
      await pause(seconds * 1000);
    }
  }

  #post(form: Record<string, string>): Promise<Answer> {
    const { url, clientId, authentication, now } = this.#settings;
    // Anew for each attempt: an assertion is good once (RFC 7523 §3).
    const { headers, form: proof } = authentication.credentials({ clientId, audience: url, now: now() });
    const init: RequestInit = {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams({ ...form, ...proof }).toString(),
    };
    return this.#http.request(`${url}/oauth/token`, init, MOST_BYTES);
  }
}

/** With the names of the parameters, so that a scope is not taken for a hint. */
function nameOf(form: Record<string, string>): string {
  return fingerprint(...Object.entries(form).flat());
}

function tokenOf({ body, status }: Answer, asked: number): ProviderToken {
  const { access_token: token, expires_in: seconds, token_type: type, scope, connection, account } = body;
  if (typeof token !== 'string' || token === '' || typeof seconds !== 'number') {
    throw new UnexpectedAnswer('vaultd answered 200 without a token.', status);
  }
  // RFC 6749 §7.1: a token of a type that one does not know is not to be used.
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    throw new UnexpectedAnswer('vaultd answered with a token that is no bearer token.', status);
  }
  const metadata = body['connection_metadata'];
  return new ProviderToken(token, {
    connection: typeof connection === 'string' ? connection : '',
    scopes: typeof scope === 'string' && scope !== '' ? scope.split(' ') : [],
    expiresAt: asked + seconds * 1000,
    account: typeof account === 'string' ? account : undefined,
    metadata: isObject(metadata) ? metadata : {},
  });
}
