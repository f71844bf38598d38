import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Api, ApiError } from '../../exness_streams/web/js/api.js';
import { grown } from '../../exness_streams/web/js/candles.js';
import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { Desk } from '../../exness_streams/web/js/desk.js';
import { draggedTrigger, faultsOf, onGrid, perUsd, quotationOf, triggerFaults } from '../../exness_streams/web/js/quotation.js';

const d = Decimal.from;
const QUOTE = { price: d('150'), bid: d('149.9'), ask: d('150.1'), timestamp: 0 };
const MARKET = { symbol: 'SOL_USDC', leverageMax: d(100), marginMin: d(1), feeRate: d('0.001'), maintenanceRate: d(0), tickSize: d('0.01'), stepSize: null };
/** @typedef {import('../../exness_streams/web/js/quotation.js').Draft} Draft */
/** @type {Draft} */
const DRAFT = { kind: 'market', side: 'long', margin: d(1000), leverage: d(10), price: null, stopLoss: undefined, takeProfit: undefined, slippage: undefined };

/** @param {Partial<typeof DRAFT>} changes */
function faults(changes, freeCash = d(10_000)) {
  return [...faultsOf({ ...DRAFT, ...changes }, MARKET, QUOTE, freeCash, 2).keys()];
}

test('an order is quoted before it is sent', () => {
  const quotation = quotationOf(DRAFT, MARKET, QUOTE);
  assert.equal(String(quotation?.quantity), '66.62225183');
  assert.equal(String(quotation?.liquidation), '135.09');
  assert.equal(String(quotation?.fee), '10');
  assert.equal(String(quotation?.spreadCost), '13.32445037');
  assert.equal(String(quotation?.total), '1010');
  assert.equal(quotationOf(DRAFT, MARKET, undefined), null);
});

test('a quantity is a multiple of the step of its market, and so is what it costs', () => {
  for (const [step, quantity, notional, fee] of [['0.01', '66.62', '9999.662', '9.999662'], ['0.00001', '66.62225', '9999.999725', '9.99999972'], ['50', '50', '7505', '7.505'], ['0.000000001', '66.62225183', '9999.99999968', '10'], ['0', '66.62225183', '9999.99999968', '10']]) {
    const quotation = quotationOf(DRAFT, { ...MARKET, stepSize: d(step) }, QUOTE);
    assert.deepEqual([quotation?.quantity, quotation?.notional, quotation?.fee].map(String), [quantity, notional, fee], step);
    assert.equal(String(quotation?.total), String(d(1000).plus(d(fee))));
    assert.equal(String(quotation?.liquidation), '135.09', 'of the entry and the leverage');
  }
});

test('of a margin that buys less than a step the smallest that does is said', () => {
  for (const [step, changes, words] of /** @type {[string | null, Partial<Draft>, string][]} */ ([
    ['0.01', { margin: d(1), leverage: d(1) }, 'Less than one step of 0.01 SOL at 150.10: at least 1.51 USD.'],
    ['0.01', { margin: d(1), leverage: d(1), side: 'short' }, 'Less than one step of 0.01 SOL at 149.90: at least 1.50 USD.'],
    ['0.01', { margin: d(1), leverage: d(1), kind: 'limit', price: d(140) }, 'Less than one step of 0.01 SOL at 140.00: at least 1.40 USD.'],
    ['0.01', { margin: d(1), leverage: d(1), kind: 'stop', price: d(200) }, 'Less than one step of 0.01 SOL at 200.00: at least 2.00 USD.'],
    ['1000', {}, 'Less than one step of 1,000 SOL at 150.10: at least 15,010.00 USD.'],
    [null, { margin: d(1), leverage: d(1), kind: 'limit', side: 'short', price: d('200000000') }, 'Less than one step of 0.00000001 SOL at 200,000,000.00: at least 2.00 USD.'],
  ])) {
    const market = { ...MARKET, stepSize: step === null ? null : d(step) };
    const draft = { ...DRAFT, ...changes };
    assert.deepEqual([...faultsOf(draft, market, QUOTE, d(10_000), 2)], [['margin', words]]);
    const least = d(/at least ([\d,.]+) USD/.exec(words)?.[1].replaceAll(',', '') ?? '');
    assert.deepEqual([...faultsOf({ ...draft, margin: least }, market, QUOTE, null, 2)], []);
    const less = faultsOf({ ...draft, margin: least.minus(d('0.01')) }, market, QUOTE, null, 2);
    assert.equal(less.get('margin'), words);
  }
  // Below the smallest margin that, and without a quote nothing is said.
  assert.equal(faultsOf({ ...DRAFT, margin: d('0.5') }, { ...MARKET, stepSize: d(1000) }, QUOTE, null, 2).get('margin'), 'At least 1 USD.');
  assert.deepEqual([...faultsOf(DRAFT, { ...MARKET, stepSize: d(1000) }, undefined, null, 2)], []);
});

test('a sell opens at the bid', () => {
  assert.equal(String(quotationOf({ ...DRAFT, side: 'short' }, MARKET, QUOTE)?.entry), '149.9');
});

