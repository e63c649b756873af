import { BoundedMap } from './bounded.js';
import { UnexpectedAnswer } from './errors.js';
import { Flights, unlessAborted } from './flights.js';
import { type Answer, type Http, isObject } from './http.js';
import type { Settings } from './options.js';
import { refused } from './refusals.js';
import { type Subject, fingerprint } from './subject.js';

const MOST_BYTES = 1024 * 1024;
const MOST_PAGES = 100;
const KEPT_SUBJECTS = 1000;

export interface ConnectedAccount {
  readonly id: string;
  readonly connection: string;
  readonly status: 'connected' | 'reconnect_required';
  /** The account's label at the provider. */
  readonly account: string;
  readonly scopes: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
  readonly lastUsedAt: string | undefined;
}

export type ConnectionStatus = ConnectedAccount['status'] | 'not_connected';

interface Page {
  readonly etag: string | undefined;
  readonly accounts: readonly ConnectedAccount[];
  readonly next: string | undefined;
}

interface Seen {
  pages: readonly Page[];
  fresh: boolean;
  /** How often somebody had reason to think that they have changed. */
  doubts: number;
}

export interface AsksForAccounts extends Subject {
  readonly signal?: AbortSignal;
}

/**
 * The user's accounts, asked for once and then told from memory.
 *
 * They are looked at again only after an exchange said that the user must act, or when the app says that something has
 * changed; an unchanged list then costs a 304.
 */
export class Accounts {
  readonly #settings: Settings;
  readonly #http: Http;
  readonly #seen = new BoundedMap<Seen>(KEPT_SUBJECTS);
  readonly #flights = new Flights<readonly ConnectedAccount[]>();

  constructor(parts: { settings: Settings; http: Http }) {
    this.#settings = parts.settings;
    this.#http = parts.http;
  }

  list(asked: AsksForAccounts): Promise<readonly ConnectedAccount[]> {
    const subject = fingerprint(asked.subjectToken);
    let seen = this.#seen.get(subject);
    if (seen === undefined) this.#seen.set(subject, (seen = { pages: [], fresh: false, doubts: 0 }));
    if (seen.fresh) return Promise.resolve(accountsOf(seen.pages));
    const look = seen;
    // Whoever asks after a doubt does not take the answer of a look from before it.
    const flight = this.#flights.join(`${subject} ${look.doubts}`, () => this.#look(look, asked.subjectToken));
    return unlessAborted(flight, asked.signal);
  }

  /** What is known of this subject may have changed. */
  doubt(subject: string): void {
    const seen = this.#seen.get(subject);
    if (seen === undefined) return;
    seen.fresh = false;
    seen.doubts += 1;
  }

  forget(subject: string): void {
    this.#seen.delete(subject);
  }

  async #look(seen: Seen, token: string): Promise<readonly ConnectedAccount[]> {
    const { doubts } = seen;
    const pages = await this.#pages(token, seen.pages);
    if (seen.doubts === doubts) {
      seen.pages = pages;
      seen.fresh = true;
    }
    return accountsOf(pages);
  }

  async #pages(token: string, before: readonly Page[]): Promise<readonly Page[]> {
    const pages: Page[] = [];
    let from: string | undefined;
    do {
      const page: Page = await this.#page(token, from, before[pages.length]);
      pages.push(page);
      from = page.next;
    } while (from !== undefined && pages.length < MOST_PAGES);
    return pages;
  }

  async #page(token: string, from: string | undefined, before: Page | undefined): Promise<Page> {
    const query = new URLSearchParams({ take: '100', ...(from === undefined ? {} : { from }) });
    const headers: Record<string, string> = { accept: 'application/json', authorization: `Bearer ${token}` };
    if (before?.etag !== undefined) headers['if-none-match'] = before.etag;
    const url = `${this.#settings.url}/me/v1/connected-accounts/accounts?${query}`;
    const answer = await this.#http.request(url, { headers }, MOST_BYTES);
    if (answer.status === 304 && before !== undefined) return before;
    if (answer.status !== 200) throw refused(answer, this.#settings.url);
    return pageOf(answer);
  }
}

function accountsOf(pages: readonly Page[]): readonly ConnectedAccount[] {
  return pages.flatMap((page) => page.accounts);
}

function pageOf({ body, headers, status }: Answer): Page {
  const { accounts, next } = body;
  if (!Array.isArray(accounts)) throw new UnexpectedAnswer('vaultd answered without a list of accounts.', status);
  return {
    etag: headers.get('etag') ?? undefined,
    accounts: accounts.filter(isObject).map(accountOf),
    next: typeof next === 'string' ? next : undefined,
  };
}

function accountOf(view: Record<string, unknown>): ConnectedAccount {
  const { id, connection, status, account, scopes, created_at: createdAt, last_used_at: lastUsedAt } = view;
  return {
    id: String(id),
    connection: String(connection),
    status: status === 'connected' ? status : 'reconnect_required',
    account: typeof account === 'string' ? account : '',
    scopes: Array.isArray(scopes) ? scopes.map(String) : [],
    createdAt: String(createdAt),
    lastUsedAt: typeof lastUsedAt === 'string' ? lastUsedAt : undefined,
  };
}
