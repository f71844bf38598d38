/**
 * The candlestick chart: lightweight-charts, when it is installed.
 */

import { ApiError } from '../api.js';
import { INTERVALS, barsOf, grown } from '../candles.js';
import { sentence } from '../desk.js';
import { byId, find, make, setText } from '../dom.js';
import { clockTime, drawnPrice, priceText, splitSymbol } from '../format.js';
import { PriceLines } from '../price-lines.js';

/** @typedef {import('../candles.js').Bar} Bar */
/** @typedef {import('../candles.js').Interval} Interval */
/** @typedef {typeof import('lightweight-charts')} Library */

const FILE = '../../vendor/lightweight-charts.standalone.production.mjs';
const CANDLES = 600;
const INTERVAL = 'interval';
const RETRY_MS = 3000;
/** Lines further away than so many times the candles' range do not squeeze the candles. */
const ROOM_MAX = 1.5;
const MISSING =
  'The chart library is not part of this installation. Prices, orders and positions work without it.\n' +
  'To get it, install Node.js (it brings npm), then install Exness Streams again: pip install --force-reinstall --no-deps .';

export class PriceChart extends HTMLElement {
  /** @type {import('../app.js').App} */
  #app;
  /** @type {import('lightweight-charts').IChartApi | null} */
  #chart = null;
  /** @type {import('lightweight-charts').ISeriesApi<'Candlestick'> | null} */
  #series = null;
  /** @type {PriceLines | null} */
  #lines = null;
  /** @type {Bar | undefined} */
  #last;
  /** @type {Bar | null} under the crosshair */
  #hovered = null;
  /** @type {Interval} */
  #interval = '1m';
  #generation = 0;
  #isLoaded = false;
  #places = 0;

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    const { store } = app;
    this.#buildIntervals();
    store.watch(['selection', 'markets'], (changes) => {
      if (changes.has('selection')) void this.#load();
      this.#head();
    });
    store.watch(['quotes'], (changes) => changes.get('quotes')?.has(store.symbol) && this.#tick());
    store.watch(['positions', 'orders', 'selection'], () => this.#drawLines());
    store.watch(['link'], () => store.link === 'open' && void this.#load());
    setInterval(() => this.#markStale(), 500);
    document.addEventListener('theme', () => this.#paint());
    void this.#create();
  }

  async #create() {
    const note = byId('chart-note', HTMLElement);
    if (!this.#app.settings.hasChart) {
      note.hidden = false;
      setText(note, MISSING);
      byId('chart-attribution', HTMLElement).hidden = true;
      return;
    }
    /** @type {Library} */
    let library;
    try {
      library = await import(new URL(FILE, import.meta.url).href);
    } catch {
      note.hidden = false;
      return setText(note, 'The chart library could not be loaded. Everything else works; reload the page to try again.');
    }
    const host = byId('chart-canvas', HTMLElement);
    // Its own logo would bring an inline style, which the page's policy forbids: the link below the chart stands for it.
    this.#chart = library.createChart(host, { autoSize: true, layout: { attributionLogo: false, fontSize: 11 }, timeScale: { timeVisible: true, rightOffset: 6, tickMarkFormatter: tickMark }, localization: { priceFormatter: (/** @type {number} */ price) => drawnPrice(price, this.#app.store.placesOf(this.#app.store.symbol)), timeFormatter: (/** @type {number} */ time) => localTime(time, true) } });
    this.#series = this.#chart.addSeries(library.CandlestickSeries, { autoscaleInfoProvider: (/** @type {() => any} */ original) => this.#room(original()) });
    this.#lines = new PriceLines(this.#app, this.#chart, this.#series, host);
    setText(byId('chart-hint', HTMLElement), 'Drag a stop loss, a take profit, or an entry line to set them.');
    this.#chart.subscribeCrosshairMove((move) => {
      this.#hovered = /** @type {any} */ (this.#series && move.seriesData.get(this.#series)) ?? null;
      this.#app.frames.request(this.#legend);
    });
    this.#paint();
    await this.#load();
  }

  #buildIntervals() {
    const stored = localStorage.getItem(INTERVAL);
    if (stored !== null && stored in INTERVALS) this.#interval = /** @type {Interval} */ (stored);
    const host = byId('intervals', HTMLElement);
    for (const name of Object.keys(INTERVALS)) {
      const radio = make('input', { type: 'radio', name: 'interval', value: name });
      radio.checked = name === this.#interval;
      host.append(make('label', {}, radio, make('span', {}, name)));
    }
    host.addEventListener('change', (event) => {
      this.#interval = /** @type {Interval} */ (/** @type {HTMLInputElement} */ (event.target).value);
      localStorage.setItem(INTERVAL, this.#interval);
      void this.#load();
    });
  }

  /** Read the candles anew: another market or interval, or a connection that may have missed some. */
  async #load() {
    const { store, api } = this.#app;
    const { symbol } = store;
    const series = this.#series;
    if (series === null || symbol === '') return;
    const generation = (this.#generation += 1);
    if (this.dataset.symbol !== symbol || this.dataset.interval !== this.#interval) {
      this.#isLoaded = false;
      this.#last = undefined;
      series.setData([]);
      this.#note('');
    }
    try {
      const query = new URLSearchParams({ symbol, interval: this.#interval, limit: String(CANDLES) });
      const bars = barsOf(await api.get(`/api/v1/candles?${query}`));
      if (generation !== this.#generation) return;
      const isSame = this.dataset.symbol === symbol && this.dataset.interval === this.#interval && this.#isLoaded;
      this.dataset.symbol = symbol;
      this.dataset.interval = this.#interval;
      series.setData(/** @type {any} */ (bars));
      this.#last = bars.at(-1);
      this.#isLoaded = true;
      if (!isSame) this.#fit(bars.length);
      this.#note(bars.length === 0 && !store.quotes.has(symbol) ? 'No price has been recorded yet.' : '');
    } catch (error) {
      if (generation !== this.#generation) return;
      if (!(error instanceof ApiError)) throw error;
      this.#note(this.#isLoaded ? '' : `No candles: ${sentence(error.message)}`);
      if (error.status !== 404) setTimeout(() => generation === this.#generation && void this.#load(), RETRY_MS);
      this.#isLoaded = true; // from here on live prices draw
    }
    this.#drawLines();
    this.#tick();
  }

  /** @param {number} count of bars */
  #fit(count) {
    this.#series?.priceScale().applyOptions({ autoScale: true });
    const shown = Math.max(40, Math.min(150, Math.floor(this.clientWidth / 7)));
    this.#chart?.timeScale().setVisibleLogicalRange({ from: Math.max(count, shown) - shown, to: Math.max(count, shown) + 6 });
  }

  /** @param {string} words */
  #note(words) {
    const note = byId('chart-note', HTMLElement);
    note.hidden = words === '';
    setText(note, words);
  }

  #tick() {
    this.#head();
    const { store } = this.#app;
    const quote = store.quotes.get(store.symbol);
    if (this.#series === null || !this.#isLoaded || quote === undefined) return;
    const bar = grown(this.#last, quote.price, quote.timestamp, INTERVALS[this.#interval]);
    if (bar === null) return;
    this.#last = bar;
    this.#series.update(/** @type {any} */ (bar));
    const places = store.placesOf(store.symbol);
    if (places !== this.#places) {
      this.#places = places;
      this.#series.applyOptions({ priceFormat: { type: 'price', precision: places, minMove: 10 ** -places } });
    }
    if (this.#hovered === null) this.#legend();
  }

  #head() {
    const { store } = this.#app;
    const { base, quote: unit } = splitSymbol(store.symbol);
    const price = store.quotes.get(store.symbol)?.price ?? null;
    setText(byId('chart-title', HTMLElement), unit ? `${base} / ${unit}` : base || 'Chart');
    setText(find(this, '[data-testid="chart-price"]', HTMLElement), priceText(price, store.placesOf(store.symbol)));
    byId('chart-canvas', HTMLElement).setAttribute('aria-label', `Candlestick chart of ${base}, interval ${this.#interval}`);
  }

  #legend = () => {
    const bar = this.#hovered ?? this.#last;
    const places = this.#app.store.placesOf(this.#app.store.symbol);
    const text = bar === undefined ? '' : `O ${drawnPrice(bar.open, places)}  H ${drawnPrice(bar.high, places)}  L ${drawnPrice(bar.low, places)}  C ${drawnPrice(bar.close, places)}`;
    setText(find(this, '[data-testid="chart-legend"]', HTMLElement), text);
  };

  /**
   * Room on the scale for lines that are not too far away.
   * @param {any} info
   */
  #room(info) {
    if (!info?.priceRange || this.#lines === null) return info;
    const { minValue, maxValue } = info.priceRange;
    const room = (maxValue - minValue) * ROOM_MAX;
    for (const price of this.#lines.prices) {
      if (price < minValue - room || price > maxValue + room) continue;
      info.priceRange.minValue = Math.min(info.priceRange.minValue, price);
      info.priceRange.maxValue = Math.max(info.priceRange.maxValue, price);
    }
    return info;
  }

  #drawLines() {
    this.#lines?.show(this.#palette());
  }

  #markStale() {
    const { condition, store } = this.#app;
    const isOld = condition.isOld(store.symbol) || condition.state !== 'connected';
    const place = byId('chart-stale', HTMLElement);
    const age = store.quoteAgeMs(store.symbol);
    if (isOld) setText(place, age === null ? 'Not live' : `Not live: last price at ${clockTime(Date.now() - age)}`);
    place.hidden = !isOld || this.#series === null;
  }

  #palette() {
    const probe = make('span', { hidden: '' });
    this.append(probe);
    const colour = (/** @type {string} */ name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const names = /** @type {const} */ (['up', 'down', 'warn', 'accent', 'muted', 'line', 'panel', 'text']);
    const palette = /** @type {Record<typeof names[number], string>} */ (Object.fromEntries(names.map((name) => [name, colour(name)])));
    probe.remove();
    return palette;
  }

  #paint() {
    const { up, down, muted, line, panel } = this.#palette();
    const fontFamily = getComputedStyle(document.body).fontFamily;
    this.#chart?.applyOptions({
      layout: { background: { color: panel }, textColor: muted, fontFamily },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      crosshair: { vertLine: { labelBackgroundColor: muted, color: muted }, horzLine: { labelBackgroundColor: muted, color: muted } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.#series?.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false });
    this.#drawLines();
  }
}

/**
 * @param {number} seconds
 * @param {boolean} isFull with the day
 */
function localTime(seconds, isFull) {
  const time = new Date(seconds * 1000);
  const clock = time.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  return isFull ? `${time.toLocaleDateString('en-GB', { day: '2-digit', month: 'short' })} ${clock}` : clock;
}

/**
 * @param {any} seconds
 * @param {number} kind 0 year, 1 month, 2 day, 3 and 4 time
 */
function tickMark(seconds, kind) {
  const time = new Date(seconds * 1000);
  if (kind === 0) return String(time.getFullYear());
  if (kind === 1) return time.toLocaleDateString('en-GB', { month: 'short' });
  return kind === 2 ? time.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) : localTime(seconds, false);
}
