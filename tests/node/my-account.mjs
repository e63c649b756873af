// One call of the accounts API by Auth0's own client for it: `myAccount` of its SDK for browsers, which knows no other
// place than its `domain`. What is vaultd's here is that domain and the token, which an app has from its own sign-in.
//
// Reads one JSON object from standard input, so that no secret stands in a process list:
//   domain, token, call ("connectAccount" or "completeAccount"), params (what that call takes).
// Prints one JSON object: {ok: true, result} or {ok: false, kind, message, type, status, title, detail,
//   validation_errors}, the members of the client's own error.

import process from 'node:process';
import { text } from 'node:stream/consumers';

import { Auth0Client } from '@auth0/auth0-spa-js';

const { domain, token, call, params } = JSON.parse(await text(process.stdin));

class Client extends Auth0Client {
  async getTokenSilently() {
    return token;
  }
}

function described(error) {
  const { message, type, status, title, detail, validation_errors } = error;
  return { ok: false, kind: error.name, message, type, status, title, detail, validation_errors };
}

const client = new Client({ domain, clientId: 'sample-agent' });
const outcome = await client.myAccount[call](params).then((result) => ({ ok: true, result }), described);
console.log(JSON.stringify(outcome));
