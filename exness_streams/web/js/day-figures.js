/**
 * The last 24 hours of a market, in words: what changed since their first trade, the extremes, the volume.
 */

import { Decimal, HUNDRED } from './decimal.js';
import { compact, priceText, signedPercent, toneOf } from './format.js';

/** @typedef {import('./messages.js').Day} Day */

/**
 * Change since the first trade of the 24 hours.
 * @param {Day | undefined} day
 * @param {Decimal | undefined} price of the last trade
 * @returns {{ amount: Decimal, percent: Decimal } | null} percent; null while it is not known
 */
export function changeOf(day, price) {
  if (price === undefined || !day?.open || day.open.sign <= 0) return null;
  const amount = price.minus(day.open);
  return { amount, percent: amount.times(HUNDRED).over(day.open) };
}

/**
 * @typedef {{ change: string, tone: 'up' | 'down' | '', high: string, low: string, volume: string, quoteVolume: string }} DayTexts
 */

/**
 * @param {Day | undefined} day
 * @param {Decimal | undefined} price of the last trade, which is in the 24 hours as well
 * @param {number} places of prices
 * @returns {DayTexts}
 */
export function dayTexts(day, price, places) {
  const change = changeOf(day, price);
  const high = day?.high && price && price.compare(day.high) > 0 ? price : day?.high ?? null;
  const low = day?.low && price && price.compare(day.low) < 0 ? price : day?.low ?? null;
  return {
    change: signedPercent(change?.percent ?? null),
    tone: change === null ? '' : toneOf(change.percent),
    high: priceText(high, places),
    low: priceText(low, places),
    volume: compact(day?.volume),
    quoteVolume: compact(day?.quoteVolume),
  };
}
