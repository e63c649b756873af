/** `withConnection` in the Vercel AI SDK itself, whose mock model asks for the tools. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ToolSet, generateText, isStepCount, simulateReadableStream, streamText, tool } from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { z } from 'zod';

import { actingFor, fetchForConnection, getAccessTokenForConnection, withConnection } from '@vaultd/client/ai';
import { type InteractionRequired, MistakenUse } from '@vaultd/client';
import { client, json, rejection, scripted, watched, world } from './support.js';

const { tokens, github, returnTo } = world();
const nothing = z.object({});

type Doing = Parameters<MockLanguageModelV4['doStream']>[0];
const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined },
};

/** Calls every tool it is given, then says what came of it. */
function model(): MockLanguageModelV4 {
  const doStream = async ({ prompt, tools = [] }: Doing) => {
    const results = prompt.flatMap(({ role, content }) => (role === 'tool' ? content : []));
    const text = JSON.stringify(results.map((part) => ('output' in part ? part.output : part)));
    const type = 'tool-call' as const;
    const calls = tools.map(({ name }) => ({ type, toolCallId: name, toolName: name, input: '{}' }));
    const words = [
      { type: 'text-start' as const, id: '1' },
      { type: 'text-delta' as const, id: '1', delta: text },
      { type: 'text-end' as const, id: '1' },
    ];
    const asking = results.length === 0;
    const finishReason = { unified: asking ? ('tool-calls' as const) : ('stop' as const), raw: undefined };
    const chunks = [...(asking ? calls : words), { type: 'finish' as const, finishReason, usage }];
    return { stream: simulateReadableStream({ chunks, initialDelayInMs: 5 }) };
  };
  return new MockLanguageModelV4({ doStream });
}

function ask(tools: ToolSet) {
  return streamText({ model: model(), prompt: 'Who am I?', tools, stopWhen: isStepCount(3), onError: () => undefined });
}

const whoAmI = withConnection(
  { connection: 'github', scopes: ['read:user'] },
  tool({
    description: 'The login at GitHub',
    inputSchema: nothing,
    execute: async () => {
      const token = await getAccessTokenForConnection('github');
      const answer = await fetch(`${github}/user`, { headers: { authorization: `Bearer ${token}` } });
      return ((await answer.json()) as { login: string }).login;
    },
  }),
);

test('a tool gets the token of the user it works for, without being told who that is', async () => {
  const network = watched();
  const vault = client({ fetch: network.fetch, cachedTokens: 0 });
  // Two users at once, and each answer read where nobody is acted for.
  const users = [tokens.ada, tokens.cyd, tokens.ada, tokens.cyd];
  const answers = users.map((subjectToken) => actingFor({ vault, subjectToken, returnTo }, () => ask({ whoAmI })));
  const texts = await Promise.all(answers.map(({ text }) => text));
  for (const [index, text] of texts.entries()) {
    if (index % 2 === 0) assert.match(text, /"value":"alice"/);
    else assert.match(text, /GitHub is not connected/);
  }
});

test('a missing connection is a sentence with a link back to the app, and the app learns of it', async () => {
  const missing: InteractionRequired[] = [];
  const who = { vault: client(), subjectToken: tokens.cyd, returnTo };
  const asked = { ...who, onInteractionRequired: (needed: InteractionRequired) => missing.push(needed) };
  const { steps } = await actingFor(asked, () => ask({ whoAmI }));
  const [result] = (await steps)[0]?.toolResults ?? [];
  const door = who.vault.connectUrl('github', { scopes: ['read:user'] });
  const link = `${door}&return_to=${encodeURIComponent(returnTo)}`;
  const said = 'GitHub is not connected. Connect it to continue. The user can do it here:';
  assert.equal(result?.output, `${said} ${link}`);
  assert.deepEqual(
    missing.map(({ reason }) => reason),
    ['not_connected'],
  );
});

