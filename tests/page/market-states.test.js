import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Condition } from '../../exness_streams/web/js/condition.js';
import { badgeOf, sentenceOf, stateOf } from '../../exness_streams/web/js/market-states.js';
import { Store } from '../../exness_streams/web/js/store.js';

const WORDS = /** @type {const} */ ([
  ['open', null, '', null],
  ['close_only', 'operator', 'close only', 'In this market positions can only be closed: so the operator has decided.'],
  ['close_only', 'not_offered', 'close only', 'In this market positions can only be closed: it is not offered any more.'],
  ['suspended', 'price_guard', 'suspended', 'This market is suspended until its newest prices are confirmed: its prices jumped too far to be believed at once.'],
  ['halted', 'exchange', 'halted', 'Trading in this market is halted: so the exchange says.'],
  ['settled', 'operator', 'settled', 'This market was settled: its positions were closed, for good.'],
  ['of_later', 'somebody', 'of later', 'This market is of later.'],
]);

for (const [state, reason, badge, sentence] of WORDS) {
  test(`${state} by ${reason} in words`, () => {
    const told = stateOf({ symbol: 'SOL_USDC', state, stateReason: reason });
    assert.equal(badgeOf(told), badge);
    assert.equal(sentenceOf(told), sentence);
  });
}

/** @param {string} symbol */
const market = (symbol, extra = {}) => ({ symbol, maxLeverage: '100', minMargin: '1', feeRate: '0', maintenanceMarginRate: '0', tickSize: null, price: '150', bid: '149', ask: '151', timestamp: Date.now(), ...extra });

test('what the stream tells is newer than the list, and begins anew with each connection', () => {
  const store = new Store(/** @type {any} */ ({ request: () => {} }));
  const condition = new Condition(store, 5000);
  store.setLink('open');
  store.takeMarketState({ symbol: 'SOL_USDC', state: 'halted', stateReason: 'operator' });
  const list = { markets: [market('SOL_USDC', { state: 'open' }), market('BTC_USDC', { state: 'close_only', stateReason: 'exchange' }), market('ETH_USDC')] };
  store.takeMarkets(list);
  assert.deepEqual(['SOL_USDC', 'BTC_USDC', 'ETH_USDC', 'DOGE_USDC'].map((symbol) => store.stateOf(symbol).state), ['halted', 'close_only', 'open', 'open']);
  assert.equal(condition.why('SOL_USDC'), 'Trading in this market is halted: so the operator has decided.');
  assert.equal(condition.why('ETH_USDC'), null);
  store.takeMarketState({ symbol: 'SOL_USDC', state: 'open', stateReason: null });
  assert.equal(condition.why('SOL_USDC'), null);
  store.forgetStates();
  assert.equal(store.stateOf('BTC_USDC').state, 'open');
  store.takeMarkets(list);
  assert.equal(store.stateOf('BTC_USDC').state, 'close_only');
});
