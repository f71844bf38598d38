/**
 * Market and interval in the page's address: read at the start, kept up to date, so that a link shows what its sender
 * saw. What is not in it is as it was left in this browser.
 */

import { INTERVALS, isInterval } from './candles.js';
import { splitSymbol } from './format.js';

/** @typedef {import('./candles.js').Interval} Interval */

const SYMBOL = 'symbol';
const INTERVAL = 'interval';

/**
 * The market that a text means: a symbol, or the base asset of one, in capitals or not.
 * @param {string} text
 * @param {Iterable<string>} symbols on offer
 * @returns {string | null}
 */
export function marketNamed(text, symbols) {
  const wanted = text.trim().toUpperCase();
  const known = [...symbols];
  return (
    known.find((symbol) => symbol === text) ??
    known.find((symbol) => symbol.toUpperCase() === wanted) ??
    known.find((symbol) => splitSymbol(symbol).base.toUpperCase() === wanted) ??
    null
  );
}

/**
 * The address's query with another market and interval; all else in it stays.
 * @param {string} search
 * @param {string} symbol '': none is known yet
 * @param {string} interval
 */
export function withView(search, symbol, interval) {
  const query = new URLSearchParams(search);
  if (symbol !== '') query.set(SYMBOL, symbol);
  query.set(INTERVAL, interval);
  return `?${query}`;
}

/**
 * The interval that an address asks for, and the words when there is no such one.
 * @param {string} search
 * @returns {{ interval: Interval | null, fault: string | null }}
 */
export function intervalOf(search) {
  const asked = new URLSearchParams(search).get(INTERVAL);
  if (asked === null || isInterval(asked)) return { interval: asked, fault: null };
  return { interval: null, fault: `The link asks for the interval \u201c${shortened(asked)}\u201d; there are ${Object.keys(INTERVALS).join(', ')}.` };
}

/** @param {string} text of a stranger's link */
function shortened(text) {
  return text.length > 24 ? `${text.slice(0, 24)}\u2026` : text;
}

/**
 * Take market and interval from the address, or from the last visit; from then on write them into both.
 * @param {{ store: import('./store.js').Store, toasts: import('./elements/toast-stack.js').ToastStack }} app
 */
export function setUpAddress({ store, toasts }) {
  const { interval, fault } = intervalOf(location.search);
  const stored = localStorage.getItem(INTERVAL);
  store.interval = interval ?? (isInterval(stored) ? stored : '1m');
  if (fault !== null) toasts.show({ kind: 'warn', title: 'No such interval', text: fault });

  const asked = new URLSearchParams(location.search).get(SYMBOL);
  const left = localStorage.getItem(SYMBOL) ?? '';
  store.symbol = asked !== null && asked.includes('_') ? asked : left; // until it is known what there is
  let isSettled = false;
  const settle = () => {
    if (isSettled || store.markets.size === 0) return;
    isSettled = true;
    const market = asked === null ? null : marketNamed(asked, store.markets.keys());
    if (market !== null) return store.select(market);
    if (asked !== null) {
      if (store.markets.has(left)) store.select(left);
      toasts.show({ kind: 'warn', title: 'No such market', text: `The link asks for \u201c${shortened(asked)}\u201d, which is not on offer here.` });
    }
  };
  const write = () => {
    if (store.symbol !== '') localStorage.setItem(SYMBOL, store.symbol);
    localStorage.setItem(INTERVAL, store.interval);
    const search = withView(location.search, store.symbol, store.interval);
    if (search !== location.search) history.replaceState(history.state, '', `${location.pathname}${search}${location.hash}`);
  };
  store.watch(['markets', 'selection', 'interval'], () => {
    settle();
    if (isSettled) write();
  });
}
