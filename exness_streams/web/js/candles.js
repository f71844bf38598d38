/**
 * Candles: history from the platform, the newest one grown by live prices. Nothing is made up in between.
 */

import { Decimal } from './decimal.js';

const DAY = 86_400;
const WEEK = 7 * DAY;
/** The first Monday since the epoch, which was a Thursday: weeks begin there, UTC. */
const FIRST_MONDAY = 4 * DAY;

/** Seconds of each interval. */
export const INTERVALS = /** @type {const} */ ({
  '1m': 60,
  '5m': 300,
  '15m': 900,
  '30m': 1800,
  '1h': 3600,
  '4h': 14_400,
  '1d': DAY,
  '1w': WEEK,
});

/** @typedef {keyof typeof INTERVALS} Interval */

/**
 * A candle for drawing: floats. time: seconds since the epoch. volume: base asset, null while it is not known.
 * isComplete: it is over, and all of its time is known.
 * @typedef {{ time: number, open: number, high: number, low: number, close: number, volume: number | null, isComplete?: boolean }} Bar
 */

/**
 * A time of which nothing is known: seconds since the epoch, from its beginning to before its end.
 * @typedef {{ from: number, to: number }} Span
 */

/**
 * @param {unknown} name
 * @returns {name is Interval}
 */
export function isInterval(name) {
  return typeof name === 'string' && Object.hasOwn(INTERVALS, name);
}

/**
 * The beginning of the interval that holds a time.
 * @param {number} time seconds since the epoch
 * @param {number} length of the interval, seconds
 */
export function startOf(time, length) {
  const origin = length === WEEK ? FIRST_MONDAY : 0;
  return Math.floor((time - origin) / length) * length + origin;
}

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
    volume: candle.volume === null || candle.volume === undefined ? null : Number(candle.volume),
    isComplete: candle.complete === true,
  }));
}

/**
 * @param {any} message the answer of /api/v1/candles
 * @returns {Span[]} ascending
 */
export function missingOf(message) {
  return (message.missing ?? []).map((/** @type {any} */ { from, to }) => ({ from: Number(from), to: Number(to) }));
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
  const time = startOf(timeMs / 1000, seconds);
  if (last === undefined || time > last.time) return { time, open: value, high: value, low: value, close: value, volume: null };
  if (time < last.time) return null;
  return { ...last, close: value, high: Math.max(last.high, value), low: Math.min(last.low, value) };
}

/**
 * What was known, and what the platform has told anew of its end. A bar of both keeps the extremes of both; bars that
 * do not reach to what was told are left out: between them some would be missing.
 * @param {Bar[]} known ascending, as `told`
 * @param {Bar[]} told
 * @returns {Bar[]}
 */
export function joined(known, told) {
  const [first] = told;
  const newest = known.at(-1);
  if (first === undefined) return known;
  if (newest === undefined || newest.time < first.time) return told;
  const byTime = new Map(known.map((bar) => [bar.time, bar]));
  const last = told[told.length - 1];
  const both = told.map((bar) => {
    const seen = byTime.get(bar.time);
    return seen === undefined ? bar : { ...bar, high: Math.max(bar.high, seen.high), low: Math.min(bar.low, seen.low) };
  });
  return [...known.filter(({ time }) => time < first.time), ...both, ...known.filter(({ time }) => time > last.time)];
}
