/**
 * Tools of the Vercel AI SDK that need a user's token.
 *
 * ```ts
 * const pullRequests = withConnection({ connection: 'github', scopes: ['repo'] }, tool({
 *   inputSchema: z.object({}),
 *   execute: async () => {
 *     const token = await getAccessTokenForConnection('github');
 *     …
 *   },
 * }));
 *
 * const result = actingFor({ vault, subjectToken }, () => streamText({ model, prompt, tools: { pullRequests } }));
 * ```
 *
 * Whose token it is follows the call through every `await`, apart for each user (`AsyncLocalStorage`). Nothing of the
 * SDK is imported: any object with an `execute` will do.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import type { VaultClient } from './client.js';
import { InteractionRequired, MistakenUse } from './errors.js';
import type { Refuses } from './fetching.js';
import type { Fetch } from './http.js';
import type { Subject, Wanted } from './subject.js';

export interface ActingFor extends Subject {
  readonly vault: VaultClient;
  /** Where the browser goes after connecting: one of the client's `redirect_uris`. */
  readonly returnTo?: string;
  readonly signal?: AbortSignal;
  /** Learns what a tool was missing, before the model is told. */
  readonly onInteractionRequired?: (needed: InteractionRequired) => void;
}

export interface ConnectionNeeded {
  readonly connection: string;
  readonly scopes?: readonly string[];
  readonly loginHint?: string;
  /** What the model is told when the user must act; `link` leads the user to it. */
  readonly sentence?: (needed: InteractionRequired, link: string) => string;
}

interface Executable {
  readonly execute?: ((input: never, options: never) => unknown) | undefined;
}
type Execute = (input: unknown, options: unknown) => unknown;
type Within = <R>(work: () => R) => R;

const users = new AsyncLocalStorage<ActingFor>();
const connections = new AsyncLocalStorage<ReadonlyMap<string, ConnectionNeeded>>();

/** Run `work` for one user: the tools in it get this user's tokens, however long the model takes. */
export function actingFor<T>(who: ActingFor, work: () => T): T {
  return users.run(who, work);
}

/**
 * The tool, with `getAccessTokenForConnection` working in its `execute`.
 *
 * When the user must act first, the result is a sentence with a link, which the model passes on, and no exception. A
 * tool with its own `toModelOutput` or `outputSchema` must take that text as well.
 */
export function withConnection<T extends Executable>(needed: ConnectionNeeded, tool: T): T;
export function withConnection(needed: ConnectionNeeded): <T extends Executable>(tool: T) => T;
export function withConnection<T extends Executable>(needed: ConnectionNeeded, tool?: T): T | ((tool: T) => T) {
  return tool === undefined ? (given: T) => wrapped(needed, given) : wrapped(needed, tool);
}

/**
 * The user's token for a connection that the tool was wrapped with.
 *
 * It is yours to use; `fetchForConnection` also gets another when the API does not take it.
 */
export async function getAccessTokenForConnection(connection: string): Promise<string> {
  const { vault, wanted } = current(connection);
  return (await vault.getAccessToken(connection, wanted)).accessToken;
}

/** The same as a `fetch` for the API at `baseUrl`, which sends the token nowhere else; `refuses` as for `vault.fetch`. */
export function fetchForConnection(connection: string, baseUrl: string, refuses?: Refuses): Fetch {
  const { vault, wanted } = current(connection);
  return vault.fetch(connection, { ...wanted, baseUrl, ...(refuses === undefined ? {} : { refuses }) });
}

function current(connection: string): { vault: VaultClient; wanted: Wanted } {
  const who = users.getStore();
  if (who === undefined) throw new MistakenUse('Nobody is acted for here. Call the model within actingFor(…).');
  const needed = connections.getStore()?.get(connection);
  if (needed === undefined) {
    throw new MistakenUse(`This tool is not wrapped in withConnection({ connection: '${connection}' }, …).`);
  }
  const { vault, subjectToken, subjectTokenType, signal } = who;
  const { scopes, loginHint } = needed;
  return {
    vault,
    wanted: {
      subjectToken,
      ...(subjectTokenType === undefined ? {} : { subjectTokenType }),
      ...(signal === undefined ? {} : { signal }),
      ...(scopes === undefined ? {} : { scopes }),
      ...(loginHint === undefined ? {} : { loginHint }),
    },
  };
}

function wrapped<T extends Executable>(needed: ConnectionNeeded, tool: T): T {
  const execute = tool.execute as Execute | undefined;
  if (execute === undefined) throw new MistakenUse('The tool has no execute, so it needs no token either.');
  const guarded: Execute = (input, options) => {
    const known = new Map(connections.getStore()).set(needed.connection, needed);
    const within: Within = (work) => connections.run(known, work);
    return guard(needed, within, () => execute.call(tool, input, options));
  };
  return { ...tool, execute: guarded };
}

function guard(needed: ConnectionNeeded, within: Within, work: () => unknown): unknown {
  const missing = (error: unknown) => told(needed, error);
  try {
    const result = within(work);
    // The SDK looks at what `execute` gives at once: a stream must stay one.
    return isAsyncIterable(result) ? streamed(result, within, missing) : Promise.resolve(result).catch(missing);
  } catch (error) {
    return missing(error);
  }
}

async function* streamed(results: AsyncIterable<unknown>, within: Within, missing: (error: unknown) => string) {
  // A generator's body runs in the context of whoever asks for its next value.
  const iterator = within(() => results[Symbol.asyncIterator]());
  let finished = false;
  try {
    for (;;) {
      const step = await within(() => iterator.next());
      finished = step.done === true;
      if (finished) return;
      yield step.value;
    }
  } catch (error) {
    finished = true;
    yield missing(error);
  } finally {
    if (!finished) await within(async () => iterator.return?.());
  }
}

function told(needed: ConnectionNeeded, error: unknown): string {
  const who = users.getStore();
  // A nested tool's trouble with another connection is for its own wrapper, or for the app.
  if (!(error instanceof InteractionRequired) || error.connection !== needed.connection) throw error;
  who?.onInteractionRequired?.(error);
  const link = new URL(error.connectUri);
  if (who?.returnTo !== undefined) link.searchParams.set('return_to', who.returnTo);
  if (needed.sentence !== undefined) return needed.sentence(error, link.href);
  const choice = error.accounts.length > 0 ? ` The accounts are: ${error.accounts.join(', ')}.` : '';
  return `${error.message}${choice} The user can do it here: ${link.href}`;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
