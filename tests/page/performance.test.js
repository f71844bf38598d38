import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { exposureOf } from '../../exness_streams/web/js/exposure.js';
import { byMarket, courseOf, tallyOf } from '../../exness_streams/web/js/performance.js';
import { newestTrades } from '../../exness_streams/web/js/trades.js';

const d = (/** @type {string} */ text) => Decimal.from(text);

/** @param {string} pnl @param {string} fee */
function trade(pnl, fee, symbol = 'SOL_USDC', closedAt = 0) {
  return { symbol, realizedPnL: d(pnl), fee: d(fee), closedAt };
}

test('a trade is won or lost after its fee', () => {
  const tally = tallyOf([trade('10', '1'), trade('0.5', '1'), trade('-4', '1'), trade('1', '1')]);
  assert.deepEqual([tally.trades, tally.won, tally.lost], [4, 1, 2]);
  assert.equal(String(tally.net), '3.5');
  assert.equal(String(tally.fees), '4');
  assert.equal(tally.winRate?.toFixed(2), '25.00');
  assert.equal(tally.profitFactor?.toFixed(4), '1.6364');
});

test('without trades there is no win rate, without losses no profit factor', () => {
  assert.equal(tallyOf([]).winRate, null);
  assert.equal(tallyOf([]).profitFactor, null);
  assert.equal(tallyOf([trade('5', '1')]).profitFactor, null);
  assert.equal(tallyOf([trade('-5', '1')]).profitFactor?.toFixed(2), '0.00');
});

test('by market, the largest result first', () => {
  const found = byMarket([trade('1', '0'), trade('5', '0', 'BTC_USDC'), trade('-2', '0'), trade('-9', '0', 'ETH_USDC')]);
  assert.deepEqual(found.map(({ symbol, net, trades }) => [symbol, String(net), trades]), [
    ['BTC_USDC', '5', 1], ['SOL_USDC', '-1', 2], ['ETH_USDC', '-9', 1],
  ]);
});

test('the drawdown is the deepest fall from a peak, whatever came before and after', () => {
  // Oldest first: 100, 120, 90, 130, 100, 110.
  const newestFirst = ['10', '-30', '40', '-30', '20'].map((pnl, index) => trade(pnl, '0', 'SOL_USDC', 9 - index));
  const { points, drawdown } = courseOf(newestFirst, d('100'));
  assert.deepEqual(points.map(({ value }) => String(value)), ['100', '120', '90', '130', '100', '110']);
  assert.ok(points.every(({ time }, index) => index === 0 || time >= points[index - 1].time));
  assert.equal(String(drawdown.amount), '30');
  assert.equal(drawdown.percent?.toFixed(2), '25.00', 'of the peak of 120: the same fall again is no deeper one');
  assert.deepEqual(courseOf([], d('100')).points, []);
  assert.equal(String(courseOf([trade('5', '0')], d('100')).drawdown.amount), '0');
  assert.equal(courseOf([trade('-5', '0')], d('0')).drawdown.percent, null);
});

/** @param {number} count of trades, t1 the oldest */
function platform(count) {
  const asked = /** @type {URLSearchParams[]} */ ([]);
  const message = (/** @type {number} */ number) => ({ tradeId: `t${number}`, symbol: 'A_USDC', type: 'long', quantity: '1', leverage: '1', entryPrice: '1', closePrice: '1', realizedPnL: '1', fee: '0', reason: 'manual', openedAt: 1, closedAt: 2 });
  return {
    count,
    asked,
    /** @param {string} path */
    async get(path) {
      const query = new URLSearchParams(path.split('?')[1]);
      asked.push(query);
      const newest = Number(query.get('cursor') ?? this.count);
      const rows = Array.from({ length: Math.min(newest, Number(query.get('limit'))) }, (_, index) => message(newest - index));
      const left = newest - rows.length;
      return { trades: rows, nextCursor: left > 0 ? String(left) : null };
    },
  };
}

test('all trades are read once, and afterwards only the new ones', async () => {
  const api = platform(1_200);
  const ids = (/** @type {{ tradeId: string }[]} */ trades) => trades.map(({ tradeId }) => tradeId);
  const all = await newestTrades(/** @type {any} */ (api), []);
  assert.deepEqual(ids(all), Array.from({ length: 1_200 }, (_, index) => `t${1_200 - index}`));
  const pages = api.asked.length;
  assert.ok(pages <= 4);
  api.count = 1_203;
  const again = await newestTrades(/** @type {any} */ (api), all);
  assert.equal(api.asked.length, pages + 1);
  assert.deepEqual(ids(again), Array.from({ length: 1_203 }, (_, index) => `t${1_203 - index}`));
  assert.equal(again.length, new Set(ids(again)).size);
});

test('after a reset nothing of before is counted, and there is an end to how many are', async () => {
  const reset = platform(0);
  assert.deepEqual(await newestTrades(/** @type {any} */ (reset), await newestTrades(/** @type {any} */ (platform(30)), [])), []);
  const many = await newestTrades(/** @type {any} */ (platform(7_000)), []);
  assert.equal(many.length, 5_000);
  assert.equal(many[0].tradeId, 't7000');
});

/** @param {'long' | 'short'} side */
function position(side, margin = '100', leverage = '10') {
  return /** @type {any} */ ({ side, margin: d(margin), leverage: d(leverage) });
}

test('what is held in a market: longs, shorts, average leverage, share of all', () => {
  const here = [position('long'), position('long', '300', '2'), position('short')];
  const found = exposureOf(here, [...here, position('short', '500', '1')]);
  assert.deepEqual([found.long, found.short], [2, 1]);
  assert.equal(found.leverage?.toFixed(2), '5.20');
  assert.equal(found.share?.toFixed(2), '50.00');
  assert.deepEqual(exposureOf([], []), { long: 0, short: 0, leverage: null, share: null });
});
