/**
 * Fields of numbers: read and written in the notation that the page shows.
 */

import { usedNotation } from './format.js';
import { readNumber, writeNumber } from './number-text.js';

/** @param {HTMLInputElement} input */
export function readInput(input) {
  return readNumber(input.value, usedNotation());
}

/**
 * @param {HTMLInputElement} input
 * @param {import('./decimal.js').Decimal | null} value null: nothing
 */
export function writeInput(input, value) {
  input.value = value === null ? '' : writeNumber(value, usedNotation());
}

/**
 * Once a field was left: show how it was read, where separators or foreign digits were.
 * @param {EventTarget | null} target
 */
export function showRead(target) {
  if (!(target instanceof HTMLInputElement) || target.inputMode !== 'decimal') return;
  const { value } = readInput(target);
  const { decimal, digits } = usedNotation().shown;
  const plain = new Set([...(digits ?? '0123456789'), decimal]);
  if (value !== null && [...target.value].some((character) => !plain.has(character))) writeInput(target, value);
}
