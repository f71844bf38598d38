import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Store } from '../../exness_streams/web/js/store.js';

/** Frames that come when the test says so. */
class Frames {
  /** @type {Set<() => void>} */
  jobs = new Set();

  /** @param {() => void} job */
  request(job) {
    this.jobs.add(job);
  }

  next() {
    const jobs = [...this.jobs];
    this.jobs.clear();
    for (const job of jobs) job();
  }
}

const POSITION = { positionId: 'p1', symbol: 'SOL_USDC', asset: 'SOL', margin: '1000', leverage: '2', quantity: '13.33333333', entryPrice: '150', liquidationPrice: '75', stopLoss: null, takeProfit: null, fee: '1' };
const HEAD = { accountId: 'demo', timestamp: 5 };
const OPENED = { ...HEAD, ...POSITION, type: 'PositionOpened', eventId: '0-1-0', side: 'long', balance: '9999' };
const CLOSED = { ...HEAD, type: 'PositionClosed', positionId: 'p1', symbol: 'SOL_USDC', realizedPnL: '-10', fee: '1', balance: '9988', remaining: null };
const ORDER = { ...HEAD, orderId: 'o1', symbol: 'SOL_USDC', side: 'short', kind: 'limit', price: '160', margin: '500', leverage: '3', quantity: '9.375', reservedFee: '2.5', placedAt: 4, balance: '10000' };

/** @param {number} sequence */
function snapshot(sequence, extra = {}) {
  const account = { accountId: 'demo', balance: '10000', realizedPnL: '0', fees: '0', deposited: '0', startingBalance: '10000' };
  return { type: 'state', positions: [], orders: [], account, sequence, ...extra };
}

function setUp() {
  const frames = new Frames();
  const seen = { gaps: 0, events: /** @type {string[]} */ ([]) };
  const store = new Store(/** @type {any} */ (frames), {
    onGap: () => { seen.gaps += 1; },
    onEvent: (event) => seen.events.push(event.type),
  });
  store.takeSnapshot(snapshot(3));
  frames.next();
  return { store, frames, seen };
}

test('events carry the account from the snapshot on', () => {
  const { store } = setUp();
  store.takeEvent({ ...OPENED, sequence: 4 });
  assert.equal(store.positions.get('p1')?.openedAt, 5);
  assert.equal(String(store.freeCash), '8999');
  store.takeMarketData({ symbol: 'SOL_USDC', price: '151', bid: '149', ask: '152', timestamp: 1 });
  assert.equal(String(store.figures?.unrealizedPnL), '-13.33333333');
  assert.equal(String(store.figures?.equity), '9985.66666667');
  store.takeEvent({ ...CLOSED, sequence: 5 });
  assert.equal(store.positions.size, 0);
  assert.equal(String(store.totals?.realizedPnL), '-10');
  assert.equal(String(store.totals?.fees), '2');
  assert.equal(String(store.figures?.equity), '9988');
  assert.equal(store.figures?.marginLevel, null);
});

test('a partial close leaves the rest', () => {
  const { store } = setUp();
  store.takeEvent({ ...OPENED, sequence: 4 });
  const remaining = { quantity: '3', margin: '225', fee: '0.2', liquidationPrice: '75', markPrice: '149', stopLoss: '140', takeProfit: null };
  store.takeEvent({ ...CLOSED, sequence: 5, remaining });
  const rest = store.positions.get('p1');
  assert.equal(String(rest?.quantity), '3');
  assert.equal(String(rest?.stopLoss), '140');
  assert.equal(String(store.usedMargin), '225');
});

test('orders hold their margin and fee until they are gone', () => {
  const { store } = setUp();
  store.takeEvent({ ...ORDER, type: 'OrderPlaced', sequence: 4 });
  assert.equal(String(store.freeCash), '9497.5');
  store.takeEvent({ ...ORDER, type: 'OrderCancelled', reason: 'client', sequence: 5 });
  assert.equal(String(store.freeCash), '10000');
});

test('a gap asks for a snapshot once, and nothing is applied until it comes', () => {
  const { store, seen } = setUp();
  store.takeEvent({ ...OPENED, sequence: 5 });
  store.takeEvent({ ...OPENED, sequence: 6 });
  assert.equal(seen.gaps, 1);
  assert.equal(store.positions.size, 0);
  store.takeSnapshot(snapshot(6, { positions: [{ ...POSITION, type: 'long', timestamp: 5 }] }));
  store.takeEvent({ ...CLOSED, sequence: 7 });
  assert.equal(store.positions.size, 0);
  assert.deepEqual(seen.events, ['PositionClosed']);
});

test('what was seen is not applied again', () => {
  const { store, seen } = setUp();
  store.takeEvent({ ...OPENED, sequence: 3 });
  store.takeEvent({ ...OPENED, sequence: 4 });
  store.takeEvent({ ...OPENED, sequence: 4 });
  assert.deepEqual(seen.events, ['PositionOpened']);
  assert.equal(seen.gaps, 0);
});

test('a heartbeat shows an event that was missed', () => {
  const { store, seen } = setUp();
  store.expect(3);
  assert.equal(seen.gaps, 0);
  store.expect(4);
  assert.equal(seen.gaps, 1);
});

test('an event that this page does not know asks for a snapshot', () => {
  const { store, seen } = setUp();
  store.takeEvent({ ...HEAD, type: 'BonusGranted', sequence: 4, balance: '10001' });
  assert.equal(seen.gaps, 1);
});