test('an app may choose its own words, and several accounts are named', async () => {
  const named = withConnection({ connection: 'github' }, tool({ inputSchema: nothing, execute: whoAmIPlain }));
  const worded = withConnection({
    connection: 'github',
    sentence: ({ connection }, link) => `${connection}? See ${new URL(link).pathname}.`,
  })(tool({ inputSchema: nothing, execute: whoAmIPlain }));
  const who = { vault: client(), subjectToken: tokens.bea };
  const text = await actingFor(who, async () => ask({ named, worded }).text);
  assert.match(text, /Several GitHub accounts are connected.*The accounts are: \S+, \S+\./);
  assert.match(text, /github\? See \/auth\/connect\/github\./);
});

async function whoAmIPlain(): Promise<string> {
  const answer = await fetchForConnection('github', github)('/user');
  return ((await answer.json()) as { login: string }).login;
}

test('a tool that streams its results keeps its context, and its sentence', async () => {
  const counted = tool({
    inputSchema: nothing,
    async *execute() {
      yield 'looking';
      yield await whoAmIPlain();
    },
  });
  const streaming = withConnection({ connection: 'github' }, counted);
  const vault = client();
  assert.match(await actingFor({ vault, subjectToken: tokens.ada }, () => ask({ streaming })).text, /"value":"alice"/);
  assert.match(await actingFor({ vault, subjectToken: tokens.cyd }, () => ask({ streaming })).text, /not connected/);
});

test('three tools cost the time of one exchange: they ask at once', async () => {
  // It answers when it has all three requests, and would never answer one after the other.
  const waiting: (() => void)[] = [];
  await using slow = await scripted((request, response) => {
    let form = '';
    request.on('data', (piece) => (form += String(piece)));
    request.on('end', () => {
      const connection = new URLSearchParams(form).get('audience');
      const token = { access_token: 'made up', token_type: 'Bearer', expires_in: 9, connection };
      waiting.push(() => json(response, 200, token));
      if (waiting.length === 3) for (const answer of waiting) answer();
    });
  });
  const connected = (connection: string) =>
    withConnection(
      { connection },
      tool({ inputSchema: nothing, execute: async () => getAccessTokenForConnection(connection) }),
    );
  const tools = { github: connected('github'), google: connected('google'), slack: connected('slack') };
  const vault = client({ url: slow.url, timeout: 5000 });
  const steps = await actingFor({ vault, subjectToken: tokens.ada }, async () => ask(tools).steps);
  assert.deepEqual(
    steps[0]?.toolResults.map(({ output }) => output),
    ['made up', 'made up', 'made up'],
  );
});

test('other errors stay errors', async () => {
  const broken = withConnection(
    { connection: 'github' },
    tool({
      inputSchema: nothing,
      execute: (): string => {
        throw new RangeError('too far');
      },
    }),
  );
  const unwrapped = tool({ inputSchema: nothing, execute: async () => getAccessTokenForConnection('github') });
  const who = { vault: client(), subjectToken: tokens.ada };
  const steps = await actingFor(who, async () => ask({ broken, unwrapped }).steps);
  const errors = steps[0]?.content.flatMap((part) => (part.type === 'tool-error' ? [part.error] : []));
  assert.ok(errors?.some((error) => error instanceof RangeError));
  assert.ok(errors?.some((error) => error instanceof MistakenUse && /withConnection/.test(error.message)));
});

test('outside of everything there is no token', async () => {
  const error = await rejection(MistakenUse, getAccessTokenForConnection('github'));
  assert.match(error.message, /actingFor/);
  assert.throws(() => withConnection({ connection: 'github' }, { execute: undefined }), MistakenUse);
});

test('without a stream it is the same', async () => {
  const answers = [
    {
      content: [{ type: 'tool-call' as const, toolCallId: '1', toolName: 'whoAmI', input: '{}' }],
      reason: 'tool-calls' as const,
    },
    { content: [{ type: 'text' as const, text: 'done' }], reason: 'stop' as const },
  ];
  const doGenerate = answers.map(({ content, reason }) => ({
    content,
    finishReason: { unified: reason, raw: undefined },
    usage,
    warnings: [],
  }));
  const options = { model: new MockLanguageModelV4({ doGenerate }), prompt: 'Who am I?', tools: { whoAmI } };
  const who = { vault: client(), subjectToken: tokens.ada };
  const { steps } = await actingFor(who, async () => generateText({ ...options, stopWhen: isStepCount(3) }));
  assert.equal(steps[0]?.toolResults[0]?.output, 'alice');
});
