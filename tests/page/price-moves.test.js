import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { PriceMoves } from '../../exness_streams/web/js/price-moves.js';

const d = Decimal.from;

/** @param {[string | null, number][]} steps values, and when they came, ms */
function classes(...steps) {
  const moves = new PriceMoves();
  return steps.map(([value, nowMs]) => moves.next(value === null ? null : d(value), nowMs));
}

test('a price that rises is green, one that falls red', () => {
  assert.deepEqual(classes(['1', 0], ['1.01', 5]), [null, 'price up rose']);
  assert.deepEqual(classes(['1', 0], ['0.99', 5]), [null, 'price down fell']);
  assert.deepEqual(classes(['0.0000001', 0], ['0.00000011', 5]), [null, 'price up rose'], 'however small the move');
});

test('what did not move stays as it is', () => {
  assert.deepEqual(classes(['1', 0], ['1.0', 5], ['1', 6]), [null, null, null]);
});

test('after a side that was empty the next price is the first again', () => {
  assert.deepEqual(classes(['1', 0], [null, 5], ['2', 10], ['3', 15]), [null, null, null, 'price up rose']);
});

test('it flashes anew only after a pause, and the colour follows at once', () => {
  assert.deepEqual(classes(['1', 0], ['2', 1000], ['1', 1699], ['2', 1700], ['3', 2399], ['2', 2400]),
    [null, 'price up rose', 'price down', 'price up rose-again', 'price up rose-again', 'price down fell']);
});

test('the stylesheet flashes green for a rise and red for a fall', () => {
  const css = readFileSync(new URL('../../exness_streams/web/css/panels.css', import.meta.url), 'utf8');
  for (const [name, ground] of [['rose', '--up-ground'], ['rose-again', '--up-ground'], ['fell', '--down-ground'], ['fell-again', '--down-ground']]) {
    assert.match(css, new RegExp(`\\.${name} \\{ animation: ${name} `));
    assert.match(css, new RegExp(`@keyframes ${name} \\{ from \\{ background: var\\(${ground}\\)`));
  }
});
