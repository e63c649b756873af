// What the client adds to a request made by hand, and what three tools at once cost beside one.
//
// Reads one JSON object from standard input: url, clientId, clientSecret, subjectToken, rounds. Prints one: medians in
// milliseconds. The ways take turns, so that whatever else the machine does is shared by all of them.

import process from 'node:process';
import { text } from 'node:stream/consumers';

import { VaultClient, clientSecretBasic } from '@vaultd/client';

const { url, clientId, clientSecret, subjectToken, rounds } = JSON.parse(await text(process.stdin));
const authentication = clientSecretBasic(clientSecret);
const asking = new VaultClient({ url, clientId, authentication, cachedTokens: 0 });
const keeping = new VaultClient({ url, clientId, authentication });
const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
const type = 'urn:ietf:params:oauth:token-type:access_token';

async function byHand() {
  const answer = await fetch(`${url}/oauth/token`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subjectToken,
      subject_token_type: type,
      requested_token_type: type,
      audience: 'github',
    }).toString(),
  });
  const { access_token: token } = await answer.json();
  if (!answer.ok || token === undefined) throw new Error(`status ${answer.status}`);
}

const ask = (client, connection) => client.getAccessToken(connection, { subjectToken });
const ways = {
  byHand,
  byClient: () => ask(asking, 'github'),
  fromMemory: () => ask(keeping, 'github'),
  threeAtOnce: () => Promise.all(['github', 'google', 'slack'].map((connection) => ask(asking, connection))),
  threeInTurn: async () => {
    for (const connection of ['github', 'google', 'slack']) await ask(asking, connection);
  },
};

const taken = Object.fromEntries(Object.keys(ways).map((name) => [name, []]));
const names = Object.keys(ways);
for (let round = -20; round < rounds; round += 1) {
  for (let turn = 0; turn < names.length; turn += 1) {
    const name = names[(round + 20 + turn) % names.length];
    const started = performance.now();
    await ways[name]();
    if (round >= 0) taken[name].push(performance.now() - started);
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
console.log(JSON.stringify(Object.fromEntries(names.map((name) => [name, median(taken[name])]))));
