/** The real model's way, against a server that speaks OpenAI's Responses API. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { text as textOf } from 'node:stream/consumers';

import { configFrom } from '../src/config.js';
import { modelOf } from '../src/model.js';
import { ask, world } from './support.js';

interface Request {
  readonly model: string;
  readonly tools?: readonly { readonly name: string }[];
  readonly tool_choice?: string;
  readonly input: readonly { readonly type?: string; readonly output?: string }[];
}

test('with a key a real model is asked, and no token goes to it', async () => {
  const bodies: string[] = [];
  const keys: (string | undefined)[] = [];
  const server = createServer(async (request, response) => {
    bodies.push(await textOf(request));
    keys.push(request.headers.authorization);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const events = reply(JSON.parse(bodies.at(-1) ?? '') as Request);
    for (const event of events) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const config = configFrom({
    ...world().environment,
    OPENAI_API_KEY: 'sk-made-up',
    OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`,
    DEVCONTEXT_MODEL: 'some-model',
  });
  const { text, notices } = await ask(modelOf(config), world().tokens.everything);
  server.close();
  assert.equal(text, 'You watered the seedlings.');
  assert.deepEqual(notices, []);
  assert.deepEqual(keys, ['Bearer sk-made-up', 'Bearer sk-made-up']);
  const [first, second] = bodies.map((body) => JSON.parse(body) as Request);
  assert.deepEqual([first?.model, first?.tool_choice, first?.tools?.length], ['some-model', 'required', 3]);
  const outputs = second?.input.filter(({ type }) => type === 'function_call_output') ?? [];
  assert.equal(outputs.length, 3);
  assert.match(outputs[0]?.output ?? '', /Water the seedlings/);
  const sent = bodies.join();
  for (const hidden of [world().tokens.everything, 'github_at_', 'google_at_', 'slack_at_', 'sk-made-up']) {
    assert.ok(!sent.includes(hidden));
  }
});

function* reply({ input, tools = [] }: Request) {
  yield { type: 'response.created', response: { id: 'r', created_at: 0, model: 'some-model' } };
  if (input.some(({ type }) => type === 'function_call_output')) yield* speech('You watered the seedlings.');
  else for (const [index, { name }] of tools.entries()) yield* call(name, index);
  const usage = { input_tokens: 1, output_tokens: 1 };
  yield { type: 'response.completed', response: { id: 'r', created_at: 0, model: 'some-model', usage } };
}

function* call(name: string, output_index: number) {
  const day = new Date(Date.now() - 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  const item = { type: 'function_call', id: `f-${name}`, call_id: `c-${name}`, name, arguments: '' };
  const whole = JSON.stringify({ day });
  yield { type: 'response.output_item.added', output_index, item };
  yield { type: 'response.function_call_arguments.delta', item_id: item.id, output_index, delta: whole };
  yield { type: 'response.output_item.done', output_index, item: { ...item, arguments: whole, status: 'completed' } };
}

function* speech(text: string) {
  const item = { type: 'message', id: 'm', role: 'assistant', content: [] };
  yield { type: 'response.output_item.added', output_index: 0, item };
  for (const delta of text.match(/\S+\s*/g) ?? []) {
    yield { type: 'response.output_text.delta', item_id: 'm', output_index: 0, content_index: 0, delta };
  }
  yield { type: 'response.output_item.done', output_index: 0, item };
}
