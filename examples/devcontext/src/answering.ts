/** Asking, telling the browser as the answer comes, and keeping it. */
import type { ServerResponse } from 'node:http';

import type { Briefings, Event } from './briefing.js';
import type { Connections } from './connections.js';
import { beginLines } from './http.js';
import type { SignedIn } from './sessions.js';
import type { SavedBriefing, Store } from './store.js';
import { TITLES, TOPICS } from './topics.js';

type Tell = (value: unknown) => void;

export class Answering {
  readonly #briefings: Briefings;
  readonly #connections: Connections;
  readonly #store: Store;
  readonly #returnTo: string;

  constructor(parts: { briefings: Briefings; connections: Connections; store: Store; returnTo: string }) {
    this.#briefings = parts.briefings;
    this.#connections = parts.connections;
    this.#store = parts.store;
    this.#returnTo = parts.returnTo;
  }

  /** A JSON object a line; the last one says that it was the last. */
  async stream(session: SignedIn, question: string, response: ServerResponse): Promise<void> {
    const tell = beginLines(response);
    await this.answer(session, question, tell);
    tell({ type: 'connections', connections: await this.#connections.of(session.sessionToken) });
    tell({ type: 'end' });
    response.end();
  }

  async answer({ sessionToken, person }: SignedIn, question: string, tell: Tell = () => undefined): Promise<void> {
    const now = new Date();
    let kept: SavedBriefing = {
      question,
      askedAt: now.toISOString(),
      text: '',
      looked: { github: '', google: '', slack: '' },
      notices: [],
      toConnect: [],
    };
    for await (const event of this.#briefings.answer({ question, sessionToken, returnTo: this.#returnTo, now })) {
      kept = withEvent(kept, event);
      tell(event.type === 'looked' ? { ...event, looked: inWords(event.looked) } : event);
    }
    await this.#store.keepBriefing(person.sub, kept);
  }
}

function inWords(looked: SavedBriefing['looked']): string[] {
  return TOPICS.map((topic) => `${TITLES[topic]}: ${looked[topic]}`);
}

function withEvent(kept: SavedBriefing, event: Event): SavedBriefing {
  switch (event.type) {
    case 'looked':
      return { ...kept, looked: event.looked };
    case 'text':
      return { ...kept, text: kept.text + event.text };
    case 'notice':
      return { ...kept, notices: [...kept.notices, event.sentence] };
    case 'connect':
      return { ...kept, toConnect: [...kept.toConnect, { topic: event.topic, sentence: event.sentence }] };
  }
}
