/**
 * Closed trades: newest first, page by page, filtered by the server; their PnL as a histogram; CSV.
 */

import { ApiError } from '../api.js';
import { ZERO } from '../decimal.js';
import { sentence } from '../desk.js';
import { byId, find, make, makeSvg, setText } from '../dom.js';
import { counted, duration, exact, money, priceText, reasonText, signedMoney, splitSymbol, toneOf } from '../format.js';
import { boxesOf, histogramOf } from '../histogram.js';
import { MARKET_PX, fillMarket, marketSize } from '../market-cell.js';
import { RowTable } from '../row-table.js';
import { dayTime, fullTime } from '../time-text.js';
import { tradesFile, tradesPage } from '../trades.js';

/** Closes come in bursts (close all): one look afterwards is enough. */
const SETTLE_MS = 250;

/** @typedef {import('../decimal.js').Decimal} Decimal */
/** @typedef {import('../trades.js').Trade} Trade */

export class History {
  /** @type {Trade[]} */
  #trades = [];
  /** @type {string | null} */
  #cursor = null;
  #isLoading = false;
  #isOutdated = true;
  #generation = 0;

  /**
   * @param {import('../app.js').App} app
   * @param {HTMLElement} panel
   */
  constructor(app, panel) {
    this.app = app;
    this.panel = panel;
    this.table = this.#table(find(panel, '#history-rows', HTMLElement));
    this.symbol = byId('history-symbol', HTMLSelectElement);
    this.reason = byId('history-reason', HTMLSelectElement);
    for (const select of [this.symbol, this.reason]) select.addEventListener('change', () => this.#reload());
    byId('history-tools', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
    byId('history-csv', HTMLButtonElement).addEventListener('click', () => this.#download());
    app.store.watch(['markets'], () => this.#symbols());
    app.identity.watch(() => this.#switch());
    app.store.watch(['closed'], () => {
      this.#isOutdated = true;
      setTimeout(() => this.#update(), SETTLE_MS);
    });
    document.addEventListener('zone', () => this.table.rebuild());
    panel.closest('tab-set')?.addEventListener('tab', () => this.#update());
    this.table.setRows([]);
  }

  #symbols() {
    const known = new Set([...this.symbol.options].map((option) => option.value));
    for (const symbol of this.app.store.markets.keys()) {
      if (!known.has(symbol)) this.symbol.append(make('option', { value: symbol }, splitSymbol(symbol).base));
    }
  }

  #update() {
    if (this.#isOutdated && !this.panel.hidden && this.app.identity.account !== null) this.#reload();
  }

  /** Whose trades these are; undefined: it is not known yet. @type {string | null | undefined} */
  #account;

  /** Another account's trades are seen no longer. */
  #switch() {
    const { identity } = this.app;
    byId('history-csv', HTMLButtonElement).disabled = identity.isGuest;
    if (identity.account === this.#account) return;
    this.#account = identity.account;
    this.#generation += 1;
    this.#trades = [];
    this.#cursor = null;
    this.#isOutdated = true;
    this.#show();
    if (identity.isGuest) setText(find(this.panel, '.empty', HTMLElement), 'Sign in to see your trades.');
    this.#update();
  }

  /** What the selects say. */
  get #filter() {
    return { symbol: this.symbol.value, reason: this.reason.value };
  }

  #reload() {
    this.#isOutdated = false;
    this.#generation += 1;
    this.#cursor = null;
    return this.#load(true);
  }

  /** @param {boolean} isFirst page */
  async #load(isFirst) {
    const generation = this.#generation;
    this.#isLoading = true;
    try {
      const { trades, next } = await tradesPage(this.app.api, this.#filter, isFirst ? null : this.#cursor);
      if (generation !== this.#generation) return;
      this.#trades = isFirst ? trades : [...this.#trades, ...trades];
      this.#cursor = next;
      this.#show();
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#isOutdated = true;
      if (!(error instanceof ApiError)) throw error;
      setText(find(this.panel, '.empty', HTMLElement), `The history can't be shown: ${sentence(error.message)}`);
      if (this.#trades.length > 0) this.app.desk.tell(error, 'History not updated');
    } finally {
      this.#isLoading = false;
    }
  }

  #show() {
    const isFiltered = this.symbol.value !== '' || this.reason.value !== '';
    setText(find(this.panel, '.empty', HTMLElement), isFiltered ? 'No trade matches the filter.' : 'No closed trades yet.');
    this.table.setRows(this.#trades);
    const sum = this.#trades.reduce((total, trade) => total.plus(trade.realizedPnL), ZERO);
    const place = find(this.panel, '[data-testid="history-sum"]', HTMLElement);
    const more = this.#cursor === null ? '' : 'newest ';
    setText(place, this.#trades.length === 0 ? '' : `${more}${counted(this.#trades.length)}: ${signedMoney(sum)} USD`);
    place.className = `history-sum ${toneOf(sum)}`;
    find(this.panel, 'pnl-histogram', PnlHistogram).show(this.#trades.map((trade) => trade.realizedPnL));
  }

  async #download() {
    try {
      const file = await tradesFile(this.app.api, this.#filter);
      const link = make('a', { href: URL.createObjectURL(file), download: 'trades.csv' });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      this.app.desk.tell(error, 'No CSV');
    }
  }

  /**
   * @param {HTMLElement} host
   * @returns {RowTable<Trade>}
   */
  #table(host) {
    const { store } = this.app;
    const price = (/** @type {Trade} */ row, /** @type {Decimal} */ value) => priceText(value, store.placesOf(row.symbol));
    return new RowTable(host, {
      name: 'Closed trades',
      empty: 'No closed trades yet.',
      frames: this.app.frames,
      keyOf: (row) => row.tradeId,
      onNearEnd: () => {
        if (this.#cursor !== null && !this.#isLoading) void this.#load(false);
      },
      onPick: (row) => store.select(row.symbol),
      columns: [
        { label: 'Market', css: 'start cell-market', px: MARKET_PX, size: (row) => marketSize(row), fill: (row, cell) => fillMarket(row, cell), sort: (row) => row.symbol, isText: true },
        { label: 'Quantity', rank: 3, text: (row) => exact(row.quantity), sort: (row) => row.quantity },
        { label: 'Entry', rank: 2, text: (row) => price(row, row.entryPrice), sort: (row) => row.entryPrice },
        { label: 'Close', rank: 1, text: (row) => price(row, row.closePrice), sort: (row) => row.closePrice },
        { label: 'Closed by', rank: 4, sort: (row) => reasonText(row.reason), isText: true, text: (row) => reasonText(row.reason), tone: (row) => (row.reason === 'liquidation' ? 'near' : '') },
        { label: 'Fee', css: 'phone-off', rank: 5, text: (row) => money(row.fee), sort: (row) => row.fee },
        { label: 'Held for', css: 'phone-off', rank: 6, sort: (row) => row.closedAt - row.openedAt, text: (row) => duration(row.closedAt - row.openedAt) },
        { label: 'Closed', sort: (row) => row.closedAt, size: (row) => dayTime(row.closedAt).length, fill: (row, cell) => cell.append(make('time', { datetime: new Date(row.closedAt).toISOString(), title: fullTime(row.closedAt) }, dayTime(row.closedAt))) },
        { label: 'PnL', css: 'cell-pnl cell-strong', sort: (row) => row.realizedPnL, text: (row) => signedMoney(row.realizedPnL), tone: (row) => toneOf(row.realizedPnL) },
      ],
    });
  }
}

const HEIGHT = 32;
const WIDTH = 200;

/** How often trades ended how: bars left of the middle lost, right of it gained. */
export class PnlHistogram extends HTMLElement {
  /** @param {Decimal[]} profits */
  show(profits) {
    if (profits.length === 0) return this.replaceChildren();
    const { bars, won, lost, largest } = histogramOf(profits);
    const words = `PnL of ${counted(profits.length)} trades: ${counted(won)} gained, ${counted(lost)} lost, the largest ${money(largest)} USD`;
    const picture = makeSvg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': words, preserveAspectRatio: 'none' });
    const title = makeSvg('title', {});
    title.textContent = words;
    picture.append(title, makeSvg('line', { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }));
    for (const { tone, ...box } of boxesOf(bars, WIDTH, HEIGHT)) picture.append(makeSvg('rect', { ...box, rx: 1, class: tone }));
    this.replaceChildren(picture);
  }
}
