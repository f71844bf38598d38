/**
 * What an account has made of its trades: net results, how many were won, how deep it fell, and where.
 */

import { Decimal, HUNDRED, ZERO, largerOf } from './decimal.js';

/**
 * @typedef {{ symbol: string, realizedPnL: Decimal, fee: Decimal, closedAt: number }} Closed
 */

/**
 * Of all trades, or of one market. net: USD after fees. won, lost: how many ended above and below zero, after fees.
 * winRate: percent, null without trades. profitFactor: gains by losses, null without losses.
 * @typedef {{ trades: number, won: number, lost: number, net: Decimal, fees: Decimal, gains: Decimal, losses: Decimal,
 *   winRate: Decimal | null, profitFactor: Decimal | null }} Tally
 */

/**
 * The deepest fall from a peak: USD, and percent of what the account had at that peak.
 * @typedef {{ amount: Decimal, percent: Decimal | null }} Drawdown
 */

/**
 * @param {Closed[]} trades
 * @returns {Tally}
 */
export function tallyOf(trades) {
  let [gains, losses, fees, won, lost] = [ZERO, ZERO, ZERO, 0, 0];
  for (const trade of trades) {
    const net = netOf(trade);
    fees = fees.plus(trade.fee);
    if (net.sign > 0) {
      won += 1;
      gains = gains.plus(net);
    } else if (net.sign < 0) {
      lost += 1;
      losses = losses.plus(net.negated());
    }
  }
  return {
    trades: trades.length,
    won,
    lost,
    net: gains.minus(losses),
    fees,
    gains,
    losses,
    winRate: trades.length === 0 ? null : whole(won).times(HUNDRED).over(whole(trades.length)),
    profitFactor: losses.isZero ? null : gains.over(losses),
  };
}

/**
 * By market, the one with the largest result first.
 * @param {Closed[]} trades
 * @returns {(Tally & { symbol: string })[]}
 */
export function byMarket(trades) {
  /** @type {Map<string, Closed[]>} */
  const markets = new Map();
  for (const trade of trades) {
    const known = markets.get(trade.symbol);
    if (known === undefined) markets.set(trade.symbol, [trade]);
    else known.push(trade);
  }
  const tallies = [...markets].map(([symbol, closed]) => ({ symbol, ...tallyOf(closed) }));
  return tallies.sort((one, other) => other.net.compare(one.net) || (one.symbol < other.symbol ? -1 : 1));
}

/**
 * The course of the account by its closed trades, deposits left out: a deposit is no gain, nor does it end a fall.
 * @param {Closed[]} trades newest first, as the platform tells them
 * @param {Decimal} capital USD that was there before the oldest of them, with what was deposited
 * @returns {{ points: { time: number, value: Decimal }[], drawdown: Drawdown }}
 */
export function courseOf(trades, capital) {
  const oldestFirst = [...trades].reverse();
  let [value, peak] = [capital, capital];
  /** @type {Drawdown} */
  let drawdown = { amount: ZERO, percent: capital.sign > 0 ? ZERO : null };
  const points = oldestFirst.map((trade) => {
    value = value.plus(netOf(trade));
    peak = largerOf(peak, value);
    const amount = peak.minus(value);
    if (amount.compare(drawdown.amount) > 0) {
      drawdown = { amount, percent: peak.sign > 0 ? amount.times(HUNDRED).over(peak) : null };
    }
    return { time: trade.closedAt, value };
  });
  const [first] = oldestFirst;
  return { points: first === undefined ? [] : [{ time: first.closedAt, value: capital }, ...points], drawdown };
}

/** @param {Closed} trade */
function netOf({ realizedPnL, fee }) {
  return realizedPnL.minus(fee);
}

/** @param {number} count */
function whole(count) {
  return new Decimal(BigInt(count), 0);
}
