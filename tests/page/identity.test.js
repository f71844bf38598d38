import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ApiError } from '../../exness_streams/web/js/api.js';
import { Identity } from '../../exness_streams/web/js/identity.js';

const GUEST = { auth: 'required', kind: 'guest', account: null, email: null, scopes: [], operator: false, expiresAt: null };
const OPEN = { ...GUEST, auth: 'open', kind: 'open', account: 'demo' };
const ANN = { ...GUEST, kind: 'session', account: 'acc_ann', email: 'ann@example.org', operator: true, expiresAt: '1800000000000' };
const BOB = { ...ANN, account: 'acc_bob', email: 'bob@example.org', operator: false };
const ENDED = new ApiError(401, 'UNAUTHORIZED', 'this session has ended');
const SILENT = new ApiError(0, 'NO_ANSWER', 'The platform did not answer.');

/** The sign-in's answers, one after the other; the last one stays. */
class Api {
  /** @type {string | null} */
  account = null;
  /** @type {string[]} */
  asked = [];
  onRefusal = (/** @type {ApiError} */ _error) => {};

  /** @param {any[]} answers */
  constructor(answers) {
    this.answers = answers;
  }

  /** @param {string} path */
  async ask(path) {
    this.asked.push(path);
    const answer = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

/**
 * @param {any[]} answers
 * @param {string | null} [named]
 */
function setUp(answers, named = null) {
  const api = new Api(answers);
  /** @type {any[]} */
  const heard = [];
  const channel = { posted: 0, onmessage: /** @type {any} */ (null), postMessage: () => (channel.posted += 1) };
  const identity = new Identity(/** @type {any} */ (api), named, {
    onAccount: (account) => heard.push(['account', account]),
    onFound: (now, before) => heard.push(['found', before.kind, now.kind]),
    onSilence: () => heard.push(['silence']),
  }, channel);
  return { api, identity, heard, channel };
}

for (const [told, named, account] of /** @type {const} */ ([
  [OPEN, null, 'demo'], [OPEN, 'ann', 'ann'], [ANN, null, 'acc_ann'], [ANN, 'demo', 'acc_ann'], [GUEST, null, null], [GUEST, 'ann', null],
])) {
  test(`${told.kind}, the address names ${named}: the page shows ${account}`, async () => {
    const { api, identity, heard } = setUp([told], named);
    await identity.find();
    assert.deepEqual(heard, [['account', account]]);
    assert.equal(api.account, account);
    assert.equal(identity.isGuest, told.kind === 'guest');
    assert.equal(identity.isSignedIn, told.kind === 'session');
  });
}

test('what is told is read', async () => {
  const { identity } = setUp([ANN]);
  /** @type {any[]} */
  const seen = [];
  identity.watch((who) => seen.push(who));
  await identity.find();
  assert.deepEqual(seen[0], { auth: 'required', kind: 'session', account: 'acc_ann', email: 'ann@example.org', isOperator: true, expiresAt: 1800000000000 });
  identity.watch((who) => seen.push(who.account));
  assert.equal(seen[1], 'acc_ann', 'who asks later is told at once');
});

test('a refusal makes it ask, once however many there are', async () => {
  const { api, identity, heard } = setUp([ANN, GUEST]);
  await identity.find();
  api.onRefusal(ENDED);
  api.onRefusal(ENDED);
  await identity.find();
  assert.deepEqual(api.asked, ['/api/auth/me', '/api/auth/me']);
  assert.deepEqual(heard, [['account', 'acc_ann'], ['account', null], ['found', 'session', 'guest']]);
});

test('another account is found, and told', async () => {
  const { identity, heard } = setUp([ANN, BOB]);
  await identity.find();
  await identity.find();
  assert.deepEqual(heard.slice(1), [['account', 'acc_bob'], ['found', 'session', 'session']]);
});

test('what was done here is no surprise, and the other pages are told', async () => {
  const { identity, heard, channel } = setUp([GUEST, ANN, GUEST]);
  await identity.find();
  await identity.renew();
  await identity.renew();
  assert.deepEqual(heard, [['account', null], ['account', 'acc_ann'], ['account', null]]);
  assert.equal(channel.posted, 2);
});

test('another page of this browser has signed in', async () => {
  const { identity, heard, channel } = setUp([OPEN, ANN]);
  await identity.find();
  channel.onmessage();
  await identity.find();
  assert.deepEqual(heard.slice(1), [['account', 'acc_ann'], ['found', 'open', 'session']]);
  assert.equal(channel.posted, 0, 'or two pages would tell each other for ever');
});

test('the same again changes nothing', async () => {
  const { identity, heard } = setUp([ANN]);
  await identity.find();
  await identity.find();
  assert.deepEqual(heard, [['account', 'acc_ann']]);
});

test('it asks until there is an answer', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const { identity, heard } = setUp([SILENT, SILENT, ANN]);
  const found = identity.find();
  for (let turn = 0; turn < 20; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    context.mock.timers.tick(1000);
  }
  await found;
  assert.deepEqual(heard, [['silence'], ['silence'], ['account', 'acc_ann']]);
});
