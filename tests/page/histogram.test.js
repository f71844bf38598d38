import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { boxesOf, histogramOf } from '../../exness_streams/web/js/histogram.js';

const d = Decimal.from;
const MIDDLE = 10;

/** @param {string[]} profits */
function held(...profits) {
  return histogramOf(profits.map((each) => d(each))).bars.flatMap(({ count }, index) => Array(count).fill(index - MIDDLE));
}

test('losses stand left of the middle, gains right of it, the larger the farther', () => {
  assert.deepEqual(held('100', '-100', '0'), [-10, 0, 10]);
  assert.deepEqual(held('100', '50', '10', '0.01'), [1, 1, 5, 10]);
  assert.deepEqual(held('-100', '-50', '-10', '-0.01'), [-10, -5, -1, -1]);
  assert.deepEqual(held('-40', '200', '-200', '90.01'), [-10, -2, 5, 10]);
  assert.deepEqual(held('0.004', '-0.004', '7'), [0, 0, 10], 'what is shown as nothing');
  assert.deepEqual(held('0', '0'), [0, 0]);
});

test('it counts what was gained and lost, and knows the largest of either', () => {
  const { bars, won, lost, largest } = histogramOf(['1', '2', '-3', '0'].map((each) => d(each)));
  assert.deepEqual([won, lost, String(largest), bars.length], [2, 1, '3', 21]);
  assert.equal(String(histogramOf([d('-1'), d('2')]).largest), '2');
});

test('each bar stands in its place on the axis, as high as its share of the fullest', () => {
  const bars = [{ count: 4, tone: 'down' }, { count: 0, tone: '' }, { count: 2, tone: 'up' }, { count: 1, tone: 'up' }];
  assert.deepEqual(boxesOf(bars, 40, 23), [
    { x: 1, y: 2, width: 8, height: 20, tone: 'down' },
    { x: 21, y: 12, width: 8, height: 10, tone: 'up' },
    { x: 31, y: 17, width: 8, height: 5, tone: 'up' },
  ]);
  const [, faint] = boxesOf([{ count: 1000, tone: 'up' }, { count: 1, tone: 'down' }], 40, 23);
  assert.deepEqual([faint.y, faint.height], [19, 3], 'one among many is still seen');
  assert.deepEqual(boxesOf([{ count: 0, tone: '' }], 40, 23), []);
});
