/**
 * The tabs, the tables of open positions and of pending orders.
 */

import { Decimal, HUNDRED, ZERO } from '../decimal.js';
import { byId, find, make, setText } from '../dom.js';
import { closeAll, closePosition, editPosition } from '../dialogs.js';
import { counted, exact, money, NOTHING, priceText, signedMoney, signedPercent, splitSymbol, toneOf } from '../format.js';
import { MARKET_PX, fillMarket, marketSize } from '../market-cell.js';
import { RowTable } from '../row-table.js';
import { dayTime } from '../time-text.js';
import { History } from './history.js';
import { Performance } from './performance.js';

/** @typedef {import('../messages.js').Position} Position */
/** @typedef {import('../messages.js').Order} Order */

/** Nearer to the liquidation price than this share of the way from the entry, a position is marked. */
const NEAR_SHARE = Decimal.from('0.2');

export class TabSet extends HTMLElement {
  /** @type {import('../app.js').App} */
  #app;

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    this.#tabs();
    const open = positionTable(app, find(this, '#panel-open', HTMLElement));
    const pending = orderTable(app, find(this, '#panel-pending', HTMLElement));
    new History(app, find(this, '#panel-history', HTMLElement));
    new Performance(app, find(this, '#panel-equity', HTMLElement));
    const { store } = app;
    store.watch(['positions'], (changes) => {
      // A position that was only changed stays in its place.
      open.setRows([...store.positions.values()].reverse());
      this.#counts();
      open.refresh((row) => changes.get('positions')?.has(row.positionId) ?? false);
    });
    store.watch(['orders'], () => {
      pending.setRows([...store.orders.values()].reverse());
      this.#counts();
    });
    store.watch(['quotes', 'selection'], (changes) => {
      const symbols = changes.get('quotes');
      const isAll = changes.has('selection');
      open.refresh((row) => isAll || symbols?.has(row.symbol) === true);
      pending.refresh((row) => isAll || symbols?.has(row.symbol) === true);
    });
    document.addEventListener('zone', () => pending.rebuild());
    byId('close-all', HTMLButtonElement).addEventListener('click', () => closeAll(app));
    this.#counts();
  }

  #counts() {
    const { positions, orders } = this.#app.store;
    setText(find(this, '[data-testid="count-open"]', HTMLElement), counted(positions.size));
    setText(find(this, '[data-testid="count-pending"]', HTMLElement), counted(orders.size));
    setText(byId('nav-count', HTMLElement), counted(positions.size));
    byId('close-all', HTMLButtonElement).disabled = positions.size === 0;
  }

  #tabs() {
    const tabs = [...this.querySelectorAll('[role="tab"]')].map((tab) => /** @type {HTMLElement} */ (tab));
    this.addEventListener('click', (event) => {
      const tab = event.target instanceof Element ? event.target.closest('[role="tab"]') : null;
      if (tab instanceof HTMLElement) this.choose(tab);
    });
    find(this, '[role="tablist"]', HTMLElement).addEventListener('keydown', (event) => {
      const at = tabs.findIndex((tab) => tab === document.activeElement);
      const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
      const to = steps[/** @type {keyof typeof steps} */ (event.key)];
      if (to === undefined) return;
      event.preventDefault();
      const tab = tabs[(to + tabs.length) % tabs.length];
      this.choose(tab);
      tab.focus();
    });
  }

  /** @param {HTMLElement} chosen tab */
  choose(chosen) {
    for (const tab of this.querySelectorAll('[role="tab"]')) {
      const isChosen = tab === chosen;
      tab.setAttribute('aria-selected', String(isChosen));
      /** @type {HTMLElement} */ (tab).tabIndex = isChosen ? 0 : -1;
      byId(tab.getAttribute('aria-controls') ?? '', HTMLElement).hidden = !isChosen;
    }
    byId('close-all', HTMLElement).hidden = chosen.id !== 'tab-open';
    this.dispatchEvent(new CustomEvent('tab', { detail: chosen.id }));
  }
}

/**
 * @param {import('../app.js').App} app
 * @param {HTMLElement} host
 * @returns {RowTable<Position>}
 */
function positionTable(app, host) {
  const { store } = app;
  const price = (/** @type {Position} */ row, /** @type {Decimal | null} */ value) => priceText(value, store.placesOf(row.symbol));
  // Rows are replaced when a position changes: what a cell shows is always asked of the store.
  const now = (/** @type {Position} */ row) => store.positions.get(row.positionId) ?? row;
  const roe = (/** @type {Position} */ row) => roeOf(store.profitOf(now(row)), now(row).margin);
  return new RowTable(host, {
    name: 'Open positions',
    empty: 'No open positions. What you buy or sell appears here.',
    frames: app.frames,
    keyOf: (row) => row.positionId,
    rowCss: (row) => (row.positionId === store.selectedPosition ? 'selected' : ''),
    onPick: (row) => store.select(row.symbol, row.positionId),
    onAction: (action, row) => {
      if (action === 'edit') editPosition(app, row.positionId);
      else closePosition(app, row.positionId, action === 'reduce' ? 50 : 100);
    },
    columns: [
      { label: 'Market', css: 'start cell-market', px: MARKET_PX, size: (row) => marketSize(row), fill: (row, cell) => fillMarket(row, cell), sort: (row) => row.symbol, isText: true },
      { label: 'Quantity', css: 'phone-off', rank: 3, text: (row) => exact(now(row).quantity), sort: (row) => now(row).quantity },
      { label: 'Margin', rank: 7, text: (row) => money(now(row).margin), sort: (row) => now(row).margin },
      { label: 'Entry', rank: 2, text: (row) => price(row, row.entryPrice), sort: (row) => row.entryPrice },
      { label: 'Mark', rank: 4, text: (row) => price(row, store.markOf(row)), sort: (row) => store.markOf(row), isLive: true },
      { label: 'Liquidation', isStrong: true, rank: 1, sort: (row) => now(row).liquidationPrice, text: (row) => price(row, now(row).liquidationPrice), tone: (row) => (isNear(store.markOf(row), now(row)) ? 'near' : '') },
      { label: 'Stop loss', rank: 5, text: (row) => price(row, now(row).stopLoss), sort: (row) => now(row).stopLoss },
      { label: 'Take profit', rank: 6, text: (row) => price(row, now(row).takeProfit), sort: (row) => now(row).takeProfit },
      { label: 'PnL', css: 'cell-pnl cell-strong', sort: (row) => store.profitOf(now(row)), isLive: true, text: (row) => signedMoney(store.profitOf(now(row))), tone: (row) => toneOf(store.profitOf(now(row))) },
      { label: 'ROE', css: 'cell-roe', sort: (row) => roe(row), isLive: true, text: (row) => signedPercent(roe(row)), tone: (row) => toneOf(roe(row) ?? ZERO) },
      { label: 'Actions', css: 'cell-actions', px: 164, fill: fillPositionActions },
    ],
  });
}

