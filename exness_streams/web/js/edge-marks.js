/**
 * Lines that lie outside of what the chart shows, told at the edge behind which they are.
 */

/**
 * @template L
 * @typedef {{ above: L[], below: L[] }} Beyond nearest first
 */

/**
 * @template {{ price: { toNumber(): number } }} L
 * @param {readonly L[]} lines
 * @param {{ low: number, high: number } | null} shown prices at the lower and the upper edge
 * @returns {Beyond<L>}
 */
export function beyond(lines, shown) {
  if (shown === null) return { above: [], below: [] };
  const placed = lines.map((line) => ({ line, price: line.price.toNumber() }));
  const above = placed.filter(({ price }) => price > shown.high).sort((one, other) => one.price - other.price);
  const below = placed.filter(({ price }) => price < shown.low).sort((one, other) => other.price - one.price);
  return { above: above.map(({ line }) => line), below: below.map(({ line }) => line) };
}
