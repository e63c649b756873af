/** The app's database: one JSON file. It knows people, sessions and briefings, and no token of any kind. */
import { mkdirSync, readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Topic } from './topics.js';

export interface Person {
  readonly sub: string;
  readonly name: string;
}

export interface Session {
  readonly sub: string;
  /** Milliseconds since the epoch. */
  readonly endsAt: number;
}

export interface SavedBriefing {
  readonly question: string;
  readonly askedAt: string;
  readonly text: string;
  readonly looked: Readonly<Record<Topic, string>>;
  readonly notices: readonly string[];
  readonly toConnect: readonly { readonly topic: Topic; readonly sentence: string }[];
}

interface Tables {
  readonly people: Record<string, Person>;
  readonly sessions: Record<string, Session>;
  readonly briefings: Record<string, SavedBriefing>;
}

export class Store {
  readonly #path: string;
  readonly #tables: Tables;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
    this.#tables = read(path);
  }

  person(sub: string): Person | undefined {
    return this.#tables.people[sub];
  }

  session(id: string, now: number): Session | undefined {
    const session = this.#tables.sessions[id];
    return session !== undefined && now < session.endsAt ? session : undefined;
  }

  lastBriefing(sub: string): SavedBriefing | undefined {
    return this.#tables.briefings[sub];
  }

  async signIn(id: string, person: Person, endsAt: number, now: number): Promise<void> {
    this.#tables.people[person.sub] = person;
    for (const [old, session] of Object.entries(this.#tables.sessions)) {
      if (session.endsAt <= now) delete this.#tables.sessions[old];
    }
    this.#tables.sessions[id] = { sub: person.sub, endsAt };
    await this.#save();
  }

  async signOut(id: string): Promise<void> {
    delete this.#tables.sessions[id];
    await this.#save();
  }

  async keepBriefing(sub: string, briefing: SavedBriefing): Promise<void> {
    this.#tables.briefings[sub] = briefing;
    await this.#save();
  }

  /** One write after the other, each whole: a file half written is never there under its name. */
  async #save(): Promise<void> {
    const write = async () => {
      const draft = `${this.#path}.new`;
      await writeFile(draft, JSON.stringify(this.#tables, undefined, 2), { mode: 0o600 });
      await rename(draft, this.#path);
    };
    this.#writing = this.#writing.then(write, write);
    await this.#writing;
  }
}

function read(path: string): Tables {
  // Without a prototype: a subject may have any name.
  const empty = { people: none<Person>(), sessions: none<Session>(), briefings: none<SavedBriefing>() };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    const kept = JSON.parse(readFileSync(path, 'utf8')) as Tables;
    return {
      people: Object.assign(empty.people, kept.people),
      sessions: Object.assign(empty.sessions, kept.sessions),
      briefings: Object.assign(empty.briefings, kept.briefings),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return empty;
    throw error;
  }
}

function none<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}
