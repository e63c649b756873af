import { MistakenUse } from './errors.js';
import { unlessAborted } from './flights.js';
import type { Fetch } from './http.js';
import { Repeatable } from './repeatable.js';
import type { ProviderToken } from './token.js';

const MOST_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Whether an answer, a copy of which is given, says that the API did not take the token. */
export type Refuses = (answer: Response) => boolean | Promise<boolean>;

export interface TokenSource {
  get(): Promise<ProviderToken>;
  /** Another than this one, which the provider did not take; the same again where there is no other. */
  insteadOf(refused: ProviderToken): Promise<ProviderToken>;
}

export interface Api {
  readonly baseUrl: string;
  readonly refuses?: Refuses;
}

/**
 * A `fetch` for one provider's API at `baseUrl`, which brings the token along.
 *
 * The token is asked for with each request. When the provider says 401, or as `refuses` knows, vaultd is told, and if
 * it has another token, the request is sent once more, unless its body is a stream or longer than 1 MiB. The token goes
 * to the origin of `baseUrl` and to no other: requests elsewhere are refused before there is a token, redirects
 * elsewhere are handed to the caller.
 */
export function authenticatedFetch(source: TokenSource, { baseUrl, refuses }: Api, network: Fetch): Fetch {
  if (!URL.canParse(baseUrl)) throw new MistakenUse('baseUrl is not a URL.');
  const { origin } = new URL(baseUrl);
  return async (input, init) => {
    const request = new Request(input instanceof Request ? input : new URL(input, baseUrl), init);
    if (new URL(request.url).origin !== origin) {
      throw new MistakenUse(`This token is for ${origin} and is not sent to any other origin.`);
    }
    const token = await unlessAborted(source.get(), request.signal);
    const repeatable = new Repeatable(request);
    try {
      const response = await follow(repeatable.first, token, network);
      if (!(await isRefusal(response, refuses))) return response;
      const again = repeatable.again();
      const fresh = await otherThan(token, source, request.signal, response);
      // The same again would be refused again.
      if (again === undefined || fresh.accessToken === token.accessToken) return response;
      drop(response);
      return await follow(again, fresh, network);
    } finally {
      repeatable.drop();
    }
  };
}

async function isRefusal(response: Response, refuses: Refuses | undefined): Promise<boolean> {
  if (response.status === 401 || refuses === undefined) return response.status === 401;
  const copy = response.clone();
  try {
    return await refuses(copy);
  } finally {
    // What it left unread would pile up while the caller reads the other.
    drop(copy);
  }
}

/** Its body is not read any more. Of two copies neither ends before the other, so nobody waits for that. */
function drop({ body }: Response): void {
  if (body?.locked === false) void body.cancel().catch(() => undefined);
}

/** Tells vaultd, also where the request cannot be sent again: the next one would be refused too. */
async function otherThan(
  token: ProviderToken,
  source: TokenSource,
  signal: AbortSignal,
  response: Response,
): Promise<ProviderToken> {
  try {
    return await unlessAborted(source.insteadOf(token), signal);
  } catch (error) {
    drop(response);
    throw error;
  }
}

/** Follows redirects within the origin, for methods that may be repeated; gives any other redirect as it is. */
async function follow(first: Request, token: ProviderToken, network: Fetch): Promise<Response> {
  let request = first;
  for (let left = MOST_REDIRECTS; ; left -= 1) {
    const headers = new Headers(request.headers);
    headers.set('authorization', `Bearer ${token.accessToken}`);
    const response = await network(new Request(request, { headers, redirect: 'manual' }));
    const target = left > 0 ? targetOf(request, response) : undefined;
    if (target === undefined) return response;
    drop(response);
    request = new Request(target, { method: request.method, headers: request.headers, signal: request.signal });
  }
}

function targetOf(request: Request, response: Response): URL | undefined {
  const location = response.headers.get('location');
  if (!REDIRECTS.has(response.status) || location === null || !['GET', 'HEAD'].includes(request.method)) {
    return undefined;
  }
  if (!URL.canParse(location, request.url)) return undefined;
  const target = new URL(location, request.url);
  return target.origin === new URL(request.url).origin ? target : undefined;
}
