/**
 * What the Python test that starts vaultd hands over in the environment, and small helpers.
 *
 * Each user is there for one purpose: `ada` has GitHub connected, `bea` two accounts there, `cyd` none, `dan` one that
 * a test takes away, `eve` one whose tokens live for two seconds, `fay` and `gus` one each whose tokens an API
 * refuses.
 */
import assert from 'node:assert/strict';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';

import {
  type ClientAuthentication,
  type Fetch,
  VaultClient,
  type VaultClientOptions,
  clientSecretBasic,
} from '@vaultd/client';

type User = 'ada' | 'bea' | 'cyd' | 'dan' | 'eve' | 'fay' | 'gus';
interface World {
  readonly vault: string;
  readonly github: string;
  readonly returnTo: string;
  readonly secrets: Readonly<Record<'basic' | 'post' | 'slow', string>>;
  readonly keys: Readonly<Record<'ES256' | 'EdDSA' | 'RS256', Record<string, string>>>;
  readonly tokens: Readonly<Record<User, string>>;
}

export function world(): World {
  const given = process.env['VAULTD_TEST'];
  assert.ok(given, 'Run these tests by pytest (tests/typescript), which starts the vaultd that they speak to.');
  return JSON.parse(given) as World;
}

export function basic(): ClientAuthentication {
  return clientSecretBasic(world().secrets.basic);
}

export function client(options: Partial<VaultClientOptions> = {}): VaultClient {
  return new VaultClient({ url: world().vault, clientId: 'ts-basic', authentication: basic(), ...options });
}

/** The network, with a record of what went over it. */
export function watched(): { fetch: Fetch; requests: Request[]; answers: Response[] } {
  const requests: Request[] = [];
  const answers: Response[] = [];
  const fetch: Fetch = async (input, init) => {
    requests.push(new Request(input instanceof Request ? input.clone() : input, init));
    const answer = await globalThis.fetch(input, init);
    answers.push(answer);
    return answer;
  };
  return { fetch, requests, answers };
}

/** A server that says what it is told to: for answers that no vaultd gives. */
export async function scripted(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; seen: IncomingMessage[]; [Symbol.asyncDispose](): Promise<void> }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, seen, [Symbol.asyncDispose]: close };
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

export async function rejection<E extends Error>(
  kind: new (...args: never[]) => E,
  promise: Promise<unknown>,
): Promise<E> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof kind, `expected ${kind.name}, got ${String(outcome)}`);
  return outcome;
}
