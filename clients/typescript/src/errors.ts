/**
 * Everything that this package throws:
 *
 *     VaultError
 *     ├── MistakenUse           the caller's own mistake; nothing was sent
 *     ├── VaultUnreachable      no answer in time, or no connection
 *     ├── UnexpectedAnswer      an answer that no vaultd gives: a redirect, no JSON, too long
 *     └── VaultRefused          an OAuth error (RFC 6749 §5.2): `error`, `status`, `requestId`
 *         ├── InteractionRequired   the user must act: `reason`, `connection`, `connectUri`, `accounts`
 *         └── TryLater         busy or down: `retryAfter`, in seconds
 *
 * No message and no member holds a token or a secret.
 */

export class VaultError extends Error {
  override readonly name: string = 'VaultError';
}

/** The caller's own mistake; nothing was sent. */
export class MistakenUse extends VaultError {
  override readonly name = 'MistakenUse';
}

/** No answer in time, or no connection at all. */
export class VaultUnreachable extends VaultError {
  override readonly name = 'VaultUnreachable';
}

/** An answer that no vaultd gives: a redirect, something else than JSON, too much of it. */
export class UnexpectedAnswer extends VaultError {
  override readonly name = 'UnexpectedAnswer';
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

export interface Refusal {
  readonly error: string;
  readonly description: string;
  readonly status: number;
  /** Leads an operator to the request in vaultd's log and audit events. */
  readonly requestId: string | undefined;
}

/** An OAuth error (RFC 6749 §5.2). The message is a sentence to show a person. */
export class VaultRefused extends VaultError {
  override readonly name: string = 'VaultRefused';
  readonly error: string;
  readonly status: number;
  readonly requestId: string | undefined;

  constructor(refusal: Refusal) {
    super(refusal.description || refusal.error);
    this.error = refusal.error;
    this.status = refusal.status;
    this.requestId = refusal.requestId;
  }
}

/** `string` stands for reasons of later versions. */
export type Reason =
  'not_connected' | 'reconnect_required' | 'scope_missing' | 'account_ambiguous' | (string & Record<never, never>);

/** The user must act. `connectUri` is where; `accounts` are the labels to choose from when there are several. */
export class InteractionRequired extends VaultRefused {
  override readonly name = 'InteractionRequired';
  readonly reason: Reason;
  readonly connection: string;
  readonly connectUri: string;
  readonly accounts: readonly string[];

  constructor(
    refusal: Refusal,
    needed: { reason: Reason; connection: string; connectUri: string; accounts: readonly string[] },
  ) {
    super(refusal);
    this.reason = needed.reason;
    this.connection = needed.connection;
    this.connectUri = needed.connectUri;
    this.accounts = needed.accounts;
  }
}

/** Busy (429) or down (503), and still so after the retries. `retryAfter` is in seconds. */
export class TryLater extends VaultRefused {
  override readonly name = 'TryLater';
  readonly retryAfter: number;

  constructor(refusal: Refusal, retryAfter: number) {
    super(refusal);
    this.retryAfter = retryAfter;
  }
}
