/** The app's own sign-in: OpenID Connect, code flow with PKCE, state and nonce. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import * as oidc from 'openid-client';

import type { Config } from './config.js';
import type { Cookies } from './cookies.js';
import type { Seal } from './seal.js';
import type { Sessions } from './sessions.js';

/** `read:me:connected_accounts` lets the app see at the vault what is connected. */
const SCOPE = 'openid profile email read:me:connected_accounts';
const COOKIE = 'devcontext-signin';
const SECONDS_TO_SIGN_IN = 600;

interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export class SignIn {
  readonly #config: Config;
  readonly #cookies: Cookies;
  readonly #seal: Seal;
  readonly #sessions: Sessions;
  #issuer: Promise<oidc.Configuration> | undefined;

  constructor(parts: { config: Config; cookies: Cookies; seal: Seal; sessions: Sessions }) {
    this.#config = parts.config;
    this.#cookies = parts.cookies;
    this.#seal = parts.seal;
    this.#sessions = parts.sessions;
  }

  /** Where to send the browser; what must come back is in a cookie of its own. */
  async begin(response: ServerResponse): Promise<URL> {
    const pending: Pending = {
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
      verifier: oidc.randomPKCECodeVerifier(),
    };
    this.#cookies.set(response, COOKIE, this.#seal.close(COOKIE, pending), SECONDS_TO_SIGN_IN);
    return oidc.buildAuthorizationUrl(await this.#discovered(), {
      redirect_uri: new URL('/auth/callback', this.#config.url).href,
      scope: SCOPE,
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
  }

  /** Checks what came back and begins a session; gives the person's subject. Throws for anything that does not fit. */
  async finish(request: IncomingMessage, response: ServerResponse): Promise<string> {
    const pending = this.#seal.open(COOKIE, this.#cookies.read(request, COOKIE)) as Pending | undefined;
    this.#cookies.set(response, COOKIE, '', 0);
    if (pending === undefined) throw new Error('Nobody is signing in in this browser.');
    const here = new URL(request.url ?? '/', this.#config.url);
    const tokens = await oidc.authorizationCodeGrant(await this.#discovered(), here, {
      expectedState: pending.state,
      expectedNonce: pending.nonce,
      pkceCodeVerifier: pending.verifier,
      idTokenExpected: true,
    });
    const claims = tokens.claims();
    if (claims === undefined) throw new Error('The issuer sent no ID token.');
    const person = { sub: claims.sub, name: typeof claims['name'] === 'string' ? claims['name'] : claims.sub };
    await this.#sessions.begin(response, person, tokens.access_token, tokens.expiresIn() ?? 3600);
    return person.sub;
  }

  /** Asked for once; after a failure, again. */
  #discovered(): Promise<oidc.Configuration> {
    const { url, clientId, clientSecret } = this.#config.issuer;
    // Plain http is for the sandbox on this machine.
    const isSandbox = url.protocol === 'http:' && this.#config.url.protocol === 'http:';
    const execute = isSandbox ? [oidc.allowInsecureRequests] : [];
    const authentication = oidc.ClientSecretBasic(clientSecret);
    this.#issuer ??= oidc.discovery(url, clientId, undefined, authentication, { execute }).catch((error: unknown) => {
      this.#issuer = undefined;
      throw error;
    });
    return this.#issuer;
  }
}
