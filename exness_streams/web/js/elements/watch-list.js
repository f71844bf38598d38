/**
 * The market list: bid, ask, and which way they went. Rows out of sight are not touched.
 */

import { byId, make, setText } from '../dom.js';
import { dayTexts } from '../day-figures.js';
import { priceText, splitSymbol } from '../format.js';
import { badgeOf, sentenceOf } from '../market-states.js';
import { PriceMoves } from '../price-moves.js';
import { digitsWide } from '../row-layout.js';

/** @typedef {import('../decimal.js').Decimal} Decimal */

/**
 * One shown price: its element, text node and how it moves.
 * @typedef {{ element: HTMLElement, text: Text, moves: PriceMoves }} Shown
 */

/**
 * day: the elements of the last 24 hours. dayPrice: the last trade that they show.
 * @typedef {{ element: HTMLElement, bid: Shown, ask: Shown, state: HTMLElement, isSeen: boolean,
 *   day: Record<'change' | 'high' | 'low' | 'volume', HTMLElement>, dayPrice: Decimal | undefined }} Row
 */

/** Digits that prices have room for at first, and that fit beside a market's name. */
const LEAST_DIGITS = 8;
const LINE_DIGITS = 9;
const OLD_CHECK_MS = 1000;
/** @type {Record<string, string>} */
const DAY_LABELS = { '24h': 'Change in 24 hours', H: 'Highest in 24 hours', L: 'Lowest in 24 hours', Vol: 'Volume in 24 hours, base asset' };

export class WatchList extends HTMLElement {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #digits = LEAST_DIGITS;
  /** @type {import('../app.js').App} */
  #app;
  #sight = new IntersectionObserver((entries) => this.#seen(entries), { root: this, rootMargin: '80px' });

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    const { store } = app;
    store.watch(['markets'], () => this.#build());
    store.watch(['quotes', 'days'], (changes) => {
      for (const symbol of changes.get('quotes') ?? []) this.#show(symbol);
      for (const symbol of changes.get('days') ?? []) this.#showDay(symbol);
    });
    store.watch(['states'], (changes) => {
      for (const symbol of changes.get('states') ?? []) this.#showState(symbol);
    });
    store.watch(['selection'], () => this.#select());
    store.watch(['link'], () => this.#markOld());
    setInterval(() => this.#markOld(), OLD_CHECK_MS);
    this.addEventListener('click', (event) => this.#pick(event.target));
    this.addEventListener('keydown', (event) => this.#step(event));
    const filter = byId('watch-filter', HTMLInputElement);
    filter.addEventListener('input', () => this.#filter(filter.value));
    filter.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === 'ArrowDown') this.#shown()[0]?.focus();
      if (event.key === 'Enter') this.#pick(this.#shown()[0]);
    });
  }

  #build() {
    const { store } = this.#app;
    for (const symbol of store.markets.keys()) {
      if (this.#rows.has(symbol)) continue;
      const row = newRow(symbol);
      this.#rows.set(symbol, row);
      this.append(row.element);
      this.#sight.observe(row.element);
      this.#showState(symbol);
    }
    this.#select();
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const symbol = /** @type {HTMLElement} */ (target).dataset.symbol ?? '';
      const row = this.#rows.get(symbol);
      if (row === undefined) continue;
      row.isSeen = isIntersecting;
      if (!isIntersecting) continue;
      this.#show(symbol);
      this.#showDay(symbol);
    }
  }

  /** @param {string} symbol */
  #show(symbol) {
    const row = this.#rows.get(symbol);
    const quote = this.#app.store.quotes.get(symbol);
    if (row === undefined || quote === undefined || !row.isSeen) return;
    const places = this.#app.store.placesOf(symbol);
    showPrice(row.bid, quote.bid, places);
    showPrice(row.ask, quote.ask, places);
    this.#widen(Math.max(digitsWide(row.bid.text.data), digitsWide(row.ask.text.data)));
    if (row.dayPrice === undefined || quote.price.compare(row.dayPrice) !== 0) this.#showDay(symbol);
    if (row.element.classList.contains('old') && !this.#app.condition.isOld(symbol)) row.element.classList.remove('old');
  }

  /** @param {string} symbol */
  #showState(symbol) {
    const row = this.#rows.get(symbol);
    if (row === undefined) return;
    const state = this.#app.store.stateOf(symbol);
    setText(row.state, badgeOf(state));
    row.state.title = sentenceOf(state) ?? '';
    row.state.hidden = state.state === 'open';
  }

  /** @param {string} symbol whose last 24 hours, or last price, have changed */
  #showDay(symbol) {
    const row = this.#rows.get(symbol);
    if (row === undefined || !row.isSeen) return;
    const { store } = this.#app;
    const price = store.quotes.get(symbol)?.price;
    row.dayPrice = price;
    const texts = dayTexts(store.days.get(symbol), price, store.placesOf(symbol));
    setText(row.day.change, texts.change);
    if (row.day.change.className !== texts.tone) row.day.change.className = texts.tone;
    setText(row.day.high, texts.high);
    setText(row.day.low, texts.low);
    setText(row.day.volume, texts.volume);
    this.#widen(Math.max(digitsWide(texts.high), digitsWide(texts.low)));
  }

