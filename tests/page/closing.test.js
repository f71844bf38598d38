import assert from 'node:assert/strict';
import { test } from 'node:test';

import { closingFault, closingPart } from '../../exness_streams/web/js/closing.js';
import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { marketOf, positionOf } from '../../exness_streams/web/js/messages.js';
import { fillFee, profit } from '../../exness_streams/web/js/valuation.js';

const d = Decimal.from;

/** @param {string | null} stepSize */
function market(stepSize, minMargin = '1') {
  return marketOf({ symbol: 'SOL_USDC', maxLeverage: '100', minMargin, feeRate: '0.001', maintenanceMarginRate: '0', tickSize: '0.01', stepSize });
}

function position(quantity = '66.62', margin = '1000') {
  return positionOf({
    positionId: 'pos_0_1', symbol: 'SOL_USDC', type: 'long', margin, leverage: '10', quantity, entryPrice: '150.1',
    liquidationPrice: '135.09', stopLoss: null, takeProfit: null, fee: '10', timestamp: 0,
  });
}

test('the step of a market is read, also where the exchange has not told it', () => {
  assert.equal(String(market('0.01').stepSize), '0.01');
  assert.equal(market(null).stepSize, null);
  assert.equal(marketOf({ ...market(null), maxLeverage: '100', minMargin: '1' }).stepSize, null);
});

test('a share is rounded down to the step, with the margin and the estimates of what is closed', () => {
  const part = closingPart(position(), d(25), market('0.01'));
  assert.equal(String(part.quantity), '16.65'); // of 16.655
  assert.equal(String(part.margin), '249.92494746'); // 1000 × 16.65 / 66.62
  assert.equal(String(profit(part, d(153))), '48.285');
  assert.equal(String(fillFee(part.quantity, d(153), d('0.001'))), '2.54745');
  for (const [step, quantity] of [['0.1', '16.6'], ['5', '15'], [null, '16.655'], ['0', '16.655'], ['0.000000015', '16.655']]) {
    assert.equal(String(closingPart(position(), d(25), market(step)).quantity), quantity, `by ${step}`);
  }
  assert.equal(String(closingPart(position(), d(25), undefined).quantity), '16.655', 'a market that is not known');
});

test('all of it is all of it, also of a position that is no multiple of the step', () => {
  for (const step of ['0.01', '1000', null]) {
    const part = closingPart(position('66.62225183'), d(100), market(step));
    assert.deepEqual([part.quantity, part.margin].map(String), ['66.62225183', '1000']);
    assert.equal(closingFault(position('66.62225183'), d(100), market(step)), null);
  }
  assert.equal(String(closingPart(position('66.62225183'), d(25), market('0.01')).quantity), '16.65');
});

test('what would leave less than the smallest margin closes all', () => {
  const held = position('10', '100');
  for (const [percent, smallest, quantity, margin] of [['99', '1', '9.9', '99'], ['99.1', '1', '9.91', '99.1'], ['99.2', '1', '10', '100'], ['50', '50', '5', '50'], ['50.1', '50', '10', '100'], ['99.95', '0', '9.99', '99.9']]) {
    const closed = closingPart(held, d(percent), market(percent === '99.1' ? '0.1' : '0.01', smallest));
    const expected = percent === '99.1' ? ['9.9', '99'] : [quantity, margin]; // what the step leaves counts
    assert.deepEqual([closed.quantity, closed.margin].map(String), expected, `${percent} of it, ${smallest} left`);
  }
});

test('of a share that comes to nothing the smallest that does not is said', () => {
  for (const [quantity, percent, step, words] of [
    ['66.62', '0.01', '0.01', 'Less than one step of 0.01 SOL: at least 0.016%.'],
    ['0.08', '12', '0.01', 'Less than one step of 0.01 SOL: at least 12.5%.'],
    ['0.03', '33.33', '0.01', 'Less than one step of 0.01 SOL: at least 33.34%.'],
    ['0.01', '99.99', '0.01', 'Less than one step of 0.01 SOL: at least 100%.'],
    ['66.62', '50', '1000', 'Less than one step of 1,000 SOL: at least 100%.'], // opened before there was that step
    ['123456789', '0.000000001', '0.01', 'Less than one step of 0.01 SOL: at least 0.0000000082%.'],
    ['0.00000002', '49', null, 'Less than one step of 0.00000001 SOL: at least 50%.'],
  ]) {
    const held = position(quantity ?? '', '1000');
    assert.equal(String(closingPart(held, d(percent ?? ''), market(step)).quantity), '0');
    assert.equal(String(closingPart(held, d(percent ?? ''), market(step)).margin), '0', 'nothing, and not all');
    assert.equal(closingFault(held, d(percent ?? ''), market(step)), words);
    const least = d(/at least ([\d.]+)%/.exec(words ?? '')?.[1] ?? '');
    assert.equal(closingFault(held, least, market(step)), null, words ?? '');
  }
  assert.equal(closingFault(position(), d(25), market('0.01')), null);
});
