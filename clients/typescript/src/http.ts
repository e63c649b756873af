import { UnexpectedAnswer, VaultUnreachable } from './errors.js';

export type Fetch = typeof fetch;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The members of a JSON object; empty when there is no body, as with 304. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Speaks to one vaultd: no redirects, an end to waiting, an end to reading. */
export class Http {
  readonly #fetch: Fetch;
  readonly #timeout: number;

  constructor(options: { fetch: Fetch; timeout: number }) {
    this.#fetch = options.fetch;
    this.#timeout = options.timeout;
  }

  async request(url: string, init: RequestInit, limit: number): Promise<Answer> {
    const signal = AbortSignal.timeout(this.#timeout);
    let response: Response;
    let text: string;
    try {
      // A redirect would carry the secret or the session token on to wherever it points.
      response = await this.#fetch(url, { ...init, redirect: 'manual', signal });
      text = await read(response, limit);
    } catch (error) {
      if (error instanceof UnexpectedAnswer) throw error;
      const why = signal.aborted ? `did not answer within ${this.#timeout} ms` : 'cannot be reached';
      throw new VaultUnreachable(`vaultd ${why}.`, { cause: error });
    }
    const { status, headers } = response;
    if (status >= 300 && status < 400 && status !== 304) {
      throw new UnexpectedAnswer(`vaultd answered with a redirect (${status}), which is not followed.`, status);
    }
    return { status, headers, body: parsed(text, status) };
  }
}

async function read(response: Response, limit: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the body.
  for await (const piece of response.body ?? []) {
    size += piece.byteLength;
    if (size > limit) throw new UnexpectedAnswer('vaultd answered with too long a body.', response.status);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parsed(text: string, status: number): Readonly<Record<string, unknown>> {
  if (text === '') return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  // The text is not quoted: nobody knows what it holds.
  if (!isObject(body)) throw new UnexpectedAnswer(`vaultd answered ${status} with no JSON object.`, status);
  return body;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
