/**
 * The lines of positions and orders on the chart. Stop loss and take profit can be dragged; dragging a position's
 * entry line sets the one or the other.
 */

import { Decimal } from './decimal.js';
import { exact, priceText, signedMoney } from './format.js';
import { draggedTrigger, onGrid, triggerFaults } from './quotation.js';
import { profit } from './valuation.js';

/** @typedef {import('./messages.js').Position} Position */
/** @typedef {'entry' | 'stopLoss' | 'takeProfit' | 'liquidation' | 'order'} Role */
/** @typedef {Record<'up' | 'down' | 'warn' | 'accent' | 'muted', string>} Palette */

/**
 * title: what the line is, in a word or two.
 * @typedef {object} Line
 * @property {import('lightweight-charts').IPriceLine} line
 * @property {Role} role
 * @property {string | null} positionId
 * @property {Decimal} price
 * @property {string} title
 */

/** Of more positions in one market only the newest are drawn, or the selected one. */
const DRAWN_MAX = 4;
const ORDERS_DRAWN_MAX = 6;
const GRIP_PX = 6;
const DRAG_PX_MIN = 3;
const STYLE = { solid: 0, dotted: 1, dashed: 2 };

export class PriceLines {
  /** @type {Line[]} */
  #lines = [];
  #shown = '';
  /** @type {{ line: Line, startY: number, hasMoved: boolean } | null} */
  #drag = null;

