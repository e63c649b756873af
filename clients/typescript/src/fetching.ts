import { MistakenUse } from './errors.js';
import { unlessAborted } from './flights.js';
import type { Fetch } from './http.js';
import type { ProviderToken } from './token.js';

const MOST_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface TokenSource {
  get(): Promise<ProviderToken>;
  /** Another than this one, which the provider did not take; the same again where there is no other. */
  insteadOf(refused: ProviderToken): Promise<ProviderToken>;
}

/**
 * A `fetch` for one provider's API at `baseUrl`, which brings the token along.
 *
 * The token is asked for with each request. When the provider says 401, vaultd is told, and if it has another token,
 * the request is sent once more. The token goes to the origin of `baseUrl` and to no other: requests elsewhere are
 * refused before there is a token, redirects elsewhere are handed to the caller.
 */
export function authenticatedFetch(source: TokenSource, baseUrl: string, network: Fetch): Fetch {
  if (!URL.canParse(baseUrl)) throw new MistakenUse('baseUrl is not a URL.');
  const { origin } = new URL(baseUrl);
  return async (input, init) => {
    const request = new Request(input instanceof Request ? input : new URL(input, baseUrl), init);
    if (new URL(request.url).origin !== origin) {
      throw new MistakenUse(`This token is for ${origin} and is not sent to any other origin.`);
    }
    const token = await unlessAborted(source.get(), request.signal);
    const response = await follow(request.clone(), token, network);
    if (response.status !== 401) {
      await request.body?.cancel();
      return response;
    }
    const fresh = await unlessAborted(source.insteadOf(token), request.signal);
    // The same again would be refused again.
    if (fresh.accessToken === token.accessToken) return response;
    await response.body?.cancel();
    return follow(request, fresh, network);
  };
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
    await response.body?.cancel();
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
