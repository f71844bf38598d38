import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { Notices, callNotice, noticeOf } from '../../exness_streams/web/js/notices.js';

const TOLD = { title: 'Stop loss: 5 SOL', text: 'At 150.00, PnL −5.00 USD.' };

test('a notice is of what happened without the trader', () => {
  for (const [event, is] of /** @type {[any, boolean][]} */ ([
    [{ type: 'PositionOpened', orderId: 'o1' }, true],
    [{ type: 'PositionOpened', orderId: 'o1', causedBy: null }, true],
    [{ type: 'PositionOpened', orderId: 'o1', causedBy: 'r1' }, false], // at the market: by who placed it
    [{ type: 'PositionOpened', orderId: null }, false],
    [{ type: 'PositionClosed', reason: 'stop_loss' }, true],
    [{ type: 'PositionClosed', reason: 'take_profit' }, true],
    [{ type: 'PositionClosed', reason: 'liquidation' }, true],
    [{ type: 'PositionClosed', reason: 'manual' }, false],
    [{ type: 'OrderExpired' }, true],
    [{ type: 'OrderCancelled', reason: 'client' }, false],
    [{ type: 'OrderCancelled', reason: 'unfillable' }, true],
    [{ type: 'OrderCancelled', reason: 'exit_passed' }, true],
    [{ type: 'OrderCancelled', reason: 'liquidation' }, true],
    [{ type: 'OrderPlaced' }, false],
    [{ type: 'Deposited' }, false],
  ])) {
    assert.equal(noticeOf({ ...event, eventId: 'e1' }, TOLD) !== null, is, JSON.stringify(event));
  }
  assert.deepEqual(noticeOf({ type: 'OrderExpired', eventId: 'e1' }, TOLD), { ...TOLD, tag: 'e1' });
  assert.equal(noticeOf({ type: 'OrderExpired' }, null), null);
  assert.match(callNotice(Decimal.from('60')).text, /60%/);
});

function setUp(permission = 'default', answer = 'granted') {
  const shown = /** @type {string[]} */ ([]);
  const stored = new Map();
  const state = { isWatched: false, asked: 0 };
  const means = {
    permission,
    async ask() {
      state.asked += 1;
      return (means.permission = answer);
    },
    show: (/** @type {{ title: string }} */ { title }) => void shown.push(title),
  };
  const storage = { getItem: (/** @type {string} */ key) => stored.get(key) ?? null, setItem: (/** @type {string} */ key, /** @type {string} */ value) => void stored.set(key, value) };
  return { shown, means, state, notices: new Notices(means, storage, () => state.isWatched) };
}

const NOTICE = { ...TOLD, tag: 'e1' };

test('nobody who has not asked is asked or told', () => {
  for (const permission of ['default', 'granted', 'denied']) {
    const { notices, shown, state } = setUp(permission);
    notices.tell(NOTICE);
    assert.ok(!notices.isOn);
    assert.deepEqual(shown, []);
    assert.equal(state.asked, 0);
  }
});

test('who asked for them is told, unless they look at the page', async () => {
  const { notices, shown, state } = setUp();
  await notices.choose(true);
  assert.ok(notices.isOn);
  notices.tell(NOTICE);
  notices.tell(null);
  assert.deepEqual(shown, [TOLD.title]);
  state.isWatched = true;
  notices.tell(NOTICE);
  assert.equal(shown.length, 1);
  state.isWatched = false;
  await notices.choose(false);
  notices.tell(NOTICE);
  assert.equal(shown.length, 1);
});

test('what the browser forbids is off, and said', async () => {
  const { notices } = setUp('default', 'denied');
  await notices.choose(true);
  assert.ok(!notices.isOn);
  assert.match(notices.fault ?? '', /blocks/);
  const none = new Notices(null, { getItem: () => 'on', setItem: () => {} }, () => false);
  await none.choose(true);
  assert.ok(!none.isOn);
  none.tell(NOTICE);
  assert.match(none.fault ?? '', /no notifications/);
});
