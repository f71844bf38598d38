import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { nextSort, ordered } from '../../exness_streams/web/js/row-order.js';

/** @type {(rows: { name: string, value: any }[], isAscending: boolean) => string} */
const names = (rows, isAscending) => ordered(rows, (row) => row.value, isAscending).map(({ name }) => name).join('');

/** @param {any[]} values */
const rowsOf = (values) => values.map((value, index) => ({ name: 'abcdefgh'[index], value }));

test('decimals are sorted as numbers, and what has none stands last either way', () => {
  const rows = rowsOf(['10', '9', null, '-3', '0.00000098', '9.0', '100000000000000000000.1', '-20'].map((text) => text && Decimal.from(text)));
  assert.equal(names(rows, true), 'hdebfagc');
  assert.equal(names(rows, false), 'gabfedhc');
});

test('numbers and texts', () => {
  assert.equal(names(rowsOf([3, 10, null, 2]), true), 'dabc');
  assert.equal(names(rowsOf(['SOL', 'BTC', 'ETH']), true), 'bca');
  assert.equal(names(rowsOf(['SOL', 'BTC', 'ETH']), false), 'acb');
});

test('what was given stays as it was, and equal rows in their order', () => {
  const rows = rowsOf([1, 1, 0, 1]);
  const before = [...rows];
  assert.equal(names(rows, true), 'cabd');
  assert.equal(names(rows, false), 'abdc');
  assert.deepEqual(rows, before);
});

test('a header sorts one way, the other, and no more', () => {
  for (const isText of [true, false]) {
    const first = nextSort(null, 2, isText);
    assert.deepEqual(first, { column: 2, isAscending: isText });
    const second = nextSort(first, 2, isText);
    assert.deepEqual(second, { column: 2, isAscending: !isText });
    assert.equal(nextSort(second, 2, isText), null);
    assert.deepEqual(nextSort(second, 3, isText), { column: 3, isAscending: isText });
  }
});
