import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { marginOfShare, orderRequest } from '../../exness_streams/web/js/order-request.js';
import { faultsOf } from '../../exness_streams/web/js/quotation.js';
import { fillFee, openingQuantity } from '../../exness_streams/web/js/valuation.js';

/** @typedef {import('../../exness_streams/web/js/quotation.js').Draft} Draft */

const d = Decimal.from;
const QUOTE = { price: d('150'), bid: d('149.9'), ask: d('150.1'), timestamp: 0 };
const MARKET = { symbol: 'SOL_USDC', leverageMax: d(100), marginMin: d(1), feeRate: d('0.001'), maintenanceRate: d(0), tickSize: d('0.01'), stepSize: null };
/** @type {Draft} */
const DRAFT = { kind: 'market', side: 'long', margin: d(1000), leverage: d(10), price: null, stopLoss: undefined, takeProfit: undefined, slippage: undefined };
/** @type {{ lifetimeMs: number | null, serverTimeMs: number }} */
const TIME = { lifetimeMs: null, serverTimeMs: 1_700_000_000_000 };
const PLAIN = { margin: '1000', asset: 'SOL_USDC', type: 'long', leverage: '10' };

/** @param {Partial<Draft>} changes */
function request(changes, time = TIME, /** @type {any} */ quote = QUOTE) {
  return orderRequest({ ...DRAFT, ...changes }, MARKET, quote, time);
}

test('a market order opens a position, with what was typed and nothing else', () => {
  assert.deepEqual(request({}), { path: '/api/v1/positions/open', body: PLAIN });
  assert.deepEqual(request({ side: 'short', stopLoss: d(160), takeProfit: d('140.50') }).body, { ...PLAIN, type: 'short', stopLoss: '160', takeProfit: String(d('140.50')) });
});

test('a slippage limit goes with the price that the trader saw: the ask for a buy, the bid for a sell', () => {
  for (const limit of ['0', '0.5', '100']) {
    for (const [side, seen] of /** @type {const} */ ([['long', '150.1'], ['short', '149.9']])) {
      assert.deepEqual(request({ side, slippage: d(limit) }).body, { ...PLAIN, type: side, slippage: limit, currentPrice: seen });
    }
  }
});

test('without a price to hold it against, a slippage limit is refused instead of left out', () => {
  for (const quote of [undefined, { ...QUOTE, ask: null }]) {
    const faults = faultsOf({ ...DRAFT, slippage: d('0.5') }, MARKET, quote, d(10_000), 2);
    assert.deepEqual([...faults.keys()], ['slippage']);
    assert.deepEqual([...faultsOf({ ...DRAFT, slippage: undefined }, MARKET, quote, d(10_000), 2).keys()], []);
  }
});

test('a pending order waits at its price, and has no slippage', () => {
  for (const kind of /** @type {const} */ (['limit', 'stop'])) {
    for (const slippage of [undefined, null, d('0.5')]) {
      assert.deepEqual(request({ kind, price: d(140), slippage }), { path: '/api/v1/orders/place', body: { ...PLAIN, kind, price: '140' } });
    }
  }
});

test('it expires its lifetime after now, by the clock of the server', (context) => {
  // This machine's clock is hours off: it must not matter.
  for (const hoursOff of [-5, 0, 5]) {
    context.mock.timers.enable({ apis: ['Date'], now: TIME.serverTimeMs + hoursOff * 3_600_000 });
    for (const lifetimeMs of [1, 3_600_000, 86_400_000]) {
      const { body } = request({ kind: 'limit', price: d(140) }, { ...TIME, lifetimeMs });
      assert.equal(body.expiresAt, TIME.serverTimeMs + lifetimeMs);
    }
    context.mock.timers.reset();
  }
  const { body } = request({ kind: 'limit', price: d(140) }, { lifetimeMs: 1000, serverTimeMs: TIME.serverTimeMs + 0.4 });
  assert.equal(body.expiresAt, TIME.serverTimeMs + 1000, 'whole milliseconds');
  assert.equal('expiresAt' in request({}, { ...TIME, lifetimeMs: 1000 }).body, false, 'a market order does not wait');
});

test('Max spends the free cash on margin and fee, to the cent, and never more', () => {
  for (const free of ['10000', '9999.99', '0.03', '123456789.12345678']) {
    for (const leverage of ['1', '10', '33', '100']) {
      for (const rate of ['0', '0.0005', '0.001', '0.01']) {
        const margin = marginOfShare(d(free), d(100), d(leverage), d(rate));
        const cost = (/** @type {Decimal} */ spent) => spent.plus(fillFee(openingQuantity(spent, d(leverage), QUOTE.ask, null), QUOTE.ask, d(rate)));
        assert.ok(margin.places <= 2);
        assert.ok(cost(margin).compare(d(free)) <= 0, `${margin} of ${free} at ${leverage} and ${rate}`);
        // Two cents more are too much: the quantity is rounded down, so one may still fit.
        assert.ok(cost(margin.plus(d('0.02'))).compare(d(free)) > 0, `${margin} of ${free} at ${leverage} and ${rate}`);
      }
    }
  }
});

test('a share is that share of it, and of a debt there is none', () => {
  assert.equal(String(marginOfShare(d(1010), d(50), d(10), d('0.001'))), '500');
  assert.equal(String(marginOfShare(d(1010), d(25), d(10), d('0.001'))), '250');
  assert.equal(String(marginOfShare(d(-5), d(100), d(10), d('0.001'))), '0');
  assert.equal(String(marginOfShare(d(0), d(100), d(10), d('0.001'))), '0');
});
