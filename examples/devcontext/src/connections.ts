/** How the three connections stand, for the page. */
import type { ConnectionStatus, VaultClient } from '@vaultd/client';

import { type Log, nameOf } from './log.js';
import { SCOPES, TITLES, TOPICS, type Topic } from './topics.js';

type Status = ConnectionStatus | 'unknown';

export interface Connection {
  readonly topic: Topic;
  readonly title: string;
  readonly status: Status;
  readonly words: string;
  /** What the user can do; absent when there is nothing to do. */
  readonly act: string | undefined;
  readonly link: string;
}

const WORDS: Readonly<Record<Status, string>> = {
  connected: 'Connected',
  reconnect_required: 'Reconnect required',
  not_connected: 'Not connected',
  unknown: 'The vault does not answer',
};
const ACTS: Readonly<Partial<Record<Status, string>>> = { reconnect_required: 'Reconnect', not_connected: 'Connect' };

export class Connections {
  readonly #vault: VaultClient;
  readonly #returnTo: string;
  readonly #log: Log;

  constructor(parts: { vault: VaultClient; returnTo: string; log: Log }) {
    this.#vault = parts.vault;
    this.#returnTo = parts.returnTo;
    this.#log = parts.log;
  }

  /** From the client's memory: it asks the vault once, and again only after a "reconnect" or a way back from there. */
  async of(sessionToken: string): Promise<Connection[]> {
    return Promise.all(TOPICS.map(async (topic) => this.#one(topic, await this.#status(topic, sessionToken))));
  }

  link(topic: Topic): string {
    return this.#vault.connectUrl(topic, { returnTo: this.#returnTo, scopes: SCOPES[topic] });
  }

  async #status(topic: Topic, subjectToken: string): Promise<Status> {
    try {
      return await this.#vault.status(topic, { subjectToken });
    } catch (error) {
      this.#log({ event: 'status unknown', topic, error: nameOf(error) });
      return 'unknown';
    }
  }

  #one(topic: Topic, status: Status): Connection {
    return { topic, title: TITLES[topic], status, words: WORDS[status], act: ACTS[status], link: this.link(topic) };
  }
}
