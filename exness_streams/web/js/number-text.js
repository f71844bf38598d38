/**
 * Numbers as people of a place write them, read strictly: a text is read as the one value that it has there, or it is
 * refused with a word. No character is ever dropped to make a number of it.
 */

import { Decimal } from './decimal.js';

/**
 * How a place writes numbers with the digits 0 to 9. sizes: of the last group of digits, and of those before it; least:
 * digits before the decimals from which on they are grouped. shown: how the page writes them, in the place's own digits
 * (null: 0 to 9). percent: what stands around a percentage.
 * @typedef {object} Notation
 * @property {string} decimal
 * @property {string} group
 * @property {{ last: number, other: number, least: number }} sizes
 * @property {{ decimal: string, group: string, digits: string[] | null }} shown
 * @property {{ before: string, after: string }} percent
 */

/**
 * What was read: a value, or the words why there is none.
 * @typedef {{ value: Decimal, words: null } | { value: null, words: string }} Read
 */

export const DIGITS_MAX = 32;
export const PLACES_MAX = 18;

const SPACES = '[ \\u00a0\\u2007\\u2009\\u202f]';
const APOSTROPHES = "['\\u2019]";
/** Digits that have the same value as 0 to 9, by the first of each ten. */
const ZEROS = [0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x17e0, 0x1810, 0x1c50, 0xa9d0, 0xabf0, 0xff10, 0x11136, 0x1e950];
/** Of numbers in these scripts, whatever the place: they can't be mistaken for anything else. */
const ARABIC = { decimal: '\u066b', group: '\u066c' };
/** Marks of the direction of writing: not to be seen, no part of the number. */
const MARKS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * @param {string} locale such as de-DE, by the browser
 * @returns {Notation}
 */
export function notationOf(locale) {
  const { wholes, ...plain } = separatorsIn(locale, { numberingSystem: 'latn' });
  const { wholes: _, ...own } = separatorsIn(locale, {});
  const last = wholes[wholes.length - 1];
  // Some places, as Spain, do not part the four digits of 1234.
  const isParted = new Intl.NumberFormat(locale).formatToParts(1234).some(({ type }) => type === 'group');
  const digits = Array.from({ length: 10 }, (_, digit) => new Intl.NumberFormat(locale, { useGrouping: false }).format(digit));
  return {
    ...plain,
    sizes: { last, other: wholes.length > 2 ? wholes[wholes.length - 2] : last, least: last + (isParted ? 1 : 2) },
    shown: digits[1] === '1' ? { ...plain, digits: null } : { ...own, digits },
    percent: percentOf(locale),
  };
}

/**
 * @param {string} locale
 * @param {Intl.NumberFormatOptions} options
 */
function separatorsIn(locale, options) {
  const parts = new Intl.NumberFormat(locale, { ...options, useGrouping: true, minimumFractionDigits: 1 }).formatToParts(123_456_789_012);
  const found = (/** @type {string} */ type) => parts.find((part) => part.type === type)?.value;
  const wholes = parts.filter(({ type }) => type === 'integer').map(({ value }) => [...value].length);
  return { decimal: found('decimal') ?? '.', group: found('group') ?? '', wholes };
}

/** @param {string} locale */
function percentOf(locale) {
  const parts = new Intl.NumberFormat(locale, { style: 'percent' }).formatToParts(0.5);
  const at = parts.findIndex(({ type }) => type === 'integer');
  const text = (/** @type {Intl.NumberFormatPart[]} */ some) => some.map(({ value }) => value).join('').replace(MARKS, '');
  return { before: text(parts.slice(0, at)), after: text(parts.slice(at + 1)) };
}

/**
 * The first of these places that the browser has the customs of.
 * @param {readonly string[]} names by preference; some systems name none that exists, such as C
 */
export function knownLocale(names) {
  const isKnown = (/** @type {string} */ name) => {
    try {
      return Intl.NumberFormat.supportedLocalesOf(name).length > 0;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false; // not the name of a place
    }
  };
  return names.find(isKnown) ?? 'en-US';
}

/**
 * What is put into an input: no groups, so that it is read as the same value.
 * @param {Decimal} value
 * @param {Notation} notation
 */
export function writeNumber(value, notation) {
  const [whole, fraction] = value.toString().split('.');
  return inDigits(whole, notation) + (fraction === undefined ? '' : notation.shown.decimal + inDigits(fraction, notation));
}

/**
 * In the place's own digits.
 * @param {string} text with the digits 0 to 9
 * @param {Notation} notation
 */
export function inDigits(text, { shown: { digits } }) {
  return digits === null ? text : text.replace(/\d/g, (digit) => digits[Number(digit)]);
}

/**
 * Digits in groups, as the page shows them.
 * @param {string} whole digits 0 to 9
 * @param {Notation} notation
 */
export function grouped(whole, notation) {
  const { sizes, shown: { group } } = notation;
  if (group === '' || whole.length < sizes.least) return inDigits(whole, notation);
  const groups = [whole.slice(-sizes.last)];
  for (let end = whole.length - sizes.last; end > 0; end -= sizes.other) groups.unshift(whole.slice(Math.max(0, end - sizes.other), end));
  return inDigits(groups.join(group), notation);
}

