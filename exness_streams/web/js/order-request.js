/**
 * What the ticket sends, and how much of the free cash goes into it.
 */

import { HUNDRED, ONE, ZERO } from './decimal.js';
import { openingPrice } from './valuation.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */

const MARGIN_PLACES = 2;

/**
 * The request of an order. A market order with a slippage limit says which price was seen.
 * @param {import('./quotation.js').Draft} draft
 * @param {{ symbol: string }} market
 * @param {import('./valuation.js').Quote | undefined} quote
 * @param {{ lifetimeMs: number | null, serverTimeMs: number }} time lifetimeMs: of a pending order, null: until it is cancelled
 * @returns {{ path: string, body: Record<string, string | number> }}
 */
export function orderRequest(draft, market, quote, { lifetimeMs, serverTimeMs }) {
  /** @type {Record<string, string | number>} */
  const body = { margin: String(draft.margin), asset: market.symbol, type: draft.side, leverage: String(draft.leverage) };
  if (draft.stopLoss) body.stopLoss = String(draft.stopLoss);
  if (draft.takeProfit) body.takeProfit = String(draft.takeProfit);
  if (draft.kind !== 'market') {
    if (lifetimeMs !== null) body.expiresAt = Math.round(serverTimeMs + lifetimeMs);
    return { path: '/api/v1/orders/place', body: { ...body, kind: draft.kind, price: String(draft.price) } };
  }
  const seen = quote && openingPrice(quote, draft.side);
  if (draft.slippage && seen) Object.assign(body, { slippage: String(draft.slippage), currentPrice: String(seen) });
  return { path: '/api/v1/positions/open', body };
}

/**
 * The margin that a share of the free cash is enough for, with the fee: free = margin × (1 + leverage × rate).
 * @param {Decimal} freeCash USD
 * @param {Decimal} percent
 * @param {Decimal} leverage
 * @param {Decimal} feeRate a fraction of the notional
 * @returns {Decimal} USD, rounded down to the cent, never below zero
 */
export function marginOfShare(freeCash, percent, leverage, feeRate) {
  const margin = freeCash.times(percent).over(HUNDRED).over(ONE.plus(feeRate.times(leverage)));
  return (margin.sign > 0 ? margin : ZERO).truncated(MARGIN_PLACES);
}
