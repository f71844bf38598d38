/**
 * The candlestick chart: lightweight-charts, when it is installed.
 */

import { ApiError } from '../api.js';
import { INTERVALS, isInterval } from '../candles.js';
import { ChartBars, drawnBar, faint, firstView, volumeBar } from '../chart-bars.js';
import { changeOf, dayTexts } from '../day-figures.js';
import { sentence } from '../desk.js';
import { byId, find, make, setText } from '../dom.js';
import { beyond } from '../edge-marks.js';
import { drawnPrice, fixed, priceText, splitSymbol } from '../format.js';
import { PriceLines } from '../price-lines.js';
import { createChart, markAnew } from '../time-scale.js';
import { clockTime, isDate, missingText } from '../time-text.js';
import { sayZone } from '../zone-choice.js';

/** @typedef {import('../candles.js').Bar} Bar */
/** @typedef {typeof import('lightweight-charts')} Library */

const FILE = '../../vendor/lightweight-charts.standalone.production.mjs';
const RETRY_MS = 3000;
/** So near to the oldest bar, older ones are asked for. */
const MARGIN_BARS = 60;
const RENEW_MS = 60_000;
/** Of the height: what the volume's bars take, at the bottom. */
const VOLUME_SHARE = 0.16;
const VOLUME_OPACITY = 0.45;
const EDGE_MARKS_MAX = 3;
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
  /** @type {import('lightweight-charts').ISeriesApi<'Histogram'> | null} */
  #volumes = null;
  /** @type {PriceLines | null} */
  #lines = null;
  /** @type {ChartBars} */
  #bars;
  /** @type {Bar | null} under the crosshair */
  #hovered = null;
  #places = 0;
  #daySymbol = '';
  /** @type {import('../decimal.js').Decimal | undefined} the last trade that the last 24 hours show */
  #dayPrice;
  #volumeColours = { up: '', down: '', '': '' };
  /** Of a candle that ended where it began. */
  #flat = '';

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    const { store } = app;
    this.#bars = new ChartBars(app.api);
    this.#buildIntervals();
    store.watch(['selection', 'markets', 'interval'], (changes) => {
      if (changes.has('selection') || changes.has('interval')) void this.#load();
      this.#head();
    });
    store.watch(['quotes'], (changes) => changes.get('quotes')?.has(store.symbol) && this.#tick());
    store.watch(['days'], (changes) => changes.get('days')?.has(store.symbol) && this.#day());
    store.watch(['positions', 'orders', 'selection'], () => this.#drawLines());
    store.watch(['link'], () => store.link === 'open' && void this.#load());
    setInterval(() => this.#markStale(), 500);
    setInterval(() => void this.#renew(), RENEW_MS);
    document.addEventListener('theme', () => this.#paint());
    document.addEventListener('zone', () => this.#rezone());
    store.watch(['interval'], () => sayZone(isDate(this.#seconds())));
    sayZone(isDate(this.#seconds()));
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
    this.#chart = createChart(library, host, { autoSize: true, layout: { attributionLogo: false, fontSize: 11 }, timeScale: { timeVisible: true, rightOffset: 6 }, localization: { priceFormatter: (/** @type {number} */ price) => drawnPrice(price, this.#app.store.placesOf(this.#app.store.symbol)) } }, this.#seconds);
    this.#series = this.#chart.addSeries(library.CandlestickSeries, { autoscaleInfoProvider: (/** @type {() => any} */ original) => this.#room(original()) });
    this.#series.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: VOLUME_SHARE + 0.04 } });
    this.#volumes = this.#chart.addSeries(library.HistogramSeries, { priceScaleId: 'volume', priceFormat: { type: 'volume' }, lastValueVisible: false, priceLineVisible: false });
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 1 - VOLUME_SHARE, bottom: 0 } });
    this.#lines = new PriceLines(this.#app, this.#chart, this.#series, host);
    setText(byId('chart-hint', HTMLElement), 'Drag a stop loss, a take profit, or an entry line to set them.');
    this.#chart.subscribeCrosshairMove((move) => {
      this.#hovered = /** @type {any} */ (this.#series && move.seriesData.get(this.#series)) ?? null;
      this.#app.frames.request(this.#legend);
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < MARGIN_BARS) void this.#loadOlder();
      this.#app.frames.request(this.#markEdges);
    });
    this.#paint();
    await this.#load();
  }

  /** The bars in view, by their places, and how many there are; null before the first. */
  get view() {
    const range = this.#chart?.timeScale().getVisibleLogicalRange() ?? null;
    return range && { from: range.from, to: range.to, bars: this.#bars.bars.length };
  }

  #buildIntervals() {
    const { store } = this.#app;
    const host = byId('intervals', HTMLElement);
    for (const name of Object.keys(INTERVALS)) {
      const radio = make('input', { type: 'radio', name: 'interval', value: name });
      host.append(make('label', {}, radio, make('span', {}, name)));
    }
    const check = () => {
      for (const radio of host.querySelectorAll('input')) radio.checked = radio.value === store.interval;
    };
    host.addEventListener('change', (event) => {
      const { value } = /** @type {HTMLInputElement} */ (event.target);
      if (isInterval(value)) store.chooseInterval(value);
    });
    store.watch(['interval'], check);
    check();
  }

  /** Of the candles that are shown. */
  #seconds = () => INTERVALS[this.#app.store.interval];

  /** Another zone: the scale is marked anew, from the candles that are there. */
  #rezone() {
    sayZone(isDate(this.#seconds()));
    if (this.#chart !== null) markAnew(this.#chart);
    this.#sayMissing();
  }

  /** Read the candles anew: another market or interval, or a connection that may have missed some. */
  async #load() {
    const { store } = this.#app;
    const { symbol, interval } = store;
    const bars = this.#bars;
    if (this.#series === null || symbol === '') return;
    const isOther = bars.turnTo(symbol, interval);
    if (isOther) {
      this.#chart?.timeScale().applyOptions({}); // what was written below the other candles' times is forgotten
      this.#draw();
      this.#note('');
    }
    const wasEmpty = bars.bars.length === 0;
    try {
      if (!(await bars.load())) return;
      this.dataset.symbol = symbol;
      this.dataset.interval = interval;
      this.#draw();
      if (wasEmpty) this.#fit();
      this.#note(bars.bars.length === 0 && !store.quotes.has(symbol) ? 'No price has been recorded yet.' : '');
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#note(bars.bars.length > 0 ? '' : `No candles: ${sentence(error.message)}`);
      const isStillIt = () => bars.symbol === symbol && bars.interval === interval;
      // Of what is not on offer any more there are none: it has a row while positions stand in it.
      if (![400, 404].includes(error.status)) setTimeout(() => isStillIt() && void this.#load(), RETRY_MS);
    }
    this.#drawLines();
    this.#tick();
  }

  async #loadOlder() {
    await this.#ask(() => this.#bars.loadOlder());
  }

  async #renew() {
    if (this.#app.store.link === 'open' && !document.hidden) await this.#ask(() => this.#bars.renew());
  }

  /**
   * What the chart is complete without.
   * @param {() => Promise<boolean>} read
   */
  async #ask(read) {
    try {
      if (await read()) this.#draw();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the next look, or the next scrolling, asks again
    }
  }

  #draw() {
    const { bars } = this.#bars;
    this.#series?.setData(/** @type {any} */ (bars.map((bar) => drawnBar(bar, this.#flat))));
    this.#volumes?.setData(/** @type {any} */ (bars.map((bar) => volumeBar(bar, this.#volumeColours))));
    this.dataset.bars = String(bars.length);
    this.#sayMissing();
    this.#app.frames.request(this.#legend);
  }

  /** What the library can't show: it puts bars beside each other, whatever lies between them. */
  #sayMissing() {
    const place = byId('chart-missing', HTMLElement);
    const spans = this.#bars.missing;
    place.hidden = spans.length === 0;
    setText(place, missingText(spans, this.#seconds()));
  }

  #fit() {
    this.#series?.priceScale().applyOptions({ autoScale: true });
    this.#chart?.timeScale().setVisibleLogicalRange(firstView(this.#bars.bars.length, this.clientWidth));
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
    if (this.#series === null || !this.#bars.isLoaded || this.#bars.symbol !== store.symbol || quote === undefined) return;
    const bar = this.#bars.grow(quote);
    if (bar === null) return;
    this.#series.update(/** @type {any} */ (drawnBar(bar, this.#flat)));
    this.#app.frames.request(this.#markEdges);
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
    if (store.symbol !== this.#daySymbol || price === null || this.#dayPrice === undefined || price.compare(this.#dayPrice) !== 0) {
      this.#daySymbol = store.symbol;
      this.#day();
    }
    byId('chart-canvas', HTMLElement).setAttribute('aria-label', `Candlestick chart of ${base}, interval ${store.interval}`);
  }

  /** The last 24 hours. */
  #day() {
    const { store } = this.#app;
    const { base, quote: unit } = splitSymbol(store.symbol);
    const places = store.placesOf(store.symbol);
    const price = store.quotes.get(store.symbol)?.price;
    this.#dayPrice = price;
    const day = store.days.get(store.symbol);
    const texts = dayTexts(day, price, places);
    const set = (/** @type {string} */ name, /** @type {string} */ text) => {
      const element = find(this, `[data-testid="chart-day-${name}"]`, HTMLElement);
      setText(element, text);
      return element;
    };
    const change = changeOf(day, price);
    const sign = change !== null && change.amount.sign > 0 ? '+' : '';
    set('change', change === null ? texts.change : `${sign}${fixed(change.amount, places)} (${texts.change})`).className = texts.tone;
    set('high', texts.high);
    set('low', texts.low);
    set('volume', `${texts.volume} ${base}`);
    set('turnover', `${texts.quoteVolume} ${unit}`);
  }

  #legend = () => {
    const bar = this.#hovered ?? this.#bars.bars.at(-1);
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
    this.#app.frames.request(this.#markEdges);
  }

  /** Say at the edges which lines lie beyond them. */
  #markEdges = () => {
    const series = this.#series;
    const height = this.#chart?.panes()[0].getHeight() ?? 0;
    if (series === null || this.#lines === null || height === 0) return;
    const [high, low] = [series.coordinateToPrice(0), series.coordinateToPrice(height)];
    const { above, below } = beyond(this.#lines.all, high === null || low === null ? null : { low, high });
    this.#tell('edge-above', above, '\u2191');
    this.#tell('edge-below', below, '\u2193');
  };

  /**
   * @param {string} id
   * @param {import('../price-lines.js').Line[]} lines nearest first
   * @param {string} arrow
   */
  #tell(id, lines, arrow) {
    const place = byId(id, HTMLElement);
    const places = this.#app.store.placesOf(this.#app.store.symbol);
    const words = lines.slice(0, EDGE_MARKS_MAX).map(({ title, price }) => `${arrow} ${title} ${priceText(price, places)}`);
    if (lines.length > EDGE_MARKS_MAX) words.push(`${arrow} ${lines.length - EDGE_MARKS_MAX} more`);
    const state = words.join('\n');
    if (place.dataset.state === state) return;
    place.dataset.state = state;
    place.replaceChildren(...words.map((text, index) => make('span', { 'data-role': lines[index].role }, text)));
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
    this.#volumeColours = { up: faint(up, VOLUME_OPACITY), down: faint(down, VOLUME_OPACITY), '': faint(muted, VOLUME_OPACITY) };
    this.#flat = muted;
    if (this.#bars.bars.length > 0) this.#draw();
    this.#series?.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false });
    this.#drawLines();
  }
}
