import assert from 'node:assert/strict';
import { test } from 'node:test';

import { configFrom } from '../src/config.js';
import { Seal } from '../src/seal.js';
import { world } from './support.js';

test('a sealed cookie opens under its own name and key only, and shows nothing', () => {
  const seal = new Seal('a secret');
  const sealed = seal.close('session', { token: 'eyJ.hidden' });
  assert.deepEqual(seal.open('session', sealed), { token: 'eyJ.hidden' });
  assert.notEqual(sealed, seal.close('session', { token: 'eyJ.hidden' }));
  assert.ok(!Buffer.from(sealed, 'base64url').includes('hidden'));
  assert.equal(seal.open('other', sealed), undefined);
  assert.equal(new Seal('another').open('session', sealed), undefined);
  const altered = Buffer.from(sealed, 'base64url');
  for (const place of [0, 12, altered.length - 1]) {
    const copy = Buffer.from(altered);
    copy[place] = (copy[place] ?? 0) ^ 1;
    assert.equal(seal.open('session', copy.toString('base64url')), undefined);
  }
  const nothings = [undefined, '', 'AAAA', 'not base64 at all'];
  for (const nothing of nothings) assert.equal(seal.open('session', nothing), undefined);
});

test('what is missing is named, and a token is sent over plain http to this machine only', () => {
  const { environment } = world();
  for (const name of ['APP_URL', 'VAULTD_URL', 'VAULTD_CLIENT_SECRET', 'OIDC_ISSUER']) {
    assert.throws(() => configFrom({ ...environment, [name]: '' }), new RegExp(name));
  }
  assert.throws(() => configFrom({ ...environment, APP_URL: 'http://app.example.com' }), /https/);
  const { apis } = configFrom({ ...environment, GITHUB_API_URL: undefined, SLACK_API_URL: undefined });
  assert.deepEqual([apis.github, apis.slack], ['https://api.github.com/', 'https://slack.com/api/']);
});
