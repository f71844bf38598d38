/**
 * From the API's messages (numbers as strings) to the page's values.
 */

import { Decimal, ZERO } from './decimal.js';

/** @typedef {import('./valuation.js').Side} Side */

/**
 * An open position. margin, fee: USD. quantity: base asset. openedAt: ms since the epoch.
 * @typedef {object} Position
 * @property {string} positionId
 * @property {string} symbol
 * @property {Side} side
 * @property {Decimal} margin
 * @property {Decimal} leverage
 * @property {Decimal} quantity
 * @property {Decimal} entryPrice
 * @property {Decimal} liquidationPrice
 * @property {Decimal | null} stopLoss
 * @property {Decimal | null} takeProfit
 * @property {Decimal} fee
 * @property {number} openedAt
 */

/**
 * A pending order. held: USD, its margin and the fee set aside. expiresAt, placedAt: ms since the epoch.
 * @typedef {object} Order
 * @property {string} orderId
 * @property {string} symbol
 * @property {Side} side
 * @property {'limit' | 'stop'} kind
 * @property {Decimal} price
 * @property {Decimal} quantity
 * @property {Decimal} margin
 * @property {Decimal} leverage
 * @property {Decimal} held
 * @property {Decimal | null} stopLoss
 * @property {Decimal | null} takeProfit
 * @property {number | null} expiresAt
 * @property {number} placedAt
 */

/**
 * An instrument's terms. feeRate, maintenanceRate: fractions of the notional. tickSize, stepSize: the grids of prices and
 * quantities, null: not known.
 * @typedef {object} Market
 * @property {string} symbol
 * @property {Decimal} leverageMax
 * @property {Decimal} marginMin
 * @property {Decimal} feeRate
 * @property {Decimal} maintenanceRate
 * @property {Decimal | null} tickSize
 * @property {Decimal | null} stepSize
 */

/** @typedef {import('./valuation.js').Quote} Quote */

/**
 * The last 24 hours of a symbol, null: not told. open: their first trade. volume: base asset. quoteVolume: quote currency.
 * @typedef {{ open: Decimal | null, high: Decimal | null, low: Decimal | null, volume: Decimal | null,
 *   quoteVolume: Decimal | null }} Day
 */

/**
 * @param {any} message a market_day frame, or a MarketMessage
 * @returns {Day}
 */
export function dayOf(message) {
  return {
    open: Decimal.maybe(message.open24h),
    high: Decimal.maybe(message.high24h),
    low: Decimal.maybe(message.low24h),
    volume: Decimal.maybe(message.volume24h ?? message.volume),
    quoteVolume: Decimal.maybe(message.quoteVolume24h),
  };
}

/**
 * @param {any} message a PositionMessage
 * @returns {Position}
 */
export function positionOf(message) {
  return standing(message, message.type, Number(message.timestamp));
}

/**
 * @param {any} event PositionOpened or PositionModified
 * @returns {Position}
 */
export function positionOfEvent(event) {
  return standing(event, event.side, Number(event.openedAt ?? event.timestamp));
}

/**
 * @param {any} fields
 * @param {Side} side
 * @param {number} openedAt
 * @returns {Position}
 */
function standing(fields, side, openedAt) {
  return {
    positionId: fields.positionId,
    symbol: fields.symbol,
    side,
    margin: Decimal.from(fields.margin),
    leverage: Decimal.from(fields.leverage),
    quantity: Decimal.from(fields.quantity),
    entryPrice: Decimal.from(fields.entryPrice),
    liquidationPrice: Decimal.from(fields.liquidationPrice),
    stopLoss: Decimal.maybe(fields.stopLoss),
    takeProfit: Decimal.maybe(fields.takeProfit),
    fee: Decimal.from(fields.fee),
    openedAt,
  };
}

/**
 * What a partial close left.
 * @param {Position} position
 * @param {any} remaining of PositionClosed
 * @returns {Position}
 */
export function reduced(position, remaining) {
  return {
    ...position,
    margin: Decimal.from(remaining.margin),
    quantity: Decimal.from(remaining.quantity),
    fee: Decimal.from(remaining.fee),
    liquidationPrice: Decimal.from(remaining.liquidationPrice),
    stopLoss: Decimal.maybe(remaining.stopLoss),
    takeProfit: Decimal.maybe(remaining.takeProfit),
  };
}

/**
 * @param {any} message an OrderMessage, or the event OrderPlaced
 * @returns {Order}
 */
export function orderOf(message) {
  const isEvent = message.reservedFee !== undefined;
  const margin = Decimal.from(message.margin);
  return {
    orderId: message.orderId,
    symbol: isEvent ? message.symbol : message.market,
    side: isEvent ? message.side : message.side === 'buy' ? 'long' : 'short',
    kind: message.kind,
    price: Decimal.from(message.price),
    quantity: Decimal.from(message.quantity),
    margin,
    leverage: Decimal.from(message.leverage),
    held: isEvent ? margin.plus(Decimal.from(message.reservedFee)) : Decimal.from(message.reservedMargin),
    stopLoss: Decimal.maybe(message.stopLoss),
    takeProfit: Decimal.maybe(message.takeProfit),
    expiresAt: message.expiresAt === null || message.expiresAt === undefined ? null : Number(message.expiresAt),
    placedAt: Number(isEvent ? message.placedAt : message.timestamp),
  };
}

/**
 * @param {any} message a MarketMessage
 * @returns {Market}
 */
export function marketOf(message) {
  return {
    symbol: message.symbol,
    leverageMax: Decimal.from(message.maxLeverage),
    marginMin: Decimal.from(message.minMargin),
    feeRate: Decimal.maybe(message.feeRate) ?? ZERO,
    maintenanceRate: Decimal.maybe(message.maintenanceMarginRate) ?? ZERO,
    tickSize: Decimal.maybe(message.tickSize),
    stepSize: Decimal.maybe(message.stepSize),
  };
}

/**
 * @param {any} message a market_data frame, or a MarketMessage
 * @returns {Quote | null} null before the first price
 */
export function quoteOf(message) {
  const price = Decimal.maybe(message.price);
  return (
    price && {
      price,
      bid: Decimal.maybe(message.bid),
      ask: Decimal.maybe(message.ask),
      timestamp: Number(message.timestamp),
    }
  );
}
