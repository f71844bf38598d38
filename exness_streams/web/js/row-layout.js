/**
 * How a table's cells fit the room that there is: as columns, or, where one of them would be cut, as a card a row.
 * A number that is cut is another number, so widths follow the longest texts.
 */

const CELL_PAD_PX = 14;
const CARD_PAD_PX = 28;
const CARD_GAP_PX = 10;
const CARD_CELL_PX_MIN = 84;
const CARD_LINE_PX = 40;
const CARD_EDGE_PX = 12;

/** Separators are about half as wide as digits. */
const SEPARATOR_SHARE = 0.5;
/** Labels are smaller than figures, bold figures wider. */
const LABEL_SHARE = 0.88;
const STRONG_SHARE = 1.12;

/**
 * @param {string} text of a figure
 * @returns {number} about how many digits are as wide
 */
export function digitsWide(text) {
  return text.length - SEPARATOR_SHARE * (text.match(/[.,'\u2019\u00a0\u202f\u066b\u066c ]/g)?.length ?? 0);
}

/**
 * What a column needs, in digits.
 * @param {string} label
 * @param {number} longest of its figures
 * @param {boolean} isStrong
 */
export function columnWide(label, longest, isStrong) {
  return Math.max(label.length * LABEL_SHARE, longest * (isStrong ? STRONG_SHARE : 1));
}

/**
 * @typedef {{ isCards: false, widths: number[] }} AsColumns px each
 * @typedef {{ isCards: true, perLine: number, actionsSpan: number, rowHeight: number }} AsCards px
 */

/**
 * @param {{ chars: number, fixedPx: number }[]} cells the longest text of each column; fixedPx: what it needs besides
 *   (0 for texts)
 * @param {{ room: number, digit: number, isNarrow: boolean }} place width there is and width of a digit, px;
 *   isNarrow: always as cards
 * @returns {AsColumns | AsCards}
 */
export function layOut(cells, { room, digit, isNarrow }) {
  const needed = cells.map(({ chars, fixedPx }) => Math.ceil(chars * digit) + fixedPx);
  const widths = needed.map((width) => width + CELL_PAD_PX);
  if (!isNarrow && widths.reduce((sum, width) => sum + width, 0) <= room) return { isCards: false, widths };
  const isActions = cells.map(({ chars }) => chars === 0);
  const cell = Math.max(CARD_CELL_PX_MIN, ...needed.filter((_, index) => !isActions[index])) + CARD_GAP_PX;
  const perLine = Math.max(1, Math.floor((room - CARD_PAD_PX + CARD_GAP_PX) / cell));
  const actionsPx = needed.find((_, index) => isActions[index]);
  // Without buttons there is no room for them: a row would have an empty line.
  const actionsSpan = actionsPx === undefined ? 0 : Math.min(perLine, Math.ceil((actionsPx + CARD_GAP_PX) / cell));
  const texts = cells.length - isActions.filter(Boolean).length;
  const lines = Math.ceil((texts + actionsSpan) / perLine);
  return { isCards: true, perLine, actionsSpan, rowHeight: lines * CARD_LINE_PX + CARD_EDGE_PX };
}