test('a reset begins anew', () => {
  const { store } = setUp();
  store.takeEvent({ ...OPENED, sequence: 4 });
  store.takeEvent({ ...HEAD, type: 'AccountReset', sequence: 5, balance: '10000', positionsDropped: ['p1'], ordersDropped: [] });
  assert.equal(store.positions.size, 0);
  assert.equal(String(store.figures?.equity), '10000');
  assert.equal(String(store.totals?.fees), '0');
});

test('many ticks are one render, of the symbols that moved', () => {
  const { store, frames } = setUp();
  /** @type {string[][]} */
  const renders = [];
  store.watch(['quotes'], (changes) => renders.push([...(changes.get('quotes') ?? [])]));
  for (let n = 0; n < 100; n += 1) {
    store.takeMarketData({ symbol: n % 2 ? 'SOL_USDC' : 'BTC_USDC', price: String(n + 1), bid: null, ask: null, timestamp: n });
  }
  assert.equal(renders.length, 0);
  frames.next();
  assert.deepEqual(renders, [['BTC_USDC', 'SOL_USDC']]);
  assert.equal(frames.jobs.size, 0);
});

test('a quote that was old when it came is old', () => {
  const { store } = setUp();
  store.takeMarketData({ symbol: 'SOL_USDC', price: '150', bid: null, ask: null, timestamp: Date.now() - 60_000 });
  assert.ok((store.quoteAgeMs('SOL_USDC') ?? 0) >= 60_000);
});

test('prices have as many places as the market has shown', () => {
  const { store } = setUp();
  assert.equal(store.placesOf('SOL_USDC'), 2);
  store.takeMarketData({ symbol: 'SOL_USDC', price: '150.5', bid: '150.4567', ask: '150.6', timestamp: 1 });
  assert.equal(store.placesOf('SOL_USDC'), 4);
});

test('where prices come from is known once it was said, and a message without it changes nothing', () => {
  const { store } = setUp();
  assert.equal(store.source, null);
  store.takeMarkets({ markets: [] });
  store.setFeed({ status: 'connected' });
  assert.equal(store.source, null);
  store.takeMarkets({ markets: [], feed: { status: 'connected', source: 'simulated' } });
  assert.equal(store.source, 'simulated');
  store.setFeed({ status: 'connecting', reason: 'x' });
  store.setFeed({ status: 'connecting', source: 'unknown' });
  assert.equal(store.source, 'simulated');
  store.setFeed({ status: 'connected', source: 'backpack' });
  assert.equal(store.source, 'backpack');
});

test('of an account that is shown no longer nothing is left, and nothing more is taken', () => {
  const { store, frames, seen } = setUp();
  store.takeEvent({ ...OPENED, sequence: 4 });
  store.takeEvent({ ...ORDER, type: 'OrderPlaced', eventId: '0-2-0', sequence: 5 });
  store.takeMarketData({ symbol: 'SOL_USDC', price: '151', bid: '149', ask: '152', timestamp: 1 });
  store.select('SOL_USDC', 'p1');
  /** @type {string[]} */
  const told = [];
  store.watch(['positions', 'orders', 'account', 'closed'], (changes) => told.push(...changes.keys()));
  frames.next();
  told.length = 0;
  store.forgetAccount();
  frames.next();
  for (const topic of ['positions', 'orders', 'account', 'closed']) assert.ok(told.includes(topic), topic);
  assert.deepEqual([store.positions.size, store.orders.size, store.totals, store.figures, store.freeCash, store.selectedPosition], [0, 0, null, null, null, null]);
  assert.deepEqual(store.positionsOf('SOL_USDC'), []);
  assert.equal(String(store.usedMargin), '0');
  assert.equal(String(store.quotes.get('SOL_USDC')?.ask), '152', 'the market is for everybody');
  seen.events.length = 0;
  store.takeEvent({ ...CLOSED, sequence: 6 });
  store.expect(9);
  assert.deepEqual([seen.events, seen.gaps], [[], 0]);
  store.takeSnapshot(snapshot(1));
  store.takeEvent({ ...OPENED, sequence: 2 });
  assert.equal(store.positions.size, 1, 'the other account counts from its own beginning');
});

test('the clock is the server\'s, however wrong this machine\'s is', (context) => {
  for (const aheadMs of [-7_200_000, 0, 7_200_000]) {
    context.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 + aheadMs });
    const { store, seen } = setUp();
    store.takeHeartbeat({ timestamp: '1700000000000', sequence: '3' });
    assert.equal(store.serverTimeMs, 1_700_000_000_000);
    context.mock.timers.setTime(1_700_000_005_000 + aheadMs);
    assert.equal(store.serverTimeMs, 1_700_000_005_000);
    store.takeMarketData({ symbol: 'SOL_USDC', price: '150', bid: '149', ask: '151', timestamp: 1_700_000_002_000 });
    assert.equal(store.quoteAgeMs('SOL_USDC'), 3_000);
    assert.equal(seen.gaps, 0);
    store.takeHeartbeat({ timestamp: 1_700_000_005_000, sequence: 4 });
    assert.equal(seen.gaps, 1, 'an event was missed');
    context.mock.timers.reset();
  }
});

test('an order of a snapshot is on its side, and holds its margin and fee', () => {
  const { store } = setUp();
  const order = { orderId: 'o', market: 'SOL_USDC', kind: 'limit', price: '160', quantity: '1', margin: '500', leverage: '3', reservedMargin: '502.5', stopLoss: null, takeProfit: null, expiresAt: null, timestamp: 4 };
  store.takeSnapshot(snapshot(3, { orders: [{ ...order, side: 'buy' }, { ...order, orderId: 'p', side: 'sell' }] }));
  assert.deepEqual([...store.orders.values()].map(({ side }) => side), ['long', 'short']);
  assert.equal(String(store.freeCash), '8995');
});
