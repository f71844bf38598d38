/**
 * How often trades ended how.
 */

import { ZERO, largerOf } from './decimal.js';
import { toneOf, toneOfSign } from './format.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */

/** Bars on each side of the middle one, which is for what came to nothing. */
const SIDE_BARS = 10;

/**
 * Losses left of the middle, gains right of it: a bar never holds both.
 * @param {Decimal[]} profits
 * @returns {{ bars: { count: number, tone: 'up' | 'down' | '' }[], won: number, lost: number, largest: Decimal }}
 */
export function histogramOf(profits) {
  const largest = profits.reduce((most, profit) => largerOf(most, profit.sign < 0 ? profit.negated() : profit), ZERO);
  const bars = Array.from({ length: 2 * SIDE_BARS + 1 }, (_, index) => ({ count: 0, tone: toneOfBar(index) }));
  let won = 0;
  let lost = 0;
  for (const profit of profits) {
    const tone = toneOf(profit);
    won += Number(tone === 'up');
    lost += Number(tone === 'down');
    const share = tone === '' ? 0 : Math.abs(profit.over(largest).toNumber());
    const away = tone === '' ? 0 : Math.min(SIDE_BARS, Math.max(1, Math.ceil(share * SIDE_BARS)));
    bars[SIDE_BARS + (tone === 'down' ? -away : away)].count += 1;
  }
  return { bars, won, lost, largest };
}

/** A bar is seen however few trades it holds. */
const LEAST_HEIGHT = 3;

/**
 * The bars that hold something, to be drawn: as wide as each other, as high as their share of the fullest.
 * @param {{ count: number, tone: string }[]} bars
 * @param {number} width px of all of them
 * @param {number} height px of the picture, whose lowest line is the axis
 * @returns {{ x: number, y: number, width: number, height: number, tone: string }[]}
 */
export function boxesOf(bars, width, height) {
  const tallest = Math.max(...bars.map(({ count }) => count));
  const step = width / bars.length;
  return bars.flatMap(({ count, tone }, index) => {
    if (count === 0) return [];
    const high = Math.max(LEAST_HEIGHT, (count / tallest) * (height - LEAST_HEIGHT));
    return [{ x: index * step + 1, y: height - 1 - high, width: step - 2, height: high, tone }];
  });
}

/**
 * @param {number} index
 * @returns {'up' | 'down' | ''}
 */
function toneOfBar(index) {
  return toneOfSign(index - SIDE_BARS);
}
