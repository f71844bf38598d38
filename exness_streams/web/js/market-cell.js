/**
 * The first cell of each table: which market, which side, how much leverage.
 */

import { make } from './dom.js';
import { exact, splitSymbol } from './format.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */

/** What the badge adds to its letters, px. */
export const MARKET_PX = 26;

/**
 * Letters of such a cell; capitals count for more than digits.
 * @param {{ symbol: string, leverage: Decimal }} row
 */
export function marketSize({ symbol, leverage }) {
  return splitSymbol(symbol).base.length * 1.3 + 7 + exact(leverage).length;
}

/**
 * @param {{ symbol: string, side: import('./valuation.js').Side, leverage: Decimal }} row
 * @param {HTMLElement} cell
 */
export function fillMarket({ symbol, side, leverage }, cell) {
  const { base } = splitSymbol(symbol);
  const word = side === 'long' ? 'Long' : 'Short';
  cell.append(base, make('span', { class: `badge ${side}` }, `${word} ${exact(leverage)}×`));
}
