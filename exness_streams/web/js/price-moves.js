/**
 * How a shown price moved, as the classes of its element: a colour that stays, and a flash now and then.
 */

import { moveCss, toneOfSign } from './format.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */

/** A price that moves all the time changes its colour, yet does not flicker. */
const FLASH_PAUSE_MS = 700;

export class PriceMoves {
  /** @type {Decimal | null} */
  #value = null;
  #isOdd = false;
  #flashed = '';
  #flashedAt = -Infinity;

  /**
   * @param {Decimal | null} value null: there is no such price now
   * @param {number} nowMs of a clock that only goes forward
   * @returns {string | null} the element's classes; null: as they were
   */
  next(value, nowMs) {
    const before = this.#value;
    this.#value = value;
    if (before === null || value === null) return null;
    const tone = toneOfSign(value.compare(before));
    if (tone === '') return null;
    if (nowMs - this.#flashedAt >= FLASH_PAUSE_MS) {
      this.#flashedAt = nowMs;
      // Two names of one animation: changing the name restarts it, and needs no layout to be forced.
      this.#isOdd = !this.#isOdd;
      this.#flashed = tone;
    }
    return moveCss(tone, this.#flashed, this.#isOdd);
  }
}
