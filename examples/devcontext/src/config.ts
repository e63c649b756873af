/** What the app has to know, from its environment; `vaultd dev --client-env` writes most of it. */
import { randomBytes } from 'node:crypto';

export interface Config {
  /** Where browsers find the app. */
  readonly url: URL;
  readonly vault: { readonly url: string; readonly clientId: string; readonly clientSecret: string };
  readonly issuer: { readonly url: URL; readonly clientId: string; readonly clientSecret: string };
  readonly apis: { readonly github: string; readonly google: string; readonly slack: string };
  readonly slackChannel: string;
  readonly model: { readonly key: string; readonly name: string; readonly baseUrl: string | undefined } | undefined;
  /** The file that is the app's database. */
  readonly database: string;
  /** Seals the cookies. Without one in the environment, a restart signs everybody out. */
  readonly cookieKey: string;
}

const MODEL = 'gpt-5-mini';
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Throws an `Error` that names the variable which is missing. */
export function configFrom(environment: NodeJS.ProcessEnv): Config {
  const needed = (name: string): string => {
    const value = environment[name];
    if (value === undefined || value === '') throw new Error(`${name} is not set; examples/devcontext/run sets it.`);
    return value;
  };
  const key = environment['OPENAI_API_KEY'];
  const url = new URL(needed('APP_URL'));
  if (url.protocol !== 'https:' && !LOOPBACK.has(url.hostname)) {
    throw new Error('APP_URL is not https; plain http is for a loopback host only.');
  }
  return {
    url,
    vault: {
      url: needed('VAULTD_URL'),
      clientId: needed('VAULTD_CLIENT_ID'),
      clientSecret: needed('VAULTD_CLIENT_SECRET'),
    },
    issuer: {
      url: new URL(needed('OIDC_ISSUER')),
      clientId: needed('OIDC_CLIENT_ID'),
      clientSecret: needed('OIDC_CLIENT_SECRET'),
    },
    apis: {
      github: folder(environment['GITHUB_API_URL'] || 'https://api.github.com'),
      google: folder(environment['GOOGLE_API_URL'] || 'https://www.googleapis.com'),
      slack: folder(environment['SLACK_API_URL'] || 'https://slack.com/api'),
    },
    slackChannel: environment['SLACK_CHANNEL'] || 'general',
    model: key
      ? { key, name: environment['DEVCONTEXT_MODEL'] ?? MODEL, baseUrl: environment['OPENAI_BASE_URL'] }
      : undefined,
    database: environment['DEVCONTEXT_DATABASE'] ?? 'data/devcontext.json',
    cookieKey: environment['DEVCONTEXT_COOKIE_KEY'] ?? randomBytes(32).toString('base64url'),
  };
}

/** So that relative paths of the API are resolved below it. */
function folder(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}
