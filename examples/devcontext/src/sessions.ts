/**
 * Who is signed in. The database holds that a session exists; the session token, which the vault wants to see, lies
 * sealed in the browser's cookie. One without the other is worth nothing.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Cookies } from './cookies.js';
import type { Seal } from './seal.js';
import type { Person, Store } from './store.js';

export interface SignedIn {
  readonly id: string;
  readonly person: Person;
  readonly sessionToken: string;
}

interface Contents {
  readonly id: string;
  readonly token: string;
}

const COOKIE = 'devcontext';

export class Sessions {
  readonly #store: Store;
  readonly #seal: Seal;
  readonly #cookies: Cookies;

  constructor(parts: { store: Store; seal: Seal; cookies: Cookies }) {
    this.#store = parts.store;
    this.#seal = parts.seal;
    this.#cookies = parts.cookies;
  }

  find(request: IncomingMessage): SignedIn | undefined {
    const contents = this.#seal.open(COOKIE, this.#cookies.read(request, COOKIE)) as Contents | undefined;
    if (contents === undefined) return undefined;
    const id = rowOf(contents.id);
    const session = this.#store.session(id, Date.now());
    const person = session && this.#store.person(session.sub);
    return person && { id, person, sessionToken: contents.token };
  }

  async begin(response: ServerResponse, person: Person, token: string, seconds: number): Promise<void> {
    const contents: Contents = { id: randomBytes(32).toString('base64url'), token };
    const now = Date.now();
    await this.#store.signIn(rowOf(contents.id), person, now + seconds * 1000, now);
    this.#cookies.set(response, COOKIE, this.#seal.close(COOKIE, contents), seconds);
  }

  async end(response: ServerResponse, session: SignedIn): Promise<void> {
    await this.#store.signOut(session.id);
    this.#cookies.set(response, COOKIE, '', 0);
  }
}

/** Whoever reads the database cannot make a cookie of what is there. */
function rowOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url');
}
