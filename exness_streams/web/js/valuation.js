/**
 * The server's formulas (domain/formulas.py, domain/account.py), to the last digit: tests/page/vectors.json.
 */

import { Decimal, HUNDRED, ONE, ZERO, largerOf } from './decimal.js';

/** @typedef {'long' | 'short'} Side */

/**
 * The newest quote of a symbol. timestamp: ms since the epoch.
 * @typedef {{ price: Decimal, bid: Decimal | null, ask: Decimal | null, timestamp: number }} Quote
 */

const MONEY_PLACES = 8;

/** Of quantities, where the instrument has no other. */
const FINEST_STEP = new Decimal(1n, MONEY_PLACES);

/**
 * An amount of USD: 8 places, half-even.
 * @param {Decimal} amount
 */
export function toMoney(amount) {
  return amount.rounded(MONEY_PLACES);
}

/**
 * A derived price: 8 places, or 8 significant digits where that is finer.
 * @param {Decimal} amount
 */
export function toPrice(amount) {
  return amount.rounded(Math.max(MONEY_PLACES, MONEY_PLACES - 1 - amount.magnitude));
}

/**
 * What quantities are multiples of.
 * @param {Decimal | null} told the instrument's step. null, not above 0, or finer than 8 places: there is none
 */
export function quantityStep(told) {
  return told !== null && told.sign > 0 && told.truncated(MONEY_PLACES).compare(told) === 0 ? told : FINEST_STEP;
}

/**
 * A quantity of the base asset, rounded down.
 * @param {Decimal} amount
 * @param {Decimal | null} step as in quantityStep
 */
export function toQuantity(amount, step) {
  return amount.truncatedTo(quantityStep(step));
}

/**
 * What a market order pays (long) or gets (short) to open.
 * @param {Quote} quote
 * @param {Side} side
 */
export function openingPrice(quote, side) {
  return side === 'long' ? quote.ask : quote.bid;
}

/**
 * What a position is valued at: its closing price, or the last trade while that side is empty.
 * @param {Quote} quote
 * @param {Side} side
 */
export function markPrice(quote, side) {
  return (side === 'long' ? quote.bid : quote.ask) ?? quote.price;
}

/**
 * Base asset that `margin` USD buys at `leverage`, rounded down.
 * @param {Decimal} margin
 * @param {Decimal} leverage
 * @param {Decimal} entry
 * @param {Decimal | null} step as in quantityStep
 */
export function openingQuantity(margin, leverage, entry, step) {
  return toQuantity(toMoney(margin).times(leverage).over(entry), step);
}

/**
 * @param {Side} side
 * @param {Decimal} entry
 * @param {Decimal} leverage
 * @param {Decimal} maintenanceRate a fraction
 */
export function liquidationPrice(side, entry, leverage, maintenanceRate) {
  const distance = ONE.over(leverage).minus(maintenanceRate).toPrecision();
  const share = (side === 'long' ? ONE.minus(distance) : ONE.plus(distance)).toPrecision();
  const raw = entry.times(share).toPrecision();
  return raw.sign > 0 ? toPrice(raw) : ZERO;
}

/**
 * PnL in USD at a price; a loss is never larger than the margin.
 * @param {{ side: Side, entryPrice: Decimal, quantity: Decimal, margin: Decimal }} position
 * @param {Decimal} price
 */
export function profit({ side, entryPrice, quantity, margin }, price) {
  const move = side === 'long' ? price.minus(entryPrice) : entryPrice.minus(price);
  return largerOf(toMoney(move.times(quantity)), margin.negated());
}

/**
 * Commission in USD of a fill. feeRate: a fraction of the notional.
 * @param {Decimal} quantity
 * @param {Decimal} price
 * @param {Decimal} feeRate
 */
export function fillFee(quantity, price, feeRate) {
  return toMoney(quantity.times(price).times(feeRate));
}

/**
 * An account at the market, USD; marginLevel in percent, null while no margin is used.
 * @param {{ balance: Decimal, usedMargin: Decimal, unrealizedPnL: Decimal }} held
 */
export function accountFigures({ balance, usedMargin, unrealizedPnL }) {
  const equity = toMoney(balance.plus(unrealizedPnL));
  return {
    balance,
    equity,
    usedMargin,
    unrealizedPnL,
    freeMargin: toMoney(equity.minus(usedMargin)),
    marginLevel: usedMargin.isZero ? null : toMoney(equity.over(usedMargin).times(HUNDRED)),
  };
}

/**
 * Whether the margin level is so low that the trader is told: at the limit, too.
 * @param {Decimal | null} level percent; null: no margin is used
 * @param {Decimal} limit percent
 */
export function isMarginCalled(level, limit) {
  return level !== null && level.compare(limit) <= 0;
}
