/** What `tests/typescript/test_devcontext.py` hands over in the environment. */
import assert from 'node:assert/strict';
import process from 'node:process';

import { VaultClient, clientSecretBasic } from '@vaultd/client';
import type { LanguageModel } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';

import { Briefings, type Event, QUESTION } from '../src/briefing.js';
import { configFrom } from '../src/config.js';
import type { Entry } from '../src/log.js';
import { createTools } from '../src/tools.js';

interface World {
  readonly environment: Readonly<Record<string, string>>;
  /** Of somebody who has connected nothing, and of somebody who has connected everything. */
  readonly tokens: Readonly<Record<'nothing' | 'everything', string>>;
}

export function world(): World {
  const given = process.env['VAULTD_TEST'];
  assert.ok(given, 'Run these tests by pytest (tests/typescript), which starts the vaultd that they speak to.');
  return JSON.parse(given) as World;
}

export interface Told {
  readonly events: readonly Event[];
  readonly text: string;
  readonly notices: readonly string[];
  readonly log: readonly Entry[];
}

export async function ask(model: LanguageModel, sessionToken = world().tokens.nothing): Promise<Told> {
  const config = configFrom(world().environment);
  const { url, clientId, clientSecret } = config.vault;
  const vault = new VaultClient({ url, clientId, authentication: clientSecretBasic(clientSecret), cachedTokens: 0 });
  const log: Entry[] = [];
  const briefings = new Briefings({ vault, model, tools: createTools(config), log: (entry) => void log.push(entry) });
  const events: Event[] = [];
  const returnTo = new URL('/connected', config.url).href;
  for await (const event of briefings.answer({ question: QUESTION, sessionToken, returnTo, now: new Date() })) {
    events.push(event);
  }
  const text = events.map((event) => (event.type === 'text' ? event.text : '')).join('');
  return { events, text, notices: events.flatMap((event) => (event.type === 'notice' ? event.sentence : [])), log };
}

type Stream = Awaited<ReturnType<MockLanguageModelV4['doStream']>>['stream'];
export type Part = Stream extends ReadableStream<infer P> ? P : never;

const usage = {
  inputTokens: { total: 0, noCache: 0, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 0, text: 0, reasoning: undefined },
};

/** A model that says these things, one list a step, whatever it is asked. */
export function saying(...steps: readonly (readonly Part[])[]): MockLanguageModelV4 {
  let step = 0;
  const doStream = async () => {
    const parts = steps[Math.min(step, steps.length - 1)] ?? [];
    step += 1;
    const calls = parts.some(({ type }) => type === 'tool-call');
    const finishReason = { unified: calls ? ('tool-calls' as const) : ('stop' as const), raw: undefined };
    return { stream: ReadableStream.from<Part>([...parts, { type: 'finish', finishReason, usage }]) as Stream };
  };
  return new MockLanguageModelV4({ doStream });
}

export function says(text: string): Part[] {
  const id = text.slice(0, 8);
  return [
    { type: 'text-start', id },
    { type: 'text-delta', id, delta: text },
    { type: 'text-end', id },
  ];
}

export function calls(...names: readonly string[]): Part[] {
  const input = JSON.stringify({ day: '2030-05-16' });
  return names.map((toolName): Part => ({ type: 'tool-call', toolCallId: `call-${toolName}`, toolName, input }));
}
