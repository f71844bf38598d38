/**
 * What an order would mean, before it is sent, and what is wrong with it. The platform decides; this only says early.
 */

import { Decimal, ONE, ZERO, largerOf } from './decimal.js';
import { exact, money, priceText, splitSymbol } from './format.js';
import { fillFee, liquidationPrice, markPrice, openingPrice, openingQuantity, profit, quantityStep, toMoney } from './valuation.js';

/** @typedef {import('./messages.js').Market} Market */
/** @typedef {import('./valuation.js').Quote} Quote */
/** @typedef {import('./valuation.js').Side} Side */

/**
 * What a person typed; null: no number. stopLoss, takeProfit, slippage: undefined when left empty.
 * @typedef {object} Draft
 * @property {'market' | 'limit' | 'stop'} kind
 * @property {Side} side
 * @property {Decimal | null} margin
 * @property {Decimal | null} leverage
 * @property {Decimal | null} price of a pending order
 * @property {Decimal | null | undefined} stopLoss
 * @property {Decimal | null | undefined} takeProfit
 * @property {Decimal | null | undefined} slippage
 */

/**
 * @typedef {object} Quotation
 * @property {Decimal} entry
 * @property {Decimal} quantity zero: the margin buys less than one step
 * @property {Decimal} notional
 * @property {Decimal} liquidation
 * @property {Decimal | null} spreadCost what the position would lose if it were closed at once; null: not known
 * @property {Decimal} fee
 * @property {Decimal} total margin and fee
 */

/**
 * @param {Draft} draft
 * @param {Market} market
 * @param {Quote | undefined} quote
 * @returns {Quotation | null} null while something that it needs is missing
 */
export function quotationOf(draft, market, quote) {
  const { side, margin, leverage } = draft;
  const entry = isAtMarket(draft, quote) ? (quote === undefined ? null : openingPrice(quote, side)) : draft.price;
  if (entry === null || entry.sign <= 0 || margin === null || margin.sign <= 0) return null;
  if (leverage === null || leverage.compare(new Decimal(1n, 0)) < 0) return null;
  const quantity = openingQuantity(margin, leverage, entry, market.stepSize);
  const fee = fillFee(quantity, entry, market.feeRate);
  return {
    entry,
    quantity,
    notional: toMoney(quantity.times(entry)),
    liquidation: liquidationPrice(side, entry, leverage, market.maintenanceRate),
    spreadCost: spreadOf(quote, quantity),
    fee,
    total: toMoney(margin.plus(fee)),
  };
}

/**
 * Whether an order is filled at the market: a limit order is, once its price is one that the market has reached.
 * @param {Draft} draft
 * @param {Quote | undefined} quote
 */
export function isAtMarket({ kind, side, price }, quote) {
  if (kind !== 'limit') return kind === 'market';
  const now = quote === undefined ? null : openingPrice(quote, side);
  return price !== null && now !== null && isReached(side, kind, price, now);
}

/**
 * @param {Side} side
 * @param {'limit' | 'stop'} kind
 * @param {Decimal} price
 * @param {Decimal} now what opening costs
 */
function isReached(side, kind, price, now) {
  const waitsBelow = (side === 'long') === (kind === 'limit');
  return waitsBelow ? price.compare(now) >= 0 : price.compare(now) <= 0;
}

/**
 * @param {Quote | undefined} quote
 * @param {Decimal} quantity
 */
function spreadOf(quote, quantity) {
  if (quote === undefined || quote.bid === null || quote.ask === null) return null;
  return largerOf(ZERO, toMoney(quote.ask.minus(quote.bid).times(quantity)));
}

/**
 * PnL if the position were closed at a price.
 * @param {Draft} draft
 * @param {Quotation} quotation
 * @param {Decimal} price
 */
export function profitAt({ side, margin }, { entry, quantity }, price) {
  return profit({ side, entryPrice: entry, quantity, margin: margin ?? ZERO }, price);
}

/**
 * PnL per 1 USD of move, which is the quantity: to the cent, or, below a dollar, to four digits.
 * @param {Decimal} quantity
 */
export function perUsd(quantity) {
  return quantity.magnitude >= 0 ? money(quantity) : exact(quantity.rounded(3 - quantity.magnitude));
}

/** @typedef {'margin' | 'leverage' | 'price' | 'stopLoss' | 'takeProfit' | 'slippage'} Field */

/**
 * What is wrong, by field, in words.
 * @param {Draft} draft
 * @param {Market} market
 * @param {Quote | undefined} quote
 * @param {Decimal | null} freeCash
 * @param {number} places of prices
 * @returns {Map<Field, string>}
 */
