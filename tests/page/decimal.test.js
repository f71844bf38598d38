import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { closingPart } from '../../exness_streams/web/js/closing.js';
import { Decimal, ZERO } from '../../exness_streams/web/js/decimal.js';
import { parseExact } from '../../exness_streams/web/js/exact-json.js';
import { fixed, money, priceText, signedMoney } from '../../exness_streams/web/js/format.js';
import * as valuation from '../../exness_streams/web/js/valuation.js';

const vectors = JSON.parse(readFileSync(new URL('./vectors.json', import.meta.url), 'utf8'));
const d = Decimal.from;

test('rounding is the platform\'s', () => {
  for (const { value, money: amount, quantity, price, step, stepped } of vectors.rounding) {
    assert.equal(valuation.toMoney(d(value)).toString(), d(amount).toString(), value);
    assert.equal(valuation.toQuantity(d(value), null).toString(), d(quantity).toString(), value);
    assert.equal(valuation.toQuantity(d(value), Decimal.maybe(step)).toString(), d(stepped).toString(), `${value} by ${step}`);
    assert.equal(valuation.toPrice(d(value)).toString(), d(price).toString(), value);
  }
});

test('quotients have the platform\'s 60 digits', () => {
  for (const { one, other, quotient } of vectors.quotients) {
    assert.equal(d(one).over(d(other)).toString(), d(quotient).toString(), `${one} / ${other}`);
  }
});

test('a position is valued as on the platform', () => {
  for (const vector of vectors.positions) {
    const [margin, leverage, entry, price, rate] = [vector.margin, vector.leverage, vector.entry, vector.price, vector.maintenanceRate].map(d);
    const step = Decimal.maybe(vector.step);
    const quantity = valuation.openingQuantity(margin, leverage, entry, step);
    assert.equal(quantity.toString(), d(vector.quantity).toString());
    if (!quantity.isZero) {
      const held = /** @type {any} */ ({ side: vector.side, entryPrice: entry, quantity, margin });
      const part = closingPart(held, d(vector.percent), /** @type {any} */ ({ stepSize: step, marginMin: ZERO }));
      assert.equal(part.quantity.toString(), d(vector.part).toString(), `${vector.percent} % of ${quantity}`);
    }
    assert.equal(valuation.liquidationPrice(vector.side, entry, leverage, rate).toString(), d(vector.liquidation).toString());
    assert.equal(valuation.fillFee(quantity, price, d(vector.feeRate)).toString(), d(vector.fee).toString());
    const position = { side: vector.side, entryPrice: entry, quantity, margin };
    assert.equal(valuation.profit(position, price).toString(), d(vector.profit).toString());
  }
});

test('an account is valued as on the platform', () => {
  for (const { balance, positions, quotes, ...expected } of vectors.accounts) {
    let [usedMargin, unrealizedPnL] = [ZERO, ZERO];
    for (const { side, symbol, ...numbers } of positions) {
      const position = { side, entryPrice: d(numbers.entryPrice), quantity: d(numbers.quantity), margin: d(numbers.margin) };
      usedMargin = usedMargin.plus(position.margin);
      const quote = quotes[symbol];
      if (!quote) continue;
      const mark = valuation.markPrice({ price: d(quote.price), bid: Decimal.maybe(quote.bid), ask: Decimal.maybe(quote.ask), timestamp: 0 }, side);
      unrealizedPnL = unrealizedPnL.plus(valuation.profit(position, mark));
    }
    const figures = valuation.accountFigures({ balance: d(balance), usedMargin, unrealizedPnL });
    for (const [name, value] of Object.entries(expected)) {
      const shown = figures[/** @type {keyof typeof figures} */ (name)];
      assert.equal(shown === null ? null : shown.toString(), value === null ? null : d(value).toString(), name);
    }
  }
});

test('numbers are read and written without a float', () => {
  for (const text of ['0', '-0.5', '123456789012345678.123456789012345678', '10', '0.00000001']) assert.equal(d(text).toString(), text);
  assert.equal(d('1e3').toString(), '1000');
  assert.equal(d('1.5E-9').toString(), '0.0000000015');
  assert.equal(d('100.500').toString(), '100.5');
  assert.throws(() => d('NaN'), RangeError);
  assert.throws(() => d('1/0'), RangeError);
});

test('a step is kept exactly, whatever the digits of the quotient', () => {
  // 60 nines behind the point: to 60 digits the quotient is a whole number, which it does not reach.
  assert.equal(d(`2.${'9'.repeat(61)}`).truncatedTo(d(1)).toString(), '2');
  for (const [amount, step, kept] of [['0.03', '0.01', '0.03'], ['0.029', '0.010', '0.02'], ['1999', '1000', '1000'], ['7.4', '2.5', '5'], ['0.009', '0.01', '0'], ['-0.019', '0.01', '-0.01']]) {
    assert.equal(d(amount).truncatedTo(d(step)).toString(), kept, `${amount} by ${step}`);
  }
});

test('what is rounded up is never below, and is itself where it fits', () => {
  for (const [value, places, up] of /** @type {const} */ ([['1.501', 2, '1.51'], ['1.51', 2, '1.51'], ['0.0000001', 2, '0.01'], ['0', 2, '0'], ['9.999', 2, '10'], ['3', 0, '3'], ['3.000000000000000000001', 0, '4']])) {
    assert.equal(d(value).raised(places).toString(), up, value);
  }
});

test('JSON keeps its digits', () => {
  const text = '{"a":0.12345678901234567890,"b":[-1e-7,2],"c":"3 \\"4\\" 5","d":null,"e":true,"9":{}}';
  assert.deepEqual(parseExact(text), { a: '0.12345678901234567890', b: ['-1e-7', '2'], c: '3 "4" 5', d: null, e: true, 9: {} });
});

test('what is shown is rounded half-even, grouped, and has no minus before zero', () => {
  assert.equal(money(d('1234567.125')), '1,234,567.12');
  assert.equal(money(d('1234567.135')), '1,234,567.14');
  assert.equal(money(d('-0.001')), '0.00');
  assert.equal(signedMoney(d('0.001')), '0.00');
  assert.equal(signedMoney(d('12.3')), '+12.30');
  assert.equal(signedMoney(d('-1000')), '\u22121,000.00');
  assert.equal(fixed(d('1000'), 0), '1,000');
  assert.equal(priceText(d('0.0000001234'), 2), '0.0000001234');
  assert.equal(priceText(d('135.207'), 2), '135.21');
});

test('the margin call comes at its level, and never without a margin', () => {
  const isCalled = (/** @type {string | null} */ level) => valuation.isMarginCalled(level === null ? null : Decimal.from(level), Decimal.from('60'));
  assert.deepEqual(['60.00000001', '60', '59.99999999', '0', '-5'].map(isCalled), [false, true, true, true, true]);
  assert.equal(isCalled(null), false);
  assert.equal(valuation.accountFigures({ balance: ZERO, usedMargin: ZERO, unrealizedPnL: ZERO }).marginLevel, null);
});