/**
 * @param {string} typed
 * @param {Notation} notation
 * @returns {Read}
 */
export function readNumber(typed, notation) {
  const plain = typed.replace(MARKS, '').trim();
  const text = plainDigits(plain);
  // Digits of the place stand with its own separators, 0 to 9 with those that it has for them.
  const own = text === plain ? notation : { ...notation, decimal: notation.shown.decimal, group: notation.shown.group };
  if (text === '') return refused('Enter a number.');
  const sign = /^[-\u2212]/.test(text) ? '-' : '';
  const unsigned = text.replace(/^[-+\u2212]/, '');
  if (!/^[\d.,]/.test(unsigned) && !unsigned.startsWith(own.decimal) && !unsigned.startsWith(ARABIC.decimal)) {
    return refused(`Write a number with digits, such as ${sample(notation)}.`);
  }
  const parts = split(unsigned, own);
  if (parts === null) return refused(wordsFor(unsigned, notation));
  const { whole, fraction, isGrouped } = parts;
  if (isGrouped && own.group === '.' && fraction === null && /^\d{1,3}\.\d{3}$/.test(unsigned)) {
    const one = unsigned.replace('.', '');
    return refused(`${unsigned} could mean ${one} or ${unsigned.replace('.', own.decimal)}: write one of these.`);
  }
  if ((fraction ?? '').length > PLACES_MAX || whole.length + (fraction ?? '').length > DIGITS_MAX) {
    return refused(`At most ${PLACES_MAX} decimal places, and ${DIGITS_MAX} digits.`);
  }
  return { value: Decimal.from(`${sign}${whole || '0'}${fraction ? `.${fraction}` : ''}`), words: null };
}

/**
 * @param {string} text without a sign
 * @param {Notation} notation
 * @returns {{ whole: string, fraction: string | null, isGrouped: boolean } | null} null when it is not well-formed
 */
function split(text, { decimal, group, sizes }) {
  for (const [point, separators] of /** @type {[string, string[]][]} */ ([[decimal, separatorsOf(group)], [ARABIC.decimal, [ARABIC.group]]])) {
    const halves = text.split(point);
    if (halves.length > 2) continue;
    const [whole, fraction = null] = halves;
    if (fraction !== null && !/^\d*$/.test(fraction)) continue;
    if (whole === '' && !fraction) continue;
    if (/^\d*$/.test(whole)) return { whole, fraction, isGrouped: false };
    for (const separator of separators) {
      const { last, other } = sizes;
      // One kind of separator, each group full, and none that begins with a zero: 0,001 is no group of thousands.
      const form = new RegExp(`^[1-9]\\d{0,${other - 1}}(?:(${separator})\\d{${other}}(?:\\1\\d{${other}})*)?(?:\\1|${separator})\\d{${last}}$`);
      if (form.test(whole) && new Set(whole.match(/\D/g)).size === 1) return { whole: whole.replace(/\D/g, ''), fraction, isGrouped: true };
    }
  }
  return null;
}

/**
 * What may stand between groups: patterns.
 * @param {string} group
 */
function separatorsOf(group) {
  // Spaces between groups are read everywhere: they are nobody's decimal point.
  if (group === '' || new RegExp(`^${SPACES}$`).test(group)) return [SPACES];
  if (new RegExp(`^${APOSTROPHES}$`).test(group)) return [APOSTROPHES, SPACES];
  return [group.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), SPACES];
}

/** @param {string} text */
function plainDigits(text) {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const code = digit.codePointAt(0) ?? 0;
    const zero = ZEROS.find((first) => code >= first && code < first + 10);
    return zero === undefined ? digit : String(code - zero);
  });
}

/** @param {Notation} notation */
function sample(notation) {
  return inDigits(`1${notation.shown.decimal}5`, notation);
}

/**
 * @param {string} text
 * @param {Notation} notation
 */
function wordsFor(text, notation) {
  const { decimal, group } = notation.shown;
  if (/[^\d.,\s'\u2019\u066b\u066c]/.test(text.replaceAll(decimal, '').replaceAll(group || ' ', ''))) return `Write a number with digits, such as ${sample(notation)}.`;
  const name = decimal === ',' ? 'a decimal comma' : decimal === '.' ? 'a decimal point' : `“${decimal}” before decimals`;
  const groups = group === '' ? '' : `, and thousands as ${grouped('1234567', notation)} or 1234567`;
  return `Not read, so as not to change it: numbers take ${name} here, such as ${sample(notation)}${groups}.`;
}

/**
 * @param {string} words
 * @returns {Read}
 */
function refused(words) {
  return { value: null, words };
}

/**
 * How a place writes large numbers in few digits and a word.
 * @param {string} locale
 * @returns {(value: number) => string}
 */
export function shortenerOf(locale) {
  const format = new Intl.NumberFormat(locale, { notation: 'compact', maximumSignificantDigits: 4 });
  return (value) => format.format(value);
}