  /**
   * Room for the longest price: a digit that is cut off makes another number of it.
   * @param {number} digits
   */
  #widen(digits) {
    if (digits <= this.#digits) return;
    this.#digits = digits;
    document.body.style.setProperty('--price-digits', String(digits));
    document.body.classList.toggle('long-prices', digits > LINE_DIGITS);
  }

  #markOld() {
    for (const [symbol, row] of this.#rows) {
      if (row.isSeen) row.element.classList.toggle('old', this.#app.condition.isOld(symbol));
    }
  }

  #select() {
    const { symbol } = this.#app.store;
    for (const [name, { element }] of this.#rows) {
      element.setAttribute('aria-selected', String(name === symbol));
      element.tabIndex = name === symbol ? 0 : -1;
    }
  }

  /** @param {EventTarget | null | undefined} target */
  #pick(target) {
    const row = target instanceof Element ? target.closest('.market') : null;
    if (!(row instanceof HTMLElement)) return;
    this.#app.store.select(row.dataset.symbol ?? '');
    row.focus();
    if (document.body.dataset.view === 'markets') document.body.dispatchEvent(new CustomEvent('view', { detail: 'chart' }));
  }

  #shown() {
    return [...this.#rows.values()].map(({ element }) => element).filter((element) => !element.hidden);
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const rows = this.#shown();
    const at = rows.findIndex((row) => row === document.activeElement);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 };
    const to = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (event.key !== 'Enter' && event.key !== ' ' && to === undefined) return;
    event.preventDefault();
    this.#pick(to === undefined ? rows[at] : rows[to]);
  }

  /** @param {string} wanted */
  #filter(wanted) {
    const letters = wanted.trim().toUpperCase();
    for (const [symbol, { element }] of this.#rows) element.hidden = !symbol.toUpperCase().includes(letters);
    byId('watch-empty', HTMLElement).hidden = this.#shown().length > 0;
  }
}

/**
 * @param {string} symbol
 * @returns {Row}
 */
function newRow(symbol) {
  const { base, quote } = splitSymbol(symbol);
  const bid = newPrice('bid');
  const ask = newPrice('ask');
  const element = make('div', { class: 'market', role: 'option', 'aria-selected': 'false', 'data-symbol': symbol, 'data-testid': `market-${symbol}`, tabindex: '-1' });
  const figure = (/** @type {string} */ name) => make('span', { 'data-testid': `day-${name}` }, '–');
  const day = { change: figure('change'), high: figure('high'), low: figure('low'), volume: figure('volume') };
  const line = (/** @type {string} */ label, /** @type {HTMLElement} */ shown, css = '') => make('span', { class: `day ${css}` }, make('abbr', { title: DAY_LABELS[label] }, label), ' ', shown);
  const state = make('span', { class: 'badge state', 'data-testid': 'market-state', hidden: '' });
  element.append(make('span', { class: 'name' }, base, state, make('small', {}, quote)), bid.element, ask.element);
  element.append(line('24h', day.change), line('H', day.high, 'end'), line('Vol', day.volume), line('L', day.low, 'end'));
  return { element, bid, ask, state, isSeen: false, day, dayPrice: undefined };
}

/**
 * @param {string} name
 * @returns {Shown}
 */
function newPrice(name) {
  const text = document.createTextNode('–');
  return { element: make('span', { class: 'price', 'data-testid': name }, text), text, moves: new PriceMoves() };
}

/**
 * @param {Shown} shown
 * @param {Decimal | null} value
 * @param {number} places
 */
function showPrice(shown, value, places) {
  const words = priceText(value, places);
  if (shown.text.data === words) return;
  shown.text.data = words;
  shown.element.className = shown.moves.next(value, performance.now()) ?? shown.element.className;
}
