/**
 * How a table's cells fit the room that there is: as columns, the less important of which are left out before one would
 * be cut, or as a card a row. A number that is cut is another number, so widths follow the longest texts.
 */

const CELL_PAD_PX = 14;
/** The first and the last cell stand off the edge. */
const EDGE_PX = 8;
const CARD_PAD_PX = 28;
const CARD_GAP_PX = 10;
const CARD_CELL_PX_MIN = 84;
const CARD_LINE_PX = 40;
const CARD_EDGE_PX = 12;

/** Separators are about half as wide as digits. */
const SEPARATOR_SHARE = 0.5;
/** What signs are wider than digits. */
const SIGN_MORE = 0.35;
const PERCENT_MORE = 0.55;
/** Labels are smaller than figures, bold figures wider. */
const LABEL_SHARE = 0.88;
const STRONG_SHARE = 1.12;
/** Beside a label that sorts: its arrow. */
const ARROW = 1.8;

/**
 * @param {string} text of a figure
 * @returns {number} about how many digits are as wide
 */
export function digitsWide(text) {
  const count = (/** @type {RegExp} */ pattern) => text.match(pattern)?.length ?? 0;
  const separators = count(/[.,'\u2019\u00a0\u202f\u066b\u066c ]/g);
  return text.length - SEPARATOR_SHARE * separators + SIGN_MORE * count(/[+\u2212]/g) + PERCENT_MORE * count(/[%\u066a]/g);
}

/**
 * What a column needs, in digits.
 * @param {string} label
 * @param {number} longest of its figures
 * @param {boolean} isStrong
 * @param {boolean} [isSorting] whether its label is one to sort by
 */
export function columnWide(label, longest, isStrong, isSorting = false) {
  return Math.max(label.length * LABEL_SHARE + (isSorting ? ARROW : 0), longest * (isStrong ? STRONG_SHARE : 1));
}

/**
 * @typedef {{ isCards: false, widths: number[], isShown: boolean[] }} AsColumns px each, and which there is room for
 * @typedef {{ isCards: true, perLine: number, actionsSpan: number, rowHeight: number }} AsCards px
 */

/**
 * @param {{ chars: number, fixedPx: number, rank?: number }[]} cells the longest text of each column; fixedPx: what it
 *   needs besides (0 for texts); rank: the higher, the sooner it is left out (0: never)
 * @param {{ room: number, digit: number, isNarrow: boolean }} place width there is and width of a digit, px;
 *   isNarrow: always as cards
 * @returns {AsColumns | AsCards}
 */
export function layOut(cells, { room, digit, isNarrow }) {
  const needed = cells.map(({ chars, fixedPx }) => Math.ceil(chars * digit) + fixedPx);
  const widths = needed.map((width, index) => width + CELL_PAD_PX + (index === 0 || index === needed.length - 1 ? EDGE_PX : 0));
  const isShown = isNarrow ? null : fitting(widths, cells.map(({ rank = 0 }) => rank), room);
  if (isShown !== null) return { isCards: false, widths, isShown };
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

/**
 * Leave columns out until the others fit.
 * @param {number[]} widths px
 * @param {number[]} ranks
 * @param {number} room px
 * @returns {boolean[] | null} which stay; null: not even those that always do fit
 */
function fitting(widths, ranks, room) {
  const isShown = widths.map(() => true);
  let needed = widths.reduce((sum, width) => sum + width, 0);
  while (needed > room) {
    const most = Math.max(...ranks.filter((_, index) => isShown[index]));
    if (most <= 0) return null;
    const out = ranks.findIndex((rank, index) => isShown[index] && rank === most);
    isShown[out] = false;
    needed -= widths[out];
  }
  return isShown;
}
