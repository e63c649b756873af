/** The three tools. They hold no token: each asks the vault at the moment it calls its API. */
import type { Refuses } from '@vaultd/client';
import { fetchForConnection, withConnection } from '@vaultd/client/ai';
import { tool } from 'ai';
import { z } from 'zod';

import type { Config } from './config.js';
import { SCOPES, TITLES, type Topic } from './topics.js';

const onDay = z.object({ day: z.iso.date().describe('The day, as YYYY-MM-DD, in UTC') });
const MOST = '20';
const MOST_BYTES = 1024 * 1024;
/** Slack says under status 200 that it does not take a token (https://api.slack.com/methods/auth.revoke). */
const SLACK_REFUSES = new Set(['invalid_auth', 'token_expired', 'token_revoked']);

const pulls = z.object({
  items: z.array(z.object({ number: z.number(), title: z.string(), state: z.string(), repository_url: z.string() })),
});
const calendar = z.object({
  items: z.array(
    z.object({
      summary: z.string().default('(busy)'),
      start: z.object({ dateTime: z.string().optional(), date: z.string().optional() }),
    }),
  ),
});
const history = z.object({
  ok: z.literal(true),
  messages: z.array(z.object({ text: z.string(), username: z.string().optional(), user: z.string().optional() })),
});

/** What a tool found; the model gets it as JSON. */
export interface Found {
  readonly items: readonly string[];
}

export function createTools({ apis, slackChannel }: Pick<Config, 'apis' | 'slackChannel'>) {
  return {
    github: withConnection(
      { connection: 'github', scopes: SCOPES.github },
      tool({
        description: 'The pull requests that the user had to do with on a day',
        inputSchema: onDay,
        execute: async ({ day }): Promise<Found> => {
          const q = `is:pr involves:@me updated:${day}T00:00:00Z..${day}T23:59:59Z`;
          const query = new URLSearchParams({ q, sort: 'updated', per_page: MOST });
          const { items } = pulls.parse(await get('github', apis.github, `search/issues?${query}`));
          return { items: items.map((pull) => `#${pull.number} ${pull.title} (${repository(pull)}, ${pull.state})`) };
        },
      }),
    ),
    google: withConnection(
      { connection: 'google', scopes: SCOPES.google },
      tool({
        description: "The events in the user's calendar on a day",
        inputSchema: onDay,
        execute: async ({ day }): Promise<Found> => {
          const { start, end } = bounds(day);
          const query = new URLSearchParams({
            timeMin: start.toISOString(),
            timeMax: end.toISOString(),
            singleEvents: 'true',
            orderBy: 'startTime',
            maxResults: MOST,
          });
          const { items } = calendar.parse(
            await get('google', apis.google, `calendar/v3/calendars/primary/events?${query}`),
          );
          const time = (at: { dateTime?: string | undefined }) => at.dateTime?.slice(11, 16) ?? 'all day';
          return { items: items.map((event) => `${time(event.start)} ${event.summary}`) };
        },
      }),
    ),
    slack: withConnection(
      { connection: 'slack', scopes: SCOPES.slack },
      tool({
        description: "The messages of a day in the team's channel",
        inputSchema: onDay,
        execute: async ({ day }): Promise<Found> => {
          const { start, end } = bounds(day);
          const query = new URLSearchParams({
            channel: slackChannel,
            oldest: String(start.getTime() / 1000),
            latest: String(end.getTime() / 1000),
            limit: MOST,
          });
          const { messages } = history.parse(await get('slack', apis.slack, `conversations.history?${query}`));
          // The newest comes first there.
          return { items: messages.reverse().map(({ text, username, user }) => `${username ?? user ?? '?'}: ${text}`) };
        },
      }),
    ),
  } satisfies Record<Topic, object>;
}

const refuses: Partial<Record<Topic, Refuses>> = {
  slack: async (answer) =>
    answer.ok && SLACK_REFUSES.has(String(((await answer.json()) as { error?: unknown }).error)),
};

async function get(topic: Topic, base: string, path: string): Promise<unknown> {
  const headers = { accept: 'application/json', 'user-agent': 'devcontext' };
  const signal = AbortSignal.timeout(15_000);
  const answer = await fetchForConnection(topic, base, refuses[topic])(path, { headers, signal });
  const text = await answer.text();
  // The body stays out of the message: it is the provider's, and may be anything.
  if (!answer.ok || text.length > MOST_BYTES) throw new Error(`${TITLES[topic]} answered with ${answer.status}.`);
  return JSON.parse(text);
}

function repository(pull: { repository_url: string }): string {
  return pull.repository_url.split('/').slice(-2).join('/');
}

function bounds(day: string): { start: Date; end: Date } {
  const start = new Date(`${day}T00:00:00Z`);
  return { start, end: new Date(start.getTime() + 24 * 60 * 60 * 1000) };
}
