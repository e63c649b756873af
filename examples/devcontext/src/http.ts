/** What every answer of the app has in common. */
import type { IncomingMessage, ServerResponse } from 'node:http';

const SAFE = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
  // Not `no-referrer`: with that, browsers send forms with `Origin: null`.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
};
const MOST_BYTES = 4096;

/** Answered with this status and nothing else. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function sendPage(response: ServerResponse, page: string): void {
  send(response, 200, 'text/html; charset=utf-8', page);
}

export function send(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
  response.writeHead(status, { ...SAFE, 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

export function redirect(response: ServerResponse, to: string): void {
  response.writeHead(303, { ...SAFE, location: to, 'cache-control': 'no-store' }).end();
}

/** An answer of JSON objects, each a line, sent as they come. */
export function beginLines(response: ServerResponse): (value: unknown) => void {
  response.writeHead(200, { ...SAFE, 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  return (value) => void response.write(`${JSON.stringify(value)}\n`);
}

/** The fields of a form that one of our own pages sent. Throws `Refused`. */
export async function formOf(request: IncomingMessage, origin: string): Promise<URLSearchParams> {
  // With SameSite cookies alone, an app on another port of this host could still post.
  if (request.headers.origin !== origin) throw new Refused(403, 'This form is not one of ours.');
  if (request.headers['content-type']?.split(';')[0] !== 'application/x-www-form-urlencoded') {
    throw new Refused(415, 'Send a form.');
  }
  let text = '';
  for await (const piece of request.setEncoding('utf8')) {
    text += String(piece);
    if (text.length > MOST_BYTES) throw new Refused(413, 'Too long.');
  }
  return new URLSearchParams(text);
}