export function faultsOf(draft, market, quote, freeCash, places) {
  /** @type {Map<Field, string>} */
  const faults = new Map();
  const { margin, leverage, slippage } = draft;
  if (margin === null) faults.set('margin', 'Enter an amount in USD.');
  else if (margin.compare(market.marginMin) < 0) faults.set('margin', `At least ${exact(market.marginMin)} USD.`);
  if (leverage === null || leverage.compare(new Decimal(1n, 0)) < 0 || leverage.compare(market.leverageMax) > 0) {
    faults.set('leverage', `From 1 to ${exact(market.leverageMax)}.`);
  }
  if (draft.kind !== 'market') {
    const words = entryFault(draft, quote, places);
    if (words !== null) faults.set('price', words);
  } else if (slippage === null || (slippage && (slippage.sign < 0 || slippage.compare(new Decimal(100n, 0)) > 0))) {
    faults.set('slippage', 'A percentage from 0 to 100, or nothing.');
  } else if (slippage && !(quote && openingPrice(quote, draft.side))) {
    // Sent without the price that was seen, the order would go out unguarded.
    faults.set('slippage', 'There is no price yet to measure it from.');
  }
  // Also before there is a quote: a stop loss that is no number must not be left out of the order.
  for (const name of /** @type {const} */ (['stopLoss', 'takeProfit'])) if (draft[name] === null) faults.set(name, 'A price, or nothing.');
  if (faults.size > 0) return faults;
  const quotation = quotationOf(draft, market, quote);
  if (quotation === null) return faults;
  if (quotation.quantity.isZero) faults.set('margin', smallFault(quotation.entry, leverage ?? ONE, market, places));
  else if (freeCash !== null && quotation.total.compare(freeCash) > 0) {
    faults.set('margin', `Margin and fee come to more than the ${exact(freeCash.truncated(2))} USD that are free.`);
  }
  const reference = isAtMarket(draft, quote) && quote ? markPrice(quote, draft.side) : quotation.entry;
  for (const [field, words] of triggerFaults(draft.side, draft, quotation.liquidation, reference, places)) {
    faults.set(field, words);
  }
  return faults;
}

/**
 * Of a margin that buys less than one step.
 * @param {Decimal} entry
 * @param {Decimal} leverage
 * @param {Market} market
 * @param {number} places
 */
function smallFault(entry, leverage, { symbol, stepSize }, places) {
  const step = quantityStep(stepSize);
  const least = step.times(entry).over(leverage).raised(2);
  return `Less than one step of ${exact(step)} ${splitSymbol(symbol).base} at ${priceText(entry, places)}: at least ${money(least)} USD.`;
}

/**
 * @param {Draft} draft
 * @param {Quote | undefined} quote
 * @param {number} places
 */
function entryFault({ kind, side, price }, quote, places) {
  if (price === null || price.sign <= 0) return 'Enter a price.';
  const now = quote === undefined ? null : openingPrice(quote, side);
  // A limit order that the market has reached is filled there.
  if (now === null || kind !== 'stop' || !isReached(side, kind, price, now)) return null;
  return `A ${side === 'long' ? 'buy' : 'sell'} stop waits ${side === 'long' ? 'above' : 'below'} ${priceText(now, places)}.`;
}

/**
 * The price of an instrument's grid that is nearest to one, at least a tick.
 * @param {Decimal} price
 * @param {Decimal | null} tickSize null: not known, every price is allowed
 */
export function onGrid(price, tickSize) {
  if (tickSize === null || tickSize.sign <= 0) return price;
  const ticks = price.over(tickSize).rounded(0);
  return (ticks.sign > 0 ? ticks : new Decimal(1n, 0)).times(tickSize);
}

/**
 * Which trigger a dragged line sets. A trigger's own line stays what it is; an entry line becomes a stop loss where the
 * position would lose, and a take profit where it would gain.
 * @param {'entry' | 'stopLoss' | 'takeProfit'} role of the line
 * @param {Side} side of the position
 * @param {Decimal} price where it was dragged to
 * @param {Decimal} mark the position's price now
 * @returns {'stopLoss' | 'takeProfit'}
 */
export function draggedTrigger(role, side, price, mark) {
  if (role !== 'entry') return role;
  const isBelow = price.compare(mark) < 0;
  return isBelow === (side === 'long') ? 'stopLoss' : 'takeProfit';
}

/**
 * Stop loss between liquidation and market, take profit beyond the market.
 * @param {Side} side
 * @param {{ stopLoss?: Decimal | null, takeProfit?: Decimal | null }} prices null: typed, but no number
 * @param {Decimal} liquidation
 * @param {Decimal} market
 * @param {number} places
 * @returns {Map<'stopLoss' | 'takeProfit', string>}
 */
export function triggerFaults(side, { stopLoss, takeProfit }, liquidation, market, places) {
  /** @type {Map<'stopLoss' | 'takeProfit', string>} */
  const faults = new Map();
  const [low, high] = side === 'long' ? [liquidation, market] : [market, liquidation];
  if (stopLoss === null) faults.set('stopLoss', 'A price, or nothing.');
  else if (stopLoss && !(low.compare(stopLoss) < 0 && stopLoss.compare(high) < 0)) {
    faults.set('stopLoss', `Between ${priceText(low, places)} and ${priceText(high, places)}.`);
  }
  if (takeProfit === null) faults.set('takeProfit', 'A price, or nothing.');
  else if (takeProfit && (side === 'long' ? takeProfit.compare(market) <= 0 : takeProfit.compare(market) >= 0)) {
    faults.set('takeProfit', `${side === 'long' ? 'Above' : 'Below'} ${priceText(market, places)}.`);
  }
  return faults;
}
