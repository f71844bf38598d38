/**
 * Closed trades, as the platform hands them out: filtered by it, page by page, or all of them as a file.
 */

import { Decimal } from './decimal.js';

/**
 * @typedef {{ tradeId: string, symbol: string, side: import('./valuation.js').Side, quantity: Decimal,
 *   leverage: Decimal, entryPrice: Decimal, closePrice: Decimal, realizedPnL: Decimal, fee: Decimal, reason: string,
 *   openedAt: number, closedAt: number }} Trade
 */

/**
 * Which trades; empty: all.
 * @typedef {{ symbol: string, reason: string }} TradeFilter
 */

const PAGE_ROWS = 100;
/** As many at once as the platform gives. */
const PAGE_ROWS_MAX = 500;
/** So many of the newest trades are looked at for results. */
export const TRADES_MAX = 5_000;

/** @param {TradeFilter} filter */
function queryOf({ symbol, reason }) {
  const query = new URLSearchParams();
  if (symbol !== '') query.set('symbol', symbol);
  if (reason !== '') query.set('reason', reason);
  return query;
}

/**
 * @param {import('./api.js').Api} api
 * @param {TradeFilter} filter
 * @param {string | null} cursor null: the newest
 * @param {number} [rows]
 * @returns {Promise<{ trades: Trade[], next: string | null }>} next: the cursor of the page after it, null: there is none
 * @throws {import('./api.js').ApiError}
 */
export async function tradesPage(api, filter, cursor, rows = PAGE_ROWS) {
  const query = queryOf(filter);
  query.set('limit', String(rows));
  if (cursor !== null) query.set('cursor', cursor);
  const page = await api.get(`/api/v1/trades?${query}`);
  return { trades: page.trades.map(tradeOf), next: page.nextCursor ?? null };
}

/**
 * The trades that the filter lets through, as CSV.
 * @param {import('./api.js').Api} api
 * @param {TradeFilter} filter
 * @returns {Promise<Blob>}
 * @throws {import('./api.js').ApiError}
 */
export function tradesFile(api, filter) {
  const query = queryOf(filter).toString();
  return api.csv(query === '' ? '' : `?${query}`);
}

/**
 * All trades, TRADES_MAX at most: what is new of them is read, to those that are known.
 * @param {import('./api.js').Api} api
 * @param {Trade[]} known newest first, as this gave them
 * @returns {Promise<Trade[]>} newest first
 * @throws {import('./api.js').ApiError}
 */
export async function newestTrades(api, known) {
  const newest = known[0]?.tradeId;
  /** @type {Trade[]} */
  const found = [];
  let cursor = null;
  do {
    const page = await tradesPage(api, { symbol: '', reason: '' }, cursor, PAGE_ROWS_MAX);
    const end = page.trades.findIndex(({ tradeId }) => tradeId === newest);
    found.push(...(end < 0 ? page.trades : page.trades.slice(0, end)));
    if (end >= 0) return [...found, ...known].slice(0, TRADES_MAX);
    cursor = page.next;
  } while (cursor !== null && found.length < TRADES_MAX);
  return found.slice(0, TRADES_MAX);
}

/**
 * @param {any} message
 * @returns {Trade}
 */
function tradeOf(message) {
  return {
    tradeId: message.tradeId,
    symbol: message.symbol,
    side: message.type,
    quantity: Decimal.from(message.quantity),
    leverage: Decimal.from(message.leverage),
    entryPrice: Decimal.from(message.entryPrice),
    closePrice: Decimal.from(message.closePrice),
    realizedPnL: Decimal.from(message.realizedPnL),
    fee: Decimal.from(message.fee),
    reason: message.reason,
    openedAt: Number(message.openedAt),
    closedAt: Number(message.closedAt),
  };
}
