/**
 * The bars of one market and interval: the newest from the platform, older ones page by page, the last one grown by
 * live prices.
 */

import { INTERVALS, barsOf, grown, joined, missingOf } from './candles.js';
import { toneOfSign } from './format.js';

/** @typedef {import('./candles.js').Bar} Bar */
/** @typedef {import('./candles.js').Interval} Interval */
/** @typedef {import('./candles.js').Span} Span */

const FIRST_BARS = 600;
const OLDER_BARS = 500;
/** What is asked again once a minute: volumes are known only after a minute's end. */
const NEWEST_BARS = 10;
/** What the platform answers at most. */
const BARS_MAX = 1000;
/** The platform reads the exchange's past page by page: where there was nothing older, there may be a moment later. */
const NOTHING_OLDER_MS = 5_000;

export class ChartBars {
  /** @type {Bar[]} ascending */
  bars = [];
  symbol = '';
  /** @type {Interval} */
  interval = '1m';
  /** Whether live prices may grow them. */
  isLoaded = false;
  #generation = 0;
  #isAskingOlder = false;
  #nothingOlderUntil = 0;
  /** What was told to be missing, among the bars and before them. @type {Span[]} */
  #missing = [];

  /**
   * @param {{ get(path: string): Promise<any> }} api
   * @param {() => number} [clock] ms
   */
  constructor(api, clock = () => performance.now()) {
    this.api = api;
    this.clock = clock;
  }

  /**
   * Of another market or interval: nothing of the one before is shown as if it were this one's.
   * @param {string} symbol
   * @param {Interval} interval
   * @returns {boolean} whether it is another one
   */
  turnTo(symbol, interval) {
    if (symbol === this.symbol && interval === this.interval) return false;
    this.symbol = symbol;
    this.interval = interval;
    this.bars = [];
    this.#missing = [];
    this.isLoaded = false;
    this.#generation += 1;
    this.#nothingOlderUntil = 0;
    return true;
  }

