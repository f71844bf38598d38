/**
 * What a trader can do: submits with their messages. A submit whose outcome is unknown keeps its key.
 */

import { ApiError, newKey } from './api.js';
import { counted, exact, kindOf, money, placed, priceText, reasonText, signedMoney, splitSymbol, toneOf } from './format.js';
import { Decimal, ZERO } from './decimal.js';

/** @typedef {import('./messages.js').Position} Position */
/** @typedef {import('./messages.js').Order} Order */

/** @typedef {(words: string) => void} Progress */

const CLOSES_GATHERED_MS = 150;
/** So many closes are told one by one. */
const CLOSES_APART_MAX = 3;

export class Desk {
  /** @type {{ message: import('./elements/toast-stack.js').Toast, event: any }[]} */
  #closes = [];
  /** Submits whose outcome is not known, by what was asked for. @type {Map<string, { key: string, body: object }>} */
  #unsettled = new Map();

  /**
   * @param {import('./api.js').Api} api
   * @param {import('./elements/toast-stack.js').ToastStack} toasts
   */
  constructor(api, toasts) {
    this.api = api;
    this.toasts = toasts;
  }

  /**
   * Submit, and say in words what happens on the way.
   * @param {string} path
   * @param {object} body
   * @param {Progress} [progress]
   * @returns {Promise<any>}
   * @throws {ApiError}
   */
  async submit(path, body, progress = () => {}) {
    const intent = intentOf(path, body);
    // The same body, too: a reference price that has moved on would make it another request under the same key.
    const asked = this.#unsettled.get(intent) ?? { key: newKey(), body };
    try {
      const answer = await this.api.post(path, asked.body, {
        key: asked.key,
        onRetry: (attempt, most) =>
          progress(`No answer yet. Asking again with the same key, so it can't happen twice (${attempt} of ${most})…`),
      });
      this.#unsettled.delete(intent);
      return answer;
    } catch (error) {
      if (error instanceof ApiError && error.isUnknown) this.#unsettled.set(intent, asked);
      else this.#unsettled.delete(intent);
      throw error;
    }
  }

  /** The page acts for another account: what was asked for the one before is not asked again. */
  forget() {
    this.#unsettled.clear();
    this.#closes = [];
  }

  /**
   * Whether this was asked for before, and its outcome is unknown.
   * @param {string} path
   * @param {object} body
   */
  isUnsettled(path, body) {
    return this.#unsettled.has(intentOf(path, body));
  }

  /**
   * Show a refusal or a lost answer.
   * @param {unknown} error
   * @param {string} what failed, such as "Order refused"
   */
  tell(error, what) {
    if (!(error instanceof ApiError)) throw error;
    this.toasts.show({
      kind: error.isUnknown ? 'warn' : 'bad',
      title: error.isUnknown ? 'Outcome unknown' : what,
      text: sentence(error.message),
    });
  }

  /**
   * @param {string} positionId
   * @param {{ stopLoss?: string | null, takeProfit?: string | null }} prices
   * @param {Progress} [progress]
   */
  modify(positionId, prices, progress) {
    return this.submit('/api/v1/positions/modify', { positionId, ...prices }, progress);
  }

  /** @param {Order} order */
  async cancel(order) {
    try {
      await this.submit('/api/v1/orders/cancel', { orderId: order.orderId });
    } catch (error) {
      this.tell(error, 'Not cancelled');
    }
  }

  /**
   * Say what an event did. Closes that come together are said together.
   * @param {any} event
   * @param {Position | Order | null} before
   * @param {(symbol: string) => number} placesOf
   */
  announce(event, before, placesOf) {
    const message = announcement(event, before, placesOf);
    if (message === null) return;
    if (event.type !== 'PositionClosed') return this.toasts.show(message);
    if (this.#closes.length === 0) setTimeout(() => this.#announceCloses(), CLOSES_GATHERED_MS);
    this.#closes.push({ message, event });
  }

  #announceCloses() {
    const closes = this.#closes;
    this.#closes = [];
    if (closes.length === 0) return; // of an account that the page shows no longer
    const isForced = closes.some(({ event }) => event.reason !== 'manual');
    if (closes.length <= CLOSES_APART_MAX) return closes.forEach(({ message }) => this.toasts.show(message));
    const sum = closes.reduce((total, { event }) => total.plus(Decimal.from(event.realizedPnL)), ZERO);
    this.toasts.show({
      kind: isForced ? 'warn' : kindOf(sum),
      title: `${counted(closes.length)} positions closed`,
      text: `${isForced ? 'Some of them by the market. ' : ''}PnL ${signedMoney(sum)} USD. See History.`,
    });
  }
}

