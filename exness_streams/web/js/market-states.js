/**
 * What may be done in a market, in words. A market of which nothing is told is open.
 */

/** @typedef {{ state: string, reason: string | null }} MarketState */

/** @type {MarketState} */
export const OPEN = { state: 'open', reason: null };

/** @type {Record<string, string>} */
const BADGES = { close_only: 'close only', suspended: 'suspended', halted: 'halted', settled: 'settled' };
/** @type {Record<string, string>} */
const WHO = {
  operator: 'so the operator has decided',
  exchange: 'so the exchange says',
  price_guard: 'its prices jumped too far to be believed at once',
  not_offered: 'it is not offered any more',
};
/** @type {Record<string, string>} */
const SENTENCES = {
  close_only: 'In this market positions can only be closed',
  suspended: 'This market is suspended until its newest prices are confirmed',
  halted: 'Trading in this market is halted',
  settled: 'This market was settled: its positions were closed, for good',
};

/**
 * @param {any} message a market_state frame, or a MarketMessage
 * @returns {MarketState}
 */
export function stateOf(message) {
  return { state: message.state ?? 'open', reason: message.stateReason ?? null };
}

/**
 * A word or two beside the symbol; nothing for an open market. A word of a newer server stands for itself.
 * @param {MarketState} state
 */
export function badgeOf({ state }) {
  return state === 'open' ? '' : (BADGES[state] ?? state.replaceAll('_', ' '));
}

/**
 * Why nothing, or not all, can be done; null for an open market.
 * @param {MarketState} state
 * @returns {string | null}
 */
export function sentenceOf({ state, reason }) {
  if (state === 'open') return null;
  const words = SENTENCES[state] ?? `This market is ${state.replaceAll('_', ' ')}`;
  const who = reason === null || state === 'settled' ? undefined : WHO[reason];
  return who === undefined ? `${words}.` : `${words}: ${who}.`;
}
