/**
 * The tab of the equity curve: what the account has made of its closed trades, in figures and by market.
 */

import { ApiError } from '../api.js';
import { ZERO } from '../decimal.js';
import { byId, find, make, makeSvg, setText } from '../dom.js';
import { counted, fixed, money, NOTHING, percent, placed, signedMoney, splitSymbol, toneOf } from '../format.js';
import { byMarket, courseOf, tallyOf } from '../performance.js';
import { dayTime } from '../time-text.js';
import { newestTrades, TRADES_MAX } from '../trades.js';

/** @typedef {import('../decimal.js').Decimal} Decimal */
/** @typedef {import('../trades.js').Trade} Trade */

/** Closes come in bursts: one look afterwards is enough. */
const SETTLE_MS = 400;
const WIDTH = 600;
const HEIGHT = 120;
/** More points than there are pixels show nothing more. */
const POINTS_MAX = 600;

export class Performance {
  /** @type {Trade[]} newest first */
  #trades = [];
  #isOutdated = true;
  #generation = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon;
  /** Whose trades these are; undefined: it is not known yet. @type {string | null | undefined} */
  #account;

  /**
   * @param {import('../app.js').App} app
   * @param {HTMLElement} panel
   */
  constructor(app, panel) {
    this.app = app;
    this.panel = panel;
    app.identity.watch(() => this.#switch());
    app.store.watch(['closed'], () => {
      this.#isOutdated = true;
      clearTimeout(this.#soon);
      this.#soon = setTimeout(() => this.#update(), SETTLE_MS);
    });
    document.addEventListener('zone', () => this.#trades.length > 0 && this.#show());
    panel.closest('tab-set')?.addEventListener('tab', () => this.#update());
  }

  /** Another account's results are seen no longer. */
  #switch() {
    const { identity } = this.app;
    if (identity.account === this.#account) return;
    this.#account = identity.account;
    this.#generation += 1;
    this.#trades = [];
    this.#isOutdated = true;
    this.#show();
    if (identity.isGuest) this.#say('Sign in to see how your trades went.');
    this.#update();
  }

  #update() {
    if (this.#isOutdated && !this.panel.hidden && this.app.identity.account !== null) void this.#load();
  }

  async #load() {
    this.#isOutdated = false;
    const generation = (this.#generation += 1);
    try {
      const trades = await newestTrades(this.app.api, this.#trades);
      if (generation !== this.#generation) return;
      this.#trades = trades;
      this.#show();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#isOutdated = true;
      if (!(error instanceof ApiError)) throw error;
      this.#say(`The results can't be shown: ${placed(error.message)}`);
    }
  }

  /** @param {string} words */
  #say(words) {
    const place = find(this.panel, '.empty', HTMLElement);
    place.hidden = false;
    setText(place, words);
    byId('performance', HTMLElement).hidden = true;
  }

  #show() {
    const trades = this.#trades;
    if (trades.length === 0) return this.#say('No closed trades yet. How they went is shown here.');
    find(this.panel, '.empty', HTMLElement).hidden = true;
    byId('performance', HTMLElement).hidden = false;
    const all = tallyOf(trades);
    const { totals } = this.app.store;
    const before = totals === null ? ZERO : totals.balance.minus(all.net);
    const { points, drawdown } = courseOf(trades, before);
    const set = (/** @type {string} */ name, /** @type {string} */ text, tone = '') => {
      const element = find(this.panel, `[data-testid="performance-${name}"]`, HTMLElement);
      setText(element, text);
      element.className = tone;
    };
    set('net', `${signedMoney(all.net)} USD`, toneOf(all.net));
    set('trades', `${counted(all.trades)}${all.trades >= TRADES_MAX ? ' (the newest)' : ''}`);
    set('win-rate', all.winRate === null ? NOTHING : `${percent(all.winRate)} (${counted(all.won)} won, ${counted(all.lost)} lost)`);
    set('profit-factor', all.profitFactor === null ? NOTHING : fixed(all.profitFactor, 2));
    set('drawdown', `${money(drawdown.amount)} USD${drawdown.percent === null ? '' : ` (${percent(drawdown.percent)})`}`);
    set('fees', `${money(all.fees)} USD`);
    this.#draw(points);
    byId('performance-markets', HTMLElement).replaceChildren(...byMarket(trades).map(marketRow));
  }

  /** @param {{ time: number, value: Decimal }[]} points oldest first */
  #draw(points) {
    const place = find(this.panel, '[data-testid="performance-curve"]', HTMLElement);
    const step = Math.max(1, Math.ceil(points.length / POINTS_MAX));
    const drawn = points.filter((_, index) => index % step === 0 || index === points.length - 1).map(({ value }) => value.toNumber());
    const low = Math.min(...drawn);
    const range = Math.max(...drawn) - low || 1;
    const at = (/** @type {number} */ value, /** @type {number} */ index) => `${((index / (drawn.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - ((value - low) / range) * (HEIGHT - 4)).toFixed(1)}`;
    const first = points[0];
    const last = points[points.length - 1];
    const words = `Balance by closed trades, after fees: from ${money(first.value)} USD, ${dayTime(first.time)}, to ${money(last.value)} USD, ${dayTime(last.time)}`;
    const picture = makeSvg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': words });
    const title = makeSvg('title', {});
    title.textContent = words;
    picture.append(title, makeSvg('polyline', { points: drawn.map(at).join(' '), class: toneOf(last.value.minus(first.value)) }));
    place.replaceChildren(picture);
    setText(byId('performance-from', HTMLElement), `${dayTime(first.time)}: ${money(first.value)} USD`);
    setText(byId('performance-to', HTMLElement), `${dayTime(last.time)}: ${money(last.value)} USD`);
  }
}

/** @param {import('../performance.js').Tally & { symbol: string }} tally */
function marketRow(tally) {
  const { base, quote } = splitSymbol(tally.symbol);
  const cells = [
    counted(tally.trades),
    tally.winRate === null ? NOTHING : percent(tally.winRate),
    tally.profitFactor === null ? NOTHING : fixed(tally.profitFactor, 2),
    money(tally.fees),
  ].map((text) => make('td', {}, text));
  const net = make('td', { class: `cell-strong ${toneOf(tally.net)}` }, signedMoney(tally.net));
  return make('tr', { 'data-testid': `performance-${tally.symbol}` }, make('th', { scope: 'row' }, base, make('small', {}, ` ${quote}`)), ...cells, net);
}
