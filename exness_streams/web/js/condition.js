/**
 * Whether what the page shows is live, said from what was heard, never from hope.
 */

import { duration } from './format.js';
import { sentenceOf } from './market-states.js';

/** @typedef {'connecting' | 'connected' | 'stale' | 'disconnected'} State */

export class Condition {
  /**
   * @param {import('./store.js').Store} store
   * @param {number} maxQuoteAgeMs
   */
  constructor(store, maxQuoteAgeMs) {
    this.store = store;
    this.maxQuoteAgeMs = maxQuoteAgeMs;
  }

  /** @returns {State} */
  get state() {
    const { link, feed } = this.store;
    if (link !== 'open') return link;
    const age = this.store.newestQuoteAgeMs;
    if (age !== null && age > this.maxQuoteAgeMs) return 'stale';
    if (feed.status === 'connected') return 'connected';
    // Nothing was heard of the feed yet: quotes that arrive speak for it.
    return feed.status === 'unknown' && age !== null ? 'connected' : 'stale';
  }

  /** In a few words, for the header. */
  get words() {
    const { feed } = this.store;
    switch (this.state) {
      case 'connected':
        return 'Connected';
      case 'connecting':
        return 'Connecting';
      case 'disconnected':
        return 'Disconnected';
      default:
        if (feed.status === 'disconnected') return 'Price feed disconnected';
        return feed.status === 'connecting' ? 'Price feed connecting' : 'Stale prices';
    }
  }

  /**
   * Why a symbol can't be traded on at the market now, or null.
   * @param {string} symbol
   * @returns {string | null}
   */
  why(symbol) {
    if (this.store.link !== 'open') return 'Not connected: the prices on this page are not live.';
    const stated = sentenceOf(this.store.stateOf(symbol));
    if (stated !== null) return stated;
    const quote = this.store.quotes.get(symbol);
    const age = this.store.quoteAgeMs(symbol);
    if (quote === undefined || age === null) return 'No quote has arrived for this market yet.';
    if (age > this.maxQuoteAgeMs) return `The last quote is ${duration(age)} old; the platform does not fill on it.`;
    return quote.bid === null || quote.ask === null ? 'One side of this market is empty.' : null;
  }

  /** @param {string} symbol */
  isOld(symbol) {
    const age = this.store.quoteAgeMs(symbol);
    return this.store.link !== 'open' || age === null || age > this.maxQuoteAgeMs;
  }
}