/**
 * What was asked for, whatever the market and the clock said meanwhile.
 * @param {string} path
 * @param {object} body
 */
function intentOf(path, body) {
  return `${path} ${JSON.stringify({ ...body, currentPrice: undefined, expiresAt: undefined })}`;
}

/**
 * @param {string} words
 */
export function sentence(words) {
  const text = placed(words);
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

/**
 * @param {any} event
 * @param {any} before the position or order that it is about
 * @param {(symbol: string) => number} placesOf
 * @returns {import('./elements/toast-stack.js').Toast | null}
 */
export function announcement(event, before, placesOf) {
  const price = (/** @type {string} */ text) => priceText(Decimal.from(text), placesOf(event.symbol));
  const amount = () => `${exact(Decimal.from(event.quantity))} ${splitSymbol(event.symbol).base}`;
  switch (event.type) {
    case 'PositionOpened': {
      const verb = event.side === 'long' ? 'Bought' : 'Sold';
      return {
        kind: 'good',
        title: `${verb} ${amount()} at ${price(event.entryPrice)}`,
        text: event.orderId ? fillOf(event) : `Margin ${money(Decimal.from(event.margin))} USD, ${exact(Decimal.from(event.leverage))}×.`,
      };
    }
    case 'PositionClosed': {
      const gain = Decimal.from(event.realizedPnL);
      const isForced = event.reason !== 'manual';
      const share = event.remaining ? 'in part' : '';
      return {
        kind: event.reason === 'liquidation' ? 'bad' : isForced && toneOf(gain) === 'down' ? 'warn' : kindOf(gain),
        title: isForced ? `${reasonText(event.reason)}: ${amount()}` : `Closed ${amount()} ${share}`.trim(),
        text: `At ${price(event.closePrice)}, PnL ${signedMoney(gain)} USD.`,
      };
    }
    case 'PositionModified':
      return { kind: 'plain', title: `${splitSymbol(event.symbol).base}: ${changeOf(event, before, price)}`, text: '' };
    case 'OrderPlaced':
      return { kind: 'plain', title: `Order placed: ${event.side === 'long' ? 'buy' : 'sell'} ${amount()}`, text: `${event.kind === 'limit' ? 'Limit' : 'Stop'} at ${price(event.price)}.` };
    case 'OrderCancelled':
      return event.reason === 'client'
        ? { kind: 'plain', title: `Order cancelled: ${amount()}`, text: '' }
        : { kind: 'warn', title: `Order cancelled: ${amount()}`, text: whyNotFilled(event.reason) };
    case 'OrderExpired':
      return { kind: 'warn', title: `Order expired: ${amount()}`, text: `The market did not reach ${price(event.price)} in time.` };
    case 'Deposited':
      return { kind: 'good', title: `Deposited ${money(Decimal.from(event.amount))} USD`, text: '' };
    case 'AccountReset':
      return { kind: 'plain', title: 'Account reset', text: `It starts over with ${money(Decimal.from(event.balance))} USD.` };
    default:
      return null; // OrderFilled: the PositionOpened that follows says it
  }
}

/** @param {any} event PositionOpened of an order: what a request has caused was filled as it was placed */
function fillOf(event) {
  return event.causedBy ? 'The limit order was filled at once.' : 'A pending order was filled.';
}

/** @param {string} reason of an order that was cancelled by the platform */
function whyNotFilled(reason) {
  if (reason === 'exit_passed') return 'The market has jumped beyond its stop loss or take profit: it would have been closed at once.';
  if (reason === 'liquidation') return 'It would have been liquidated at once: between bid and ask lies more than its margin.';
  return 'It could not be filled at the price the market jumped to.';
}

/**
 * @param {any} event PositionModified
 * @param {any} before
 * @param {(text: string) => string} price
 */
function changeOf(event, before, price) {
  const parts = [];
  for (const [field, name] of /** @type {const} */ ([['stopLoss', 'stop loss'], ['takeProfit', 'take profit']])) {
    const now = event[field] ?? null;
    const then = before?.[field]?.toString() ?? null;
    if (now !== then) parts.push(now === null ? `${name} cleared` : `${name} ${price(now)}`);
  }
  return parts.join(', ') || 'unchanged';
}
