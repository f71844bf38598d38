/**
 * The first cell of each table: which market, which side, how much leverage.
 */

import { make } from './dom.js';
import { exact, splitSymbol } from './format.js';

/** @typedef {import('./decimal.js').Decimal} Decimal */

/**
 * @param {{ symbol: string, side: import('./valuation.js').Side, leverage: Decimal }} row
 * @param {HTMLElement} cell
 */
export function fillMarket({ symbol, side, leverage }, cell) {
  const { base } = splitSymbol(symbol);
  const word = side === 'long' ? 'Long' : 'Short';
  cell.append(base, make('span', { class: `badge ${side}` }, `${word} ${exact(leverage)}×`));
}
