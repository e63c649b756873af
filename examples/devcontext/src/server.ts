import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

import type { VaultClient } from '@vaultd/client';

import type { Answering } from './answering.js';
import type { Connections } from './connections.js';
import { Refused, formOf, redirect, send, sendPage } from './http.js';
import { type Log, nameOf } from './log.js';
import { page, signedOutPage } from './page.js';
import type { Sessions } from './sessions.js';
import type { SignIn } from './signin.js';
import type { Store } from './store.js';
import { TITLES, isTopic } from './topics.js';

const LONGEST_QUESTION = 500;
const FILES: Readonly<Record<string, string>> = { '/app.js': 'text/javascript', '/app.css': 'text/css' };
const NOTICES: Readonly<Record<string, string>> = {
  'signed-out': 'You are signed out.',
  'sign-in-failed': 'Signing in did not work. Please try again.',
};

export interface Parts {
  readonly url: URL;
  readonly vault: VaultClient;
  readonly store: Store;
  readonly sessions: Sessions;
  readonly signIn: SignIn;
  readonly connections: Connections;
  readonly answering: Answering;
  readonly modelName: string;
  readonly log: Log;
}

type Handler = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => Promise<void> | void;

/** The app's whole surface: a method, a path, what it does. */
export function routes(parts: Parts): Readonly<Record<string, Handler>> {
  const { url, vault, store, sessions, signIn, connections, answering, log } = parts;
  return {
    async 'GET /'(request, response, query) {
      const notice = noticeOf(query);
      const session = sessions.find(request);
      if (session === undefined) return sendPage(response, signedOutPage(notice));
      const view = {
        name: session.person.name,
        connections: await connections.of(session.sessionToken),
        vaultPage: `${vault.url}/connections`,
        briefing: store.lastBriefing(session.person.sub),
        linkOf: connections.link.bind(connections),
        notice,
        model: parts.modelName,
      };
      sendPage(response, page(view));
    },
    async 'GET /auth/sign-in'(_, response) {
      redirect(response, (await signIn.begin(response)).href);
    },
    async 'GET /auth/callback'(request, response) {
      try {
        log({ event: 'signed in', sub: await signIn.finish(request, response) });
        redirect(response, '/');
      } catch (error) {
        log({ event: 'sign-in failed', error: nameOf(error) });
        redirect(response, '/?notice=sign-in-failed');
      }
    },
    async 'POST /sign-out'(request, response) {
      await formOf(request, url.origin);
      const session = sessions.find(request);
      if (session !== undefined) {
        vault.forget(session.sessionToken);
        await sessions.end(response, session);
      }
      redirect(response, '/?notice=signed-out');
    },
    'GET /connected'(request, response, query) {
      const session = sessions.find(request);
      if (session !== undefined) vault.connectionsChanged(session.sessionToken);
      const topic = query.get('connection');
      const failed = query.get('status') === 'error' && isTopic(topic);
      redirect(response, failed ? `/?not-connected=${topic}` : '/');
    },
    async 'POST /ask'(request, response) {
      const question = (await formOf(request, url.origin)).get('question')?.trim() ?? '';
      const session = sessions.find(request);
      if (session === undefined) throw new Refused(401, 'Nobody is signed in.');
      if (question === '' || question.length > LONGEST_QUESTION) throw new Refused(400, 'Ask something shorter.');
      if (request.headers.accept === 'application/x-ndjson') {
        await answering.stream(session, question, response);
      } else {
        // A browser without scripts sent the form itself, and sees the answer on the page.
        await answering.answer(session, question);
        redirect(response, '/');
      }
    },
  };
}

function noticeOf(query: URLSearchParams): string | undefined {
  const topic = query.get('not-connected');
  if (isTopic(topic)) return `${TITLES[topic]} was not connected.`;
  const name = query.get('notice') ?? '';
  return Object.hasOwn(NOTICES, name) ? NOTICES[name] : undefined;
}

/** Finds the route, and is the end of every error. */
export function listener(parts: Parts, files: URL): RequestListener {
  const known = routes(parts);
  const contents = Object.fromEntries(
    Object.entries(FILES).map(([path, type]) => [path, { type, body: readFileSync(new URL(`.${path}`, files)) }]),
  );
  return (request, response) => {
    const started = performance.now();
    const { pathname: path, searchParams } = new URL(request.url ?? '/', parts.url);
    const file = request.method === 'GET' && Object.hasOwn(contents, path) ? contents[path] : undefined;
    if (file !== undefined) return send(response, 200, file.type, file.body);
    const name = `${request.method} ${path}`;
    const handler = Object.hasOwn(known, name) ? known[name] : undefined;
    response.once('close', () => {
      const milliseconds = Math.round(performance.now() - started);
      // The path alone: a query may hold a code.
      parts.log({ event: 'request', request: handler ? name : 'unknown', status: response.statusCode, milliseconds });
    });
    Promise.resolve()
      .then(() => {
        if (handler === undefined) throw new Refused(404, 'There is no such page.');
        return handler(request, response, searchParams);
      })
      .catch((error: unknown) => fail(error, response, parts.log));
  };
}

function fail(error: unknown, response: ServerResponse, log: Log): void {
  if (!(error instanceof Refused)) log({ event: 'failed', error: nameOf(error) });
  // What has begun as an answer can only be cut off.
  if (response.headersSent) return void response.destroy();
  const [status, words] = error instanceof Refused ? [error.status, error.message] : [500, 'Something went wrong.'];
  send(response, status, 'text/plain; charset=utf-8', `${words}\n`);
}