  /**
   * @param {import('./app.js').App} app
   * @param {import('lightweight-charts').IChartApi} chart
   * @param {import('lightweight-charts').ISeriesApi<'Candlestick'>} series
   * @param {HTMLElement} host
   */
  constructor(app, chart, series, host) {
    this.app = app;
    this.chart = chart;
    this.series = series;
    this.host = host;
    // Before the chart's own listeners: what is gripped here must not scroll the chart.
    host.addEventListener('pointermove', (event) => this.#move(event), true);
    host.addEventListener('pointerdown', (event) => this.#down(event), true);
    host.addEventListener('pointerup', (event) => this.#up(event), true);
    host.addEventListener('pointercancel', () => this.#cancel(), true);
    host.addEventListener('touchmove', (event) => this.#drag && event.preventDefault(), { capture: true, passive: false });
    addEventListener('keydown', (event) => event.key === 'Escape' && this.#cancel());
  }

  /** All lines, as they were drawn last. */
  get all() {
    return this.#lines;
  }

  /** Prices that the scale should make room for. */
  get prices() {
    return this.#lines.filter(({ role }) => role !== 'liquidation').map(({ price }) => price.toNumber());
  }

  /** @returns {Position[]} */
  #positions() {
    const { store } = this.app;
    const all = store.positionsOf(store.symbol);
    const selected = all.find(({ positionId }) => positionId === store.selectedPosition);
    if (all.length <= DRAWN_MAX) return all;
    return selected === undefined ? all.slice(-DRAWN_MAX) : [selected];
  }

  /**
   * Draw the lines anew, if they have changed.
   * @param {Palette} palette
   */
  show(palette) {
    if (this.#drag !== null) return;
    const { store } = this.app;
    const positions = this.#positions();
    const orders = [...store.orders.values()].filter(({ symbol }) => symbol === store.symbol).slice(-ORDERS_DRAWN_MAX);
    const state = JSON.stringify([palette, store.symbol, positions.map(stateOf), orders.map(({ orderId }) => orderId)]);
    if (state === this.#shown) return;
    this.#shown = state;
    for (const { line } of this.#lines) this.series.removePriceLine(line);
    this.#lines = [];
    for (const position of positions) this.#addPosition(position, palette);
    for (const { side, kind, price } of orders) {
      this.#add('order', null, price, palette.accent, STYLE.dotted, `${side === 'long' ? 'Buy' : 'Sell'} ${kind}`);
    }
  }

  /**
   * @param {Position} position
   * @param {Palette} palette
   */
  #addPosition(position, palette) {
    const { positionId, side, leverage, entryPrice, liquidationPrice, stopLoss, takeProfit } = position;
    const title = `${side === 'long' ? 'Long' : 'Short'} ${exact(leverage)}×`;
    this.#add('entry', positionId, entryPrice, palette.accent, STYLE.solid, title);
    if (!liquidationPrice.isZero) this.#add('liquidation', positionId, liquidationPrice, palette.warn, STYLE.dotted, 'Liquidation');
    if (stopLoss !== null) this.#add('stopLoss', positionId, stopLoss, palette.down, STYLE.dashed, 'Stop loss');
    if (takeProfit !== null) this.#add('takeProfit', positionId, takeProfit, palette.up, STYLE.dashed, 'Take profit');
  }

  /**
   * @param {Role} role
   * @param {string | null} positionId
   * @param {Decimal} price
   * @param {string} color
   * @param {number} lineStyle
   * @param {string} title
   */
  #add(role, positionId, price, color, lineStyle, title) {
    const line = this.series.createPriceLine({ price: price.toNumber(), color, lineWidth: 1, lineStyle, axisLabelVisible: true, title });
    this.#lines.push({ line, role, positionId, price, title });
  }

  /**
   * @param {number} y in the host
   * @returns {Line | null} the nearest that can be gripped there; triggers before entries
   */
  #at(y) {
    const near = this.#lines
      .filter(({ role }) => role === 'stopLoss' || role === 'takeProfit' || role === 'entry')
      .map((line) => ({ line, distance: Math.abs((this.series.priceToCoordinate(line.price.toNumber()) ?? Infinity) - y) }))
      .filter(({ distance }) => distance <= GRIP_PX);
    near.sort((one, other) => Number(one.line.role === 'entry') - Number(other.line.role === 'entry') || one.distance - other.distance);
    return near[0]?.line ?? null;
  }

  /** @param {PointerEvent} event */
  #place({ clientX, clientY }) {
    const box = this.host.getBoundingClientRect();
    return { y: clientY - box.top, isInPane: clientX - box.left < box.width - this.chart.priceScale('right').width() };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const { y, isInPane } = this.#place(event);
    if (this.#drag === null) {
      this.#grip(isInPane && event.pointerType !== 'touch' && this.#at(y) !== null);
      return;
    }
    event.stopPropagation();
    const { line, startY } = this.#drag;
    this.#drag.hasMoved ||= Math.abs(y - startY) >= DRAG_PX_MIN;
    const target = this.#target(line, y);
    if (!this.#drag.hasMoved || target === null) return;
    const name = target.field === 'stopLoss' ? 'Stop loss' : 'Take profit';
    const gain = profit(target.position, target.price);
    line.line.applyOptions({ price: target.price.toNumber(), title: `${name} ${signedMoney(gain)} USD` });
  }

  /**
   * @param {boolean} isGripped
   */
  #grip(isGripped) {
    if (this.host.classList.toggle('grab', isGripped) === isGripped && this.isGripped === isGripped) return;
    this.isGripped = isGripped;
    this.chart.applyOptions({ handleScroll: !isGripped, handleScale: !isGripped });
  }

  isGripped = false;

  /** @param {PointerEvent} event */
  #down(event) {
    const { y, isInPane } = this.#place(event);
    const line = isInPane && event.button === 0 ? this.#at(y) : null;
    if (line === null) return;
    event.stopPropagation();
    this.#grip(true);
    this.host.setPointerCapture(event.pointerId);
    this.#drag = { line, startY: y, hasMoved: false };
  }

  /**
   * Where a dragged line would put which trigger.
   * @param {Line} line
   * @param {number} y
   */
  #target({ role, positionId }, y) {
    const { store } = this.app;
    const position = store.positions.get(positionId ?? '');
    const value = this.series.coordinateToPrice(y);
    if (position === undefined || value === null || value <= 0) return null;
    const typed = Decimal.from(value.toFixed(store.placesOf(position.symbol)));
    const price = onGrid(typed, store.markets.get(position.symbol)?.tickSize ?? null);
    const dragged = /** @type {'entry' | 'stopLoss' | 'takeProfit'} */ (role); // what #at finds
    return { position, price, field: draggedTrigger(dragged, position.side, price, store.markOf(position) ?? position.entryPrice) };
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const drag = this.#drag;
    if (drag === null) return;
    event.stopPropagation();
    const target = this.#target(drag.line, this.#place(event).y);
    if (drag.hasMoved && target !== null) void this.#set(target);
    else if (!drag.hasMoved && drag.line.positionId !== null) this.app.store.select(this.app.store.symbol, drag.line.positionId);
    this.#cancel();
  }

  #cancel() {
    if (this.#drag === null) return;
    this.#drag = null;
    this.#grip(false);
    this.#redraw();
  }

  #redraw() {
    this.#shown = '';
    this.app.store.mark('positions', '');
  }

  /** @param {{ position: Position, price: Decimal, field: 'stopLoss' | 'takeProfit' }} target */
  async #set({ position, price, field }) {
    const { store, desk, toasts } = this.app;
    const name = field === 'stopLoss' ? 'Stop loss' : 'Take profit';
    const mark = store.markOf(position) ?? position.entryPrice;
    const places = store.placesOf(position.symbol);
    const fault = triggerFaults(position.side, { [field]: price }, position.liquidationPrice, mark, places).get(field);
    if (fault !== undefined) {
      return toasts.show({ kind: 'bad', title: `${name} not at ${priceText(price, places)}`, text: fault });
    }
    try {
      await desk.modify(position.positionId, { [field]: price.toString() });
    } catch (error) {
      desk.tell(error, `${name} not set`);
      this.#redraw();
    }
  }
}

/** @param {Position} position */
function stateOf({ positionId, liquidationPrice, stopLoss, takeProfit }) {
  return [positionId, String(liquidationPrice), String(stopLoss), String(takeProfit)];
}
