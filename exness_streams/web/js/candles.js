/**
 * Candles: history from the platform, the newest one grown by live prices. Nothing is made up in between.
 */

import { Decimal } from './decimal.js';

/** Seconds of each interval. */
export const INTERVALS = /** @type {const} */ ({ '1m': 60, '5m': 300, '15m': 900, '1h': 3600, '4h': 14_400, '1d': 86_400 });

/** @typedef {keyof typeof INTERVALS} Interval */

/**
 * A candle for drawing: floats. time: seconds since the epoch.
 * @typedef {{ time: number, open: number, high: number, low: number, close: number }} Bar
 */

/**
 * @param {any} message the answer of /api/v1/candles
 * @returns {Bar[]} ascending
 */
export function barsOf(message) {
  return message.candles.map((/** @type {any} */ candle) => ({
    time: Number(candle.time),
    open: Number(candle.open),
    high: Number(candle.high),
    low: Number(candle.low),
    close: Number(candle.close),
  }));
}

/**
 * The newest bar with one more price, or the bar that this price begins.
 * @param {Bar | undefined} last
 * @param {Decimal} price
 * @param {number} timeMs of the price
 * @param {number} seconds of the interval
 * @returns {Bar | null} null when the price is older than the bar
 */
export function grown(last, price, timeMs, seconds) {
  const value = price.toNumber();
  const time = Math.floor(timeMs / 1000 / seconds) * seconds;
  if (last === undefined || time > last.time) return { time, open: value, high: value, low: value, close: value };
  if (time < last.time) return null;
  return { ...last, close: value, high: Math.max(last.high, value), low: Math.min(last.low, value) };
}
