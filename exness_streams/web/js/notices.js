/**
 * Notices of the browser, for who asked for them and does not look at the page: fills, stop-outs, margin calls.
 */

import { exactPercent } from './format.js';

/** @typedef {{ title: string, text: string, tag: string }} Notice */

const CHOSEN = 'notices';

/**
 * The notice of an event, null: none. It is that of what happened without the trader's own doing.
 * @param {any} event
 * @param {{ title: string, text: string } | null} told what the page itself says of it
 * @returns {Notice | null}
 */
export function noticeOf(event, told) {
  if (told === null) return null;
  // A limit order at the market is filled by the request that placed it.
  const isFill = event.type === 'PositionOpened' && Boolean(event.orderId) && !event.causedBy;
  const isStopOut = event.type === 'PositionClosed' && event.reason !== 'manual';
  const isLapsed = event.type === 'OrderExpired' || (event.type === 'OrderCancelled' && event.reason !== 'client');
  return isFill || isStopOut || isLapsed ? { title: told.title, text: told.text, tag: event.eventId } : null;
}

/**
 * @param {import('./decimal.js').Decimal} limit percent
 * @returns {Notice}
 */
export function callNotice(limit) {
  return { title: 'Margin call', text: `The margin level is at or below ${exactPercent(limit)}. Deposit, or close positions.`, tag: 'margin-call' };
}

/**
 * What a browser offers of it, and whether its user wants them.
 * @typedef {{ permission: string, ask: () => Promise<string>, show: (notice: Notice) => void }} Means
 */

export class Notices {
  /**
   * @param {Means | null} means null: this browser has none for this page
   * @param {Pick<Storage, 'getItem' | 'setItem'>} storage
   * @param {() => boolean} isWatched whether somebody looks at the page, who sees it there
   */
  constructor(means, storage, isWatched) {
    this.means = means;
    this.storage = storage;
    this.isWatched = isWatched;
  }

  /** Whether they were asked for here, and are allowed. */
  get isOn() {
    return this.means?.permission === 'granted' && this.storage.getItem(CHOSEN) === 'on';
  }

  /** Why there can't be any, in words, or null. */
  get fault() {
    if (this.means === null) return 'This browser shows no notifications for this page.';
    return this.means.permission === 'denied' ? 'This browser blocks them for this page: allow notifications in its settings.' : null;
  }

  /**
   * @param {boolean} isWanted
   * @returns {Promise<void>} after the browser's user has answered
   */
  async choose(isWanted) {
    if (isWanted && this.means !== null && this.means.permission !== 'granted') await this.means.ask();
    this.storage.setItem(CHOSEN, isWanted && this.fault === null ? 'on' : 'off');
  }

  /** @param {Notice | null} notice */
  tell(notice) {
    if (notice !== null && this.isOn && !this.isWatched()) this.means?.show(notice);
  }
}
