import type { IncomingMessage, ServerResponse } from 'node:http';

/** Cookies as narrow as the app's address allows. */
export class Cookies {
  readonly #secure: boolean;

  constructor(url: URL) {
    this.#secure = url.protocol === 'https:';
  }

  read(request: IncomingMessage, name: string): string | undefined {
    const wanted = `${this.#named(name)}=`;
    const found = (request.headers.cookie ?? '').split('; ').find((pair) => pair.startsWith(wanted));
    return found?.slice(wanted.length);
  }

  /** `seconds` of 0 takes the cookie away. */
  set(response: ServerResponse, name: string, value: string, seconds: number): void {
    const secure = this.#secure ? '; Secure' : '';
    const cookie = `${this.#named(name)}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${seconds}${secure}`;
    response.appendHeader('Set-Cookie', cookie);
  }

  #named(name: string): string {
    return this.#secure ? `__Host-${name}` : name;
  }
}
