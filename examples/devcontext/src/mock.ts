/** The AI SDK's own mock model, playing an assistant: it calls the tools it is given and reports what they found. */
import { simulateReadableStream } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';

import { TITLES, isTopic } from './topics.js';

type Call = Parameters<MockLanguageModelV4['doStream']>[0];
type Answer = Awaited<ReturnType<MockLanguageModelV4['doStream']>>;
type Part = Answer['stream'] extends ReadableStream<infer P> ? P : never;

const DELAY = 25;
const NOTHING_COUNTED = {
  inputTokens: { total: 0, noCache: 0, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 0, text: 0, reasoning: undefined },
};

export function mockModel(): MockLanguageModelV4 {
  return new MockLanguageModelV4({
    provider: 'devcontext',
    modelId: 'mock',
    doStream: async (call) => (call.toolChoice?.type === 'none' ? streamed(report(call)) : streamed(toolCalls(call))),
  });
}

function toolCalls({ prompt, tools = [] }: Call): Part[] {
  const [system] = prompt;
  const day = /yesterday was (\d{4}-\d\d-\d\d)/.exec(system?.role === 'system' ? system.content : '')?.[1];
  const input = JSON.stringify({ day });
  const call = (toolName: string): Part => ({ type: 'tool-call', toolCallId: `call-${toolName}`, toolName, input });
  return [...tools.map(({ name }) => call(name)), finished('tool-calls')];
}

function report({ prompt }: Call): Part[] {
  const results = prompt.flatMap((message) => (message.role === 'tool' ? message.content : []));
  const sections = results.flatMap((part) => {
    if (part.type !== 'tool-result' || !isTopic(part.toolName) || part.output.type !== 'json') return [];
    const { items } = part.output.value as { items: string[] };
    const lines = items.length > 0 ? items.map((item) => `• ${item}`) : ['Nothing.'];
    return [[TITLES[part.toolName], ...lines].join('\n')];
  });
  const text = sections.length > 0 ? sections.join('\n\n') : 'There is nothing that I could look at.';
  const words = text.match(/\S+\s*/g) ?? [];
  return [
    { type: 'text-start', id: 'report' },
    ...words.map((delta): Part => ({ type: 'text-delta', id: 'report', delta })),
    { type: 'text-end', id: 'report' },
    finished('stop'),
  ];
}

function finished(reason: 'stop' | 'tool-calls'): Part {
  return { type: 'finish', finishReason: { unified: reason, raw: undefined }, usage: NOTHING_COUNTED };
}

function streamed(parts: Part[]): Answer {
  const chunks: Part[] = [{ type: 'stream-start', warnings: [] }, ...parts];
  return { stream: simulateReadableStream({ chunks, initialDelayInMs: DELAY, chunkDelayInMs: DELAY }) };
}
