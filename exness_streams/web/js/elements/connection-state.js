/**
 * What the header says of the connection, the banner while it is lost, and the price in the tab's title.
 */

import { byId, find, setText } from '../dom.js';
import { duration, priceText, splitSymbol } from '../format.js';
import { clockTime } from '../time-text.js';

const TICK_MS = 500;
/** Short interruptions are shown in the header alone. */
const BANNER_AFTER_MS = 1500;

export class ConnectionState extends HTMLElement {
  /** @type {import('../app.js').App} */
  #app;

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    app.store.watch(['link', 'feed'], this.#show);
    app.store.watch(['quotes', 'selection', 'link', 'feed'], (changes) => {
      const quotes = changes.get('quotes');
      if (quotes === undefined || quotes.has(app.store.symbol) || changes.size > 1) this.#title();
    });
    setInterval(this.#show, TICK_MS);
  }

  #show = () => {
    const { condition, store } = this.#app;
    const { state } = condition;
    if (this.dataset.state !== state) {
      this.dataset.state = state;
      document.body.dataset.condition = state;
      this.#title();
    }
    setText(find(this, '.connection-text', HTMLElement), condition.words);
    const age = store.newestQuoteAgeMs;
    const newest = age === null ? 'No price yet.' : `Newest price: ${clockTime(Date.now() - age)}.`;
    const reason = store.feed.reason ? ` ${store.feed.reason}.` : '';
    this.title = newest + reason;
    byId('simulated', HTMLElement).hidden = store.source !== 'simulated';
    this.#banner(state);
  };

  /** @param {import('../condition.js').State} state */
  #banner(state) {
    const { store, socket } = this.#app;
    const banner = find(document, '[data-testid="lost"]', HTMLElement);
    const lostFor = store.lostAt === null ? 0 : Date.now() - store.lostAt;
    const isLost = state === 'disconnected' && (store.totals === null || lostFor > BANNER_AFTER_MS);
    if (isLost) {
      const since = store.lostAt === null ? '' : ` since ${clockTime(store.lostAt)}`;
      setText(banner, `Disconnected${since}. What you see is not live. Your stop losses and take profits stay in force on the platform. Reconnecting…`);
      const wait = socket.retryInMs;
      banner.title = wait === null ? 'Connecting now' : `Next attempt in ${duration(wait)}`;
    }
    banner.hidden = !isLost;
  }

  #title() {
    const { store, condition } = this.#app;
    const quote = store.quotes.get(store.symbol);
    const { state } = condition;
    const mark = state === 'connected' ? '' : `(${condition.words.toLowerCase()}) `;
    const price = quote === undefined ? '' : `${priceText(quote.price, store.placesOf(store.symbol))} ${splitSymbol(store.symbol).base} · `;
    const title = `${mark}${price}Exness Streams`;
    if (document.title !== title) document.title = title;
  }
}
