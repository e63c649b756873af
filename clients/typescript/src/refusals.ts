import { InteractionRequired, type Refusal, TryLater, UnexpectedAnswer, VaultRefused } from './errors.js';
import type { Answer } from './http.js';

const BUSY: ReadonlySet<number> = new Set([429, 503]);
const MOST_SECONDS = 86_400;
const PROBLEM = /^urn:vaultd:error:/;

/** The seconds of `Retry-After` with a 429 or 503; undefined when that is not what came. */
export function retryAfter({ status, headers }: Answer): number | undefined {
  const text = headers.get('retry-after');
  if (!BUSY.has(status) || text === null || !/^\d{1,9}$/.test(text)) return undefined;
  return Math.min(Number(text), MOST_SECONDS);
}

/** The error that an answer stands for. `vault` is where links for the user must lead. */
export function refused(answer: Answer, vault: string): Error {
  const { body, status, headers } = answer;
  // The token endpoint speaks RFC 6749 §5.2, the accounts API speaks of problems.
  const error = text(body['error']) || text(body['type']).replace(PROBLEM, '');
  if (status < 400 || error === '') {
    return new UnexpectedAnswer(`vaultd answered ${status} with neither a result nor an error.`, status);
  }
  const refusal: Refusal = {
    error,
    description: text(body['error_description']) || text(body['detail']),
    status,
    requestId: headers.get('x-request-id') ?? undefined,
  };
  if (refusal.error === 'interaction_required') return interaction(refusal, body, vault);
  if (BUSY.has(status)) return new TryLater(refusal, retryAfter(answer) ?? 1);
  return new VaultRefused(refusal);
}

function interaction(refusal: Refusal, body: Answer['body'], vault: string): Error {
  const connectUri = text(body['connect_uri']);
  // The link is shown to a person as ours: it must lead to the vault and nowhere else.
  if (!URL.canParse(connectUri) || new URL(connectUri).origin !== new URL(vault).origin) {
    return new UnexpectedAnswer('vaultd named a place to connect that is not its own.', refusal.status);
  }
  const accounts = Array.isArray(body['accounts']) ? body['accounts'].filter((label) => typeof label === 'string') : [];
  return new InteractionRequired(refusal, {
    reason: text(body['reason']),
    connection: text(body['connection']),
    connectUri,
    accounts,
  });
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