/**
 * Return on the margin, percent.
 * @param {Decimal} profit
 * @param {Decimal} margin
 */
function roeOf(profit, margin) {
  return margin.isZero ? null : profit.times(HUNDRED).over(margin);
}

/**
 * @param {Decimal | null} mark
 * @param {Position} position
 */
function isNear(mark, { entryPrice, liquidationPrice }) {
  if (mark === null || liquidationPrice.isZero) return false;
  const way = entryPrice.minus(liquidationPrice);
  const left = mark.minus(liquidationPrice);
  return way.sign > 0 ? left.compare(way.times(NEAR_SHARE)) <= 0 : left.compare(way.times(NEAR_SHARE)) >= 0;
}

/**
 * @param {Position} row
 * @param {HTMLElement} cell
 */
function fillPositionActions({ side, symbol }, cell) {
  const what = `${side} ${splitSymbol(symbol).base}`;
  cell.append(
    make(
      'span',
      { class: 'actions' },
      make('button', { type: 'button', 'data-action': 'edit', 'aria-label': `Edit stop loss and take profit of ${what}` }, 'Edit'),
      make('button', { type: 'button', 'data-action': 'reduce', 'aria-label': `Reduce ${what}` }, 'Reduce'),
      make('button', { type: 'button', 'data-action': 'close', 'aria-label': `Close ${what}` }, 'Close'),
    ),
  );
}

/**
 * @param {import('../app.js').App} app
 * @param {HTMLElement} host
 * @returns {RowTable<Order>}
 */
function orderTable(app, host) {
  const { store } = app;
  const price = (/** @type {Order} */ row, /** @type {Decimal | null} */ value) => priceText(value, store.placesOf(row.symbol));
  const market = (/** @type {Order} */ row) => {
    const quote = store.quotes.get(row.symbol);
    return quote === undefined ? null : row.side === 'long' ? quote.ask : quote.bid;
  };
  return new RowTable(host, {
    name: 'Pending orders',
    empty: 'No pending orders. Limit and stop orders wait here for their price.',
    frames: app.frames,
    keyOf: (row) => row.orderId,
    onPick: (row) => store.select(row.symbol),
    onAction: (_, row) => app.desk.cancel(row),
    columns: [
      { label: 'Market', css: 'start cell-market', px: MARKET_PX, size: (row) => marketSize(row), fill: (row, cell) => fillMarket(row, cell), sort: (row) => row.symbol, isText: true },
      { label: 'Order', sort: (row) => `${row.side} ${row.kind}`, isText: true, text: (row) => `${row.side === 'long' ? 'Buy' : 'Sell'} ${row.kind}` },
      { label: 'Price', css: 'cell-strong', text: (row) => price(row, row.price), sort: (row) => row.price },
      { label: 'Market price', rank: 2, text: (row) => price(row, market(row)), sort: (row) => market(row), isLive: true },
      { label: 'Quantity', css: 'phone-off', rank: 1, text: (row) => exact(row.quantity), sort: (row) => row.quantity },
      { label: 'Reserved', rank: 4, text: (row) => money(row.held), sort: (row) => row.held },
      { label: 'Stop loss', css: 'phone-off', rank: 5, text: (row) => price(row, row.stopLoss), sort: (row) => row.stopLoss },
      { label: 'Take profit', css: 'phone-off', rank: 6, text: (row) => price(row, row.takeProfit), sort: (row) => row.takeProfit },
      { label: 'Placed', css: 'phone-off', rank: 7, text: (row) => dayTime(row.placedAt), sort: (row) => row.placedAt },
      { label: 'Expires', rank: 3, sort: (row) => row.expiresAt, text: (row) => (row.expiresAt === null ? NOTHING : dayTime(row.expiresAt)) },
      { label: 'Actions', css: 'cell-actions', px: 72, fill: fillOrderActions },
    ],
  });
}

/**
 * @param {Order} row
 * @param {HTMLElement} cell
 */
function fillOrderActions({ side, symbol, kind }, cell) {
  const what = `${side === 'long' ? 'buy' : 'sell'} ${kind} ${splitSymbol(symbol).base}`;
  cell.append(
    make(
      'span',
      { class: 'actions' },
      make('button', { type: 'button', 'data-action': 'cancel', 'aria-label': `Cancel ${what}` }, 'Cancel'),
    ),
  );
}
