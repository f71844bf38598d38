/**
 * What closing a share of a position would mean, before it is sent. The platform decides; this only says early.
 */

import { HUNDRED, ZERO } from './decimal.js';
import { exact, exactPercent, splitSymbol } from './format.js';
import { quantityStep, toMoney, toQuantity } from './valuation.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */
/** @typedef {import('./messages.js').Market} Market */
/** @typedef {import('./messages.js').Position} Position */

/**
 * What is closed: a share is rounded down to the step, and what would leave less than the smallest margin is all of it.
 * @param {Position} position
 * @param {Decimal} percent from 0 to 100
 * @param {Market | undefined} market
 */
export function closingPart({ side, entryPrice, quantity: whole, margin: held }, percent, market) {
  const isWhole = percent.compare(HUNDRED) === 0;
  const quantity = isWhole ? whole : toQuantity(whole.times(percent).over(HUNDRED), market?.stepSize ?? null);
  const margin = toMoney(held.times(quantity).over(whole));
  const leavesLittle = !quantity.isZero && held.minus(margin).compare(market?.marginMin ?? ZERO) < 0;
  return leavesLittle ? { side, entryPrice, quantity: whole, margin: held } : { side, entryPrice, quantity, margin };
}

/**
 * What is wrong with a share that comes to nothing; null: it does not.
 * @param {Position} position
 * @param {Decimal} percent above 0, up to 100
 * @param {Market | undefined} market
 */
export function closingFault(position, percent, market) {
  if (!closingPart(position, percent, market).quantity.isZero) return null;
  const step = quantityStep(market?.stepSize ?? null);
  const share = step.times(HUNDRED).over(position.quantity);
  // Of a large position one step is a tiny share.
  const least = share.compare(HUNDRED) < 0 ? share.raised(Math.max(2, 1 - share.magnitude)) : HUNDRED;
  return `Less than one step of ${exact(step)} ${splitSymbol(position.symbol).base}: at least ${exactPercent(least)}.`;
}