test('what is wrong is said by field', () => {
  assert.deepEqual(faults({}), []);
  assert.deepEqual(faults({ margin: null }), ['margin']);
  assert.deepEqual(faults({ margin: d('0.5'), leverage: d(101) }), ['margin', 'leverage']);
  assert.deepEqual(faults({}, d(1009)), ['margin']);
  assert.deepEqual(faults({ slippage: null }), ['slippage']);
  assert.deepEqual(faults({ stopLoss: d(135) }), ['stopLoss']);
  assert.deepEqual(faults({ stopLoss: d(140), takeProfit: d('149.9') }), ['takeProfit']);
  assert.deepEqual(faults({ stopLoss: null }), ['stopLoss']);
  // Also without a quote: a trigger that is no number must not be left out of the order.
  assert.deepEqual([...faultsOf({ ...DRAFT, stopLoss: null, takeProfit: null }, MARKET, undefined, null, 2).keys()], ['stopLoss', 'takeProfit']);
  // What this kind of order does not have can't be wrong.
  assert.deepEqual(faults({ kind: 'limit', price: d(140), slippage: null }), []);
});

test('a stop order waits on its side of the market', () => {
  for (const [side, price, isRight] of /** @type {const} */ ([
    ['long', '150.2', true], ['long', '150.1', false], ['long', '150', false],
    ['short', '149.8', true], ['short', '149.9', false], ['short', '150', false],
  ])) {
    assert.deepEqual(faults({ kind: 'stop', side, price: d(price) }), isRight ? [] : ['price'], `${side} ${price}`);
  }
});

test('a limit order at the market is quoted and checked as the market order that it is', () => {
  for (const [side, price, entry] of /** @type {const} */ ([
    ['long', '150.05', '150.05'], ['long', '150.1', '150.1'], ['long', '170', '150.1'],
    ['short', '149.95', '149.95'], ['short', '149.9', '149.9'], ['short', '1', '149.9'],
  ])) {
    const draft = { ...DRAFT, kind: /** @type {const} */ ('limit'), side, price: d(price) };
    assert.equal(String(quotationOf(draft, MARKET, QUOTE)?.entry), entry, `${side} ${price}`);
    assert.deepEqual(faults(draft), []);
  }
  // Between the market and the price that it takes at most.
  assert.deepEqual(faults({ kind: 'limit', price: d(170), takeProfit: d(160) }), []);
  assert.deepEqual(faults({ kind: 'limit', price: d(170), stopLoss: d(149) }), []);
  assert.deepEqual(faults({ kind: 'limit', price: d(170), stopLoss: d(160) }), ['stopLoss']);
  assert.deepEqual(faults({ kind: 'limit', price: d(140), takeProfit: d('139.9') }), ['takeProfit']);
  // Without a quote nobody knows.
  assert.equal(String(quotationOf({ ...DRAFT, kind: 'limit', price: d(170) }, MARKET, undefined)?.entry), '170');
});

test('triggers of a short are the other way round', () => {
  const check = (/** @type {any} */ prices) => [...triggerFaults('short', prices, d(165), d(150), 2).keys()];
  assert.deepEqual(check({ stopLoss: d(160), takeProfit: d(140) }), []);
  assert.deepEqual(check({ stopLoss: d(149), takeProfit: d(151) }), ['stopLoss', 'takeProfit']);
  assert.deepEqual(check({ stopLoss: d(165) }), ['stopLoss']);
  assert.deepEqual(check({ stopLoss: d(150) }), ['stopLoss']);
  const long = (/** @type {any} */ prices) => [...triggerFaults('long', prices, d(135), d(150), 2).keys()];
  assert.deepEqual(long({ stopLoss: d(135), takeProfit: d(150) }), ['stopLoss', 'takeProfit']);
  assert.deepEqual(long({ stopLoss: d('135.01'), takeProfit: d('150.01') }), []);
  assert.deepEqual(long({ stopLoss: d(150) }), ['stopLoss']);
});

test('an entry line dragged to where it would lose sets the stop loss, to where it would gain the take profit', () => {
  for (const [side, price, field] of /** @type {const} */ ([
    ['long', '149.99', 'stopLoss'], ['long', '150.01', 'takeProfit'], ['long', '1', 'stopLoss'], ['long', '1000', 'takeProfit'],
    ['short', '149.99', 'takeProfit'], ['short', '150.01', 'stopLoss'], ['short', '1', 'takeProfit'], ['short', '1000', 'stopLoss'],
  ])) {
    assert.equal(draggedTrigger('entry', side, d(price), d(150)), field, `${side} to ${price}`);
    // The platform takes it there, as the field that it became.
    assert.deepEqual([...triggerFaults(side, { [field]: d(price) }, side === 'long' ? d(0) : d(2000), d(150), 2).keys()], []);
    // A trigger's own line is moved, never turned into the other.
    for (const role of /** @type {const} */ (['stopLoss', 'takeProfit'])) assert.equal(draggedTrigger(role, side, d(price), d(150)), role);
  }
});

