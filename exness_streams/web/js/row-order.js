/**
 * Rows by the values of one of their columns.
 */

import { Decimal } from './decimal.js';

/**
 * What a row is sorted by; null: it has no such value, and stands last.
 * @typedef {Decimal | number | string | null} SortValue
 */

/** @typedef {{ column: number, isAscending: boolean }} Sort by the column's place in the table */

/**
 * A new array. Rows of equal value stay as they were given.
 * @template R
 * @param {readonly R[]} rows
 * @param {(row: R) => SortValue} valueOf
 * @param {boolean} isAscending
 * @returns {R[]}
 */
export function ordered(rows, valueOf, isAscending) {
  const valued = rows.map((row) => ({ row, value: valueOf(row) }));
  valued.sort((one, other) => {
    if (one.value === null || other.value === null) return Number(one.value === null) - Number(other.value === null);
    return compare(one.value, other.value) * (isAscending ? 1 : -1);
  });
  return valued.map(({ row }) => row);
}

/**
 * @param {Decimal | number | string} one
 * @param {Decimal | number | string} other
 */
function compare(one, other) {
  if (one instanceof Decimal && other instanceof Decimal) return one.compare(other);
  return one < other ? -1 : one > other ? 1 : 0;
}

/**
 * After a click on a header: numbers from the largest, texts from A, the other way round, then as they were given.
 * @param {Sort | null} sort
 * @param {number} column
 * @param {boolean} isText
 * @returns {Sort | null}
 */
export function nextSort(sort, column, isText) {
  if (sort?.column !== column) return { column, isAscending: isText };
  return sort.isAscending === isText ? { column, isAscending: !isText } : null;
}
