/**
 * From values to what a person reads.
 */

import { Decimal } from './decimal.js';
import { grouped, inDigits, notationOf, shortenerOf, writeNumber } from './number-text.js';

export const MONEY_PLACES_SHOWN = 2;
export const NOTHING = '–';
const MINUS = '\u2212';

/** How numbers are shown, and read in fields. */
let notation = notationOf('en-US');
let shorten = shortenerOf('en-US');

/** @param {string} locale whose separators are shown and read from now on */
export function useLocale(locale) {
  notation = notationOf(locale);
  shorten = shortenerOf(locale);
}

/** What shown and typed numbers are written in. */
export function usedNotation() {
  return notation;
}

/**
 * With the place's separators and a real minus sign.
 * @param {Decimal} value
 * @param {number} places
 */
export function fixed(value, places) {
  const text = value.toFixed(places);
  const [whole, fraction] = (text[0] === '-' ? text.slice(1) : text).split('.');
  const isNegative = text[0] === '-' && /[1-9]/.test(text);
  return (isNegative ? MINUS : '') + grouped(whole, notation) + (fraction === undefined ? '' : notation.shown.decimal + inDigits(fraction, notation));
}

/**
 * USD with cents.
 * @param {Decimal | null} amount
 */
export function money(amount) {
  return amount === null ? NOTHING : fixed(amount, MONEY_PLACES_SHOWN);
}

/**
 * USD with cents and a sign, also before a gain.
 * @param {Decimal | null} amount
 */
export function signedMoney(amount) {
  if (amount === null) return NOTHING;
  const text = money(amount);
  return amount.rounded(MONEY_PLACES_SHOWN).sign > 0 ? `+${text}` : text;
}

/**
 * A percentage with its sign.
 * @param {Decimal | null} value
 */
export function signedPercent(value) {
  return value === null ? NOTHING : percented(signedMoney(value));
}

/**
 * @param {Decimal | null} value
 */
export function percent(value) {
  return value === null ? NOTHING : percented(fixed(value, 2));
}

/**
 * A percentage with the decimals that it has.
 * @param {Decimal} value
 */
export function exactPercent(value) {
  return percented(exact(value));
}

/** @param {string} text of a number */
function percented(text) {
  const { before, after } = notation.percent;
  // The sign stays the first thing that is read.
  return /^[+\u2212]/.test(text) ? `${text[0]}${before}${text.slice(1)}${after}` : `${before}${text}${after}`;
}

/**
 * A number of things.
 * @param {number} count
 */
export function counted(count) {
  return fixed(Decimal.from(String(count)), 0);
}

/**
 * A quantity in few digits, such as 1.8K: nobody trades on it.
 * @param {Decimal | null | undefined} quantity
 */
export function compact(quantity) {
  return quantity === null || quantity === undefined ? NOTHING : shorten(quantity.toNumber());
}

/**
 * Words of the platform, whose numbers have decimal points: with the place's own. No groups: they may be typed again.
 * @param {string} words
 */
export function placed(words) {
  return words.replace(/(?<![\w.:/+-])\d+(?:\.\d+)?(?![\w:/-]|\.\w)/g, (number) => writeNumber(Decimal.from(number), notation));
}

/**
 * The class of a gain or a loss, as it is shown: to the cent.
 * @param {Decimal} amount
 * @returns {'up' | 'down' | ''}
 */
export function toneOf(amount) {
  return toneOfSign(amount.rounded(MONEY_PLACES_SHOWN).sign);
}

/**
 * The colour of every sign on the page: green above zero, red below, none at zero.
 * @param {number} sign of a gain, or of a move
 * @returns {'up' | 'down' | ''}
 */
export function toneOfSign(sign) {
  return sign > 0 ? 'up' : sign < 0 ? 'down' : '';
}

/**
 * The classes of a price that moved. A flash that has begun the other way ends: no red digits on green.
 * @param {'up' | 'down' | ''} tone of the newest move
 * @param {string} flashed which way the newest flash went
 * @param {boolean} isOdd of the two names of its animation
 */
export function moveCss(tone, flashed, isOdd) {
  const flash = { up: 'rose', down: 'fell', '': '' }[tone];
  return ['price', tone, tone !== '' && tone === flashed ? `${flash}${isOdd ? '' : '-again'}` : ''].filter(Boolean).join(' ');
}

/**
 * The kind of a message about a gain or a loss.
 * @param {Decimal} amount
 * @returns {'good' | 'loss' | 'plain'}
 */
export function kindOf(amount) {
  return /** @type {const} */ ({ up: 'good', down: 'loss', '': 'plain' })[toneOf(amount)];
}

/**
 * Digits as the API has them, grouped.
 * @param {Decimal} value
 */
export function exact(value) {
  const text = value.toString();
  return fixed(value, text.includes('.') ? text.length - text.indexOf('.') - 1 : 0);
}

/**
 * @param {Decimal | null} price
 * @param {number} places of this symbol's prices
 */
export function priceText(price, places) {
  if (price === null) return NOTHING;
  // Below its last place a price would read as zero: then its own digits count.
  return price.sign > 0 && price.magnitude < -places ? exact(price) : fixed(price, places);
}

/**
 * A price of the chart, which draws with floats.
 * @param {number} price
 * @param {number} places of this symbol's prices
 */
export function drawnPrice(price, places) {
  if (!Number.isFinite(price)) return NOTHING;
  const isTiny = price !== 0 && Math.abs(price) < 10 ** -places;
  return isTiny ? exact(Decimal.from(price.toPrecision(6))) : fixed(Decimal.from(price.toFixed(places)), places);
}

/**
 * @param {string} symbol such as SOL_USDC
 * @returns {{ base: string, quote: string }}
 */
export function splitSymbol(symbol) {
  const cut = symbol.indexOf('_');
  return cut < 0 ? { base: symbol, quote: '' } : { base: symbol.slice(0, cut), quote: symbol.slice(cut + 1) };
}

/**
 * @param {number} durationMs
 */
export function duration(durationMs) {
  const seconds = Math.max(0, Math.round(durationMs / 1000));
  const n = counted;
  if (seconds < 60) return `${n(seconds)} s`;
  if (seconds < 3600) return `${n(Math.floor(seconds / 60))} min ${n(seconds % 60)} s`;
  if (seconds < 86_400) return `${n(Math.floor(seconds / 3600))} h ${n(Math.floor((seconds % 3600) / 60))} min`;
  return `${n(Math.floor(seconds / 86_400))} d ${n(Math.floor((seconds % 86_400) / 3600))} h`;
}

/** @type {Record<string, string>} */
const REASONS = {
  manual: 'Closed by you',
  stop_loss: 'Stop loss',
  take_profit: 'Take profit',
  liquidation: 'Liquidated',
};

/**
 * @param {string} reason of a close
 */
export function reasonText(reason) {
  return REASONS[reason] ?? reason;
}