test('a live price grows its candle, or begins the next', () => {
  const bar = grown(undefined, d('150'), 61_000, 60);
  assert.deepEqual(bar, { time: 60, open: 150, high: 150, low: 150, close: 150, volume: null });
  assert.deepEqual(grown(bar ?? undefined, d('149'), 119_999, 60), { time: 60, open: 150, high: 150, low: 149, close: 149, volume: null });
  assert.equal(grown(bar ?? undefined, d('151'), 60_000, 60)?.high, 151);
  assert.equal(grown(bar ?? undefined, d('151'), 60_000, 60)?.low, 150);
  assert.equal(grown(bar ?? undefined, d('149'), 60_000, 60)?.high, 150);
  assert.equal(grown(bar ?? undefined, d('151'), 120_000, 60)?.time, 120);
  assert.equal(grown(bar ?? undefined, d('151'), 59_999, 60), null);
});

/**
 * A platform that gives one answer after the other; null: none at all.
 * @param {([number, object, Record<string, string>?] | null)[]} answers
 */
function platform(...answers) {
  /** @type {{ key: string, body: string }[]} */
  const asked = [];
  globalThis.fetch = async (_, request) => {
    asked.push({ key: new Headers(request?.headers).get('Idempotency-Key') ?? '', body: String(request?.body) });
    const answer = answers.shift();
    if (!answer) throw new TypeError('connection refused');
    return new Response(JSON.stringify(answer[1]), { status: answer[0], headers: answer[2] });
  };
  return asked;
}

test('a submit without an answer is repeated with its key', async () => {
  const asked = platform(null, [503, { error: 'REBALANCING', message: 'moving' }], [504, { error: 'OUTCOME_UNKNOWN', message: '?' }], [201, { positionId: 'p' }]);
  const attempts = /** @type {number[]} */ ([]);
  const answer = await new Api(null).post('/x', { a: 1 }, { onRetry: (attempt) => attempts.push(attempt) });
  assert.equal(answer.positionId, 'p');
  assert.equal(new Set(asked.map(({ key }) => key)).size, 1);
  assert.deepEqual(attempts, [2, 3, 4]);
});

test('an overloaded platform is asked again when it wants to be, with the same key', async () => {
  const asked = platform([503, { error: 'OVERLOADED', message: 'behind' }, { 'Retry-After': '1' }], [201, { positionId: 'p' }]);
  const pauses = /** @type {number[]} */ ([]);
  const later = globalThis.setTimeout;
  globalThis.setTimeout = /** @type {any} */ ((/** @type {() => void} */ resume, /** @type {number} */ ms) => (pauses.push(ms), later(resume, 0)));
  try {
    assert.equal((await new Api(null).post('/x', {})).positionId, 'p');
  } finally {
    globalThis.setTimeout = later;
  }
  assert.equal(new Set(asked.map(({ key }) => key)).size, 1);
  assert.equal(pauses.length, 1);
  assert.ok(pauses[0] >= 1000, `it waited ${pauses[0]} ms`);
});

test('a refusal is final', async () => {
  for (const [status, error] of /** @type {const} */ ([[400, 'INSUFFICIENT_MARGIN'], [503, 'PRICE_UNAVAILABLE'], [404, 'POSITION_NOT_FOUND']])) {
    const asked = platform([status, { error, message: 'no', details: { field: 'margin' } }]);
    await assert.rejects(new Api(null).post('/x', {}), (fault) => fault instanceof ApiError && fault.code === error && !fault.isUnknown);
    assert.equal(asked.length, 1);
  }
});

test('an outcome that is not known keeps its key and body; the next submit has new ones', async () => {
  const desk = new Desk(new Api('me'), /** @type {any} */ ({}));
  const first = platform();
  await assert.rejects(desk.submit('/open', { margin: '5', currentPrice: '150' }), (fault) => fault instanceof ApiError && fault.isUnknown);
  const again = platform([201, {}]);
  await desk.submit('/open', { margin: '5', currentPrice: '151' });
  assert.deepEqual(again[0], first[0]);
  const next = platform([201, {}]);
  await desk.submit('/open', { margin: '5', currentPrice: '151' });
  assert.notEqual(next[0].key, first[0].key);
});

test('a move of one dollar is worth the quantity, below a dollar to four digits', () => {
  for (const [quantity, text] of [['6.66222518', '6.66'], ['1234', '1,234.00'], ['0.01152123', '0.01152'], ['0.00000012', '0.00000012'], ['0.99999', '1']]) {
    assert.equal(perUsd(d(quantity)), text);
  }
});

test('a dragged price is put on the grid', () => {
  for (const [price, tick, put] of [['150.073', '0.05', '150.05'], ['150.08', '0.05', '150.1'], ['150.07', '0.01', '150.07'], ['0.004', '0.01', '0.01'], ['7.3', '2.5', '7.5'], ['101', '10', '100'], ['150.073', null, '150.073'], ['150', '0', '150']]) {
    assert.equal(onGrid(d(price ?? ''), tick === null ? null : d(tick)).compare(d(put ?? '')), 0, `${price} on ${tick}`);
  }
});
