import type { InteractionRequired } from '@vaultd/client';
import type { ToolSet } from 'ai';

import { TOPICS, type Topic, isTopic } from './topics.js';

export type Outcome = 'found' | 'connect' | 'failed';

/**
 * What really happened for one question. Tools write it when they run; the model's word does not count.
 */
export class Ledger {
  readonly #outcomes = new Map<Topic, Outcome>();
  readonly #counts = new Map<Topic, number>();
  readonly #needed = new Map<Topic, InteractionRequired>();

  /** The same tools, writing down that they ran and what came of it. */
  watching(tools: ToolSet): ToolSet {
    return Object.fromEntries(
      Object.entries(tools).map(([name, tool]) => [name, isTopic(name) ? this.#watched(name, tool) : tool]),
    );
  }

  /** The user must connect something before this tool can find anything. */
  missing(needed: InteractionRequired): void {
    if (isTopic(needed.connection)) this.#needed.set(needed.connection, needed);
  }

  get uncalled(): readonly Topic[] {
    return TOPICS.filter((topic) => !this.#outcomes.has(topic));
  }

  get toConnect(): readonly InteractionRequired[] {
    return TOPICS.flatMap((topic) => this.#needed.get(topic) ?? []);
  }

  get failed(): readonly Topic[] {
    return TOPICS.filter((topic) => this.#outcomes.get(topic) === 'failed');
  }

  /** In a few words, for each topic. */
  get looked(): Readonly<Record<Topic, string>> {
    const words = (topic: Topic) => {
      switch (this.#outcomes.get(topic)) {
        case 'found':
          return `${this.#counts.get(topic) ?? 0} found`;
        case 'connect':
          return 'not connected';
        case 'failed':
          return 'no answer';
        default:
          return 'not looked at';
      }
    };
    return { github: words('github'), google: words('google'), slack: words('slack') };
  }

  #watched(topic: Topic, tool: ToolSet[string]): ToolSet[string] {
    const execute = tool.execute;
    if (execute === undefined) throw new TypeError(`The tool ${topic} cannot be run.`);
    const running = async (...given: Parameters<typeof execute>): Promise<unknown> => {
      try {
        const output: unknown = await execute(...given);
        this.#outcomes.set(topic, this.#needed.has(topic) ? 'connect' : 'found');
        this.#counts.set(topic, countOf(output));
        return output;
      } catch (error) {
        this.#outcomes.set(topic, 'failed');
        throw error;
      }
    };
    return { ...tool, execute: running } as ToolSet[string];
  }
}

function countOf(output: unknown): number {
  const { items } = Object(output) as { items?: unknown };
  return Array.isArray(items) ? items.length : 0;
}
