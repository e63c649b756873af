/** The three places where a developer's day leaves traces, by the names of their connections at the vault. */
export const TOPICS = ['github', 'google', 'slack'] as const;
export type Topic = (typeof TOPICS)[number];

export const TITLES: Readonly<Record<Topic, string>> = {
  github: 'GitHub',
  google: 'Google Calendar',
  slack: 'Slack',
};

export const SCOPES: Readonly<Record<Topic, readonly string[]>> = {
  github: ['repo'],
  google: ['https://www.googleapis.com/auth/calendar.readonly'],
  slack: ['channels:history'],
};

export function isTopic(name: string | null | undefined): name is Topic {
  return TOPICS.some((topic) => topic === name);
}

export function listed(topics: readonly Topic[]): string {
  return new Intl.ListFormat('en', { type: 'conjunction' }).format(topics.map((topic) => TITLES[topic]));
}
