import { createHash } from 'node:crypto';

import { MistakenUse } from './errors.js';
import type { ProviderToken } from './token.js';

const TYPES = {
  access_token: 'urn:ietf:params:oauth:token-type:access_token',
  id_token: 'urn:ietf:params:oauth:token-type:id_token',
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  refresh_token: 'urn:ietf:params:oauth:token-type:refresh_token',
} as const;

/** RFC 8693 §3, by the last word of its URN. */
export type TokenType = keyof typeof TYPES;

export interface Subject {
  /** The user's session token, as your app holds it. */
  readonly subjectToken: string;
  readonly subjectTokenType?: TokenType;
}

export interface Wanted extends Subject {
  /** What the token must be able to do; without it, all that the user granted and your client may have. */
  readonly scopes?: readonly string[];
  /** Which account, when the user connected several: its id, login or e-mail address. */
  readonly loginHint?: string;
  /** The agent's own token, recorded as the one that acts (RFC 8693 §4.1). */
  readonly actorToken?: string;
  readonly actorTokenType?: TokenType;
  /** A token from here that the provider's API did not take: it is forgotten, and vaultd is told. */
  readonly insteadOf?: ProviderToken;
  /** Ends this caller's waiting. */
  readonly signal?: AbortSignal;
}

/** The form of one exchange (RFC 8693 §2.1). */
export function exchangeForm(connection: string, wanted: Wanted): Record<string, string> {
  if (connection === '') throw new MistakenUse('The connection has no name.');
  if (wanted.subjectToken === '') throw new MistakenUse('subjectToken is empty; is the user signed in?');
  return {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: wanted.subjectToken,
    subject_token_type: TYPES[wanted.subjectTokenType ?? 'access_token'],
    requested_token_type: TYPES.access_token,
    audience: connection,
    ...(wanted.scopes?.length ? { scope: [...new Set(wanted.scopes)].sort().join(' ') } : {}),
    ...(wanted.loginHint ? { login_hint: wanted.loginHint } : {}),
    ...(wanted.actorToken
      ? { actor_token: wanted.actorToken, actor_token_type: TYPES[wanted.actorTokenType ?? 'access_token'] }
      : {}),
  };
}

/** A name for these texts under which something can be kept without keeping the texts. */
export function fingerprint(...texts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(texts)).digest('base64url');
}

/**
 * Milliseconds since the epoch, as the token itself says, or for ever when it is no JWT with an `exp`.
 *
 * Nothing is verified here: the time only ends the keeping of what vaultd gave for this token, never prolongs it.
 */
export function unverifiedEnd(subjectToken: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(subjectToken.split('.')[1] ?? '', 'base64url').toString());
    const { exp } = claims as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : Infinity;
  } catch {
    return Infinity;
  }
}
