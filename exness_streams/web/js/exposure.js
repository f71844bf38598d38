/**
 * What an account holds in one market, for who is about to add to it.
 */

import { HUNDRED, ZERO } from './decimal.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */
/** @typedef {import('./messages.js').Position} Position */

/**
 * leverage: the average, weighted by margin: all notional by all margin. share: of the used margin of all markets, percent.
 * @typedef {{ long: number, short: number, leverage: Decimal | null, share: Decimal | null }} Exposure
 */

/**
 * @param {Position[]} positions of one market
 * @param {Iterable<Position>} all of the account
 * @returns {Exposure}
 */
export function exposureOf(positions, all) {
  const margin = sum(positions, (position) => position.margin);
  const total = sum(all, (position) => position.margin);
  const notional = sum(positions, (position) => position.margin.times(position.leverage));
  return {
    long: positions.filter(({ side }) => side === 'long').length,
    short: positions.filter(({ side }) => side === 'short').length,
    leverage: margin.sign > 0 ? notional.over(margin) : null,
    share: total.sign > 0 ? margin.times(HUNDRED).over(total) : null,
  };
}

/**
 * @param {Iterable<Position>} positions
 * @param {(position: Position) => Decimal} of
 */
function sum(positions, of) {
  let total = ZERO;
  for (const position of positions) total = total.plus(of(position));
  return total;
}