  /**
   * Read the newest: at first, and after a connection that may have missed some.
   * @returns {Promise<boolean>} whether it is still they that are wanted
   * @throws {import('./api.js').ApiError}
   */
  async load() {
    const generation = (this.#generation += 1);
    let told;
    try {
      told = await this.#ask({ limit: FIRST_BARS });
    } catch (error) {
      if (generation !== this.#generation) return false;
      this.isLoaded = true; // from here on live prices draw
      throw error;
    }
    if (generation !== this.#generation) return false;
    this.bars = joined(this.bars, told);
    this.isLoaded = true;
    return true;
  }

  /**
   * Read the newest few again, for their volumes; and back to the oldest bar that was not complete, or was missing.
   * @returns {Promise<boolean>} whether there was something to show
   * @throws {import('./api.js').ApiError}
   */
  async renew() {
    const generation = this.#generation;
    if (this.bars.length === 0) return false;
    const told = await this.#ask({ limit: this.#unsettledBars() });
    // Bars that do not reach to the told ones are of before a pause: `load` reads what lies between.
    if (generation !== this.#generation || told.length === 0 || told[0].time > this.bars[this.bars.length - 1].time) return false;
    this.bars = joined(this.bars, told);
    return true;
  }

  /**
   * Read a page of older ones.
   * @returns {Promise<boolean>} whether there were any
   * @throws {import('./api.js').ApiError}
   */
  async loadOlder() {
    const [first] = this.bars;
    if (first === undefined || !this.isLoaded || this.#isAskingOlder || this.clock() < this.#nothingOlderUntil) return false;
    const generation = this.#generation;
    this.#isAskingOlder = true;
    try {
      // A first bar that is a part of its time is told anew, with the rest of it.
      const before = first.isComplete === false ? first.time + INTERVALS[this.interval] : first.time;
      const told = await this.#ask({ limit: OLDER_BARS, before });
      if (generation !== this.#generation || this.bars[0] !== first) return false;
      const older = told.filter(({ time }) => time < first.time);
      if (older.length === 0) this.#nothingOlderUntil = this.clock() + NOTHING_OLDER_MS;
      const [again] = joined([first], told.filter(({ time }) => time === first.time));
      this.bars = [...older, again, ...this.bars.slice(1)];
      return older.length > 0;
    } finally {
      this.#isAskingOlder = false;
    }
  }

  /** @param {Record<string, number>} span */
  async #ask(span) {
    const query = new URLSearchParams({ symbol: this.symbol, interval: this.interval });
    for (const [name, value] of Object.entries(span)) query.set(name, String(value));
    const generation = this.#generation;
    const message = await this.api.get(`/api/v1/candles?${query}`);
    const told = barsOf(message);
    if (generation === this.#generation && told.length > 0) this.#takeMissing(missingOf(message), told[0].time, told[told.length - 1].time);
    return told;
  }

  /**
   * @param {Span[]} spans that an answer told
   * @param {number} first the time of its first bar
   * @param {number} last of its last
   */
  #takeMissing(spans, first, last) {
    const before = this.#missing.filter(({ from }) => from < first).map(({ from, to }) => ({ from, to: Math.min(to, first) }));
    const behind = this.#missing.filter(({ from }) => from > last);
    this.#missing = [...before, ...spans.filter(({ from }) => from >= first && from <= last), ...behind];
  }

  /** The times between the bars of which nothing is known. @type {Span[]} */
  get missing() {
    const [first] = this.bars;
    const last = this.bars.at(-1);
    if (first === undefined || last === undefined) return [];
    return this.#missing.filter(({ from, to }) => from > first.time && to <= last.time);
  }

  /** How many of the newest bars reach back to all that the platform may know better by now. */
  #unsettledBars() {
    const seconds = INTERVALS[this.interval];
    const missing = this.missing;
    const oldest = this.bars.findIndex(({ isComplete }) => isComplete === false);
    const from = Math.min(missing[0]?.from ?? Infinity, this.bars[oldest]?.time ?? Infinity);
    const lacking = missing.reduce((sum, span) => sum + Math.ceil((span.to - span.from) / seconds), 0);
    const count = this.bars.filter(({ time }) => time >= from).length + lacking + 1;
    return Math.min(BARS_MAX, Math.max(NEWEST_BARS, count));
  }

  /**
   * One more price.
   * @param {import('./valuation.js').Quote} quote
   * @returns {Bar | null} the newest bar, null when the price is older
   */
  grow(quote) {
    const bar = grown(this.bars.at(-1), quote.price, quote.timestamp, INTERVALS[this.interval]);
    if (bar === null) return null;
    if (bar.time === this.bars.at(-1)?.time) this.bars[this.bars.length - 1] = bar;
    else this.bars.push(bar);
    return bar;
  }
}

/**
 * What is shown at first: the newest bar at the right, with a little room behind it, however few there are.
 * @param {number} count of bars
 * @param {number} width of the chart, px
 * @returns {{ from: number, to: number }} places of bars, as the chart counts them
 */
export function firstView(count, width) {
  const shown = Math.max(40, Math.min(150, Math.floor(width / 7)));
  return { from: count - shown, to: count + 5 };
}

/**
 * A colour for each sign.
 * @typedef {{ up: string, down: string, '': string }} SignColours
 */

/**
 * The volume's bars; where it is not known, none.
 * @param {Bar} bar
 * @param {SignColours} colours
 * @returns {{ time: number, value?: number, color?: string }}
 */
export function volumeBar({ time, open, close, volume }, colours) {
  return volume === null ? { time } : { time, value: volume, color: colours[toneOfSign(close - open)] };
}

/**
 * A candle as it is drawn. The library would draw one that ended where it began as risen.
 * @param {Bar} bar
 * @param {string} flat the colour of no sign
 * @returns {Bar & { color?: string, wickColor?: string }}
 */
export function drawnBar(bar, flat) {
  return toneOfSign(bar.close - bar.open) === '' ? { ...bar, color: flat, wickColor: flat } : bar;
}

/**
 * @param {string} colour as a browser computes it, rgb(…)
 * @param {number} share of opacity
 */
export function faint(colour, share) {
  const digits = colour.match(/[\d.]+/g)?.slice(0, 3);
  return digits === undefined ? colour : `rgba(${digits.join(', ')}, ${share})`;
}
