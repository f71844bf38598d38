/**
 * Dialogs about positions: stop loss and take profit, close in whole or in part, close all.
 */

import { ApiError } from './api.js';
import { closingFault, closingPart } from './closing.js';
import { Decimal, HUNDRED, ZERO } from './decimal.js';
import { sentence } from './desk.js';
import { byId, find, refocus, setFieldError, setText } from './dom.js';
import { counted, exact, money, priceText, signedMoney, splitSymbol, toneOf } from './format.js';
import { readInput, showRead, writeInput } from './number-input.js';
import { triggerFaults } from './quotation.js';
import { fillFee, profit } from './valuation.js';

/** @typedef {import('./app.js').App} App */
/** @typedef {import('./messages.js').Position} Position */

const REFRESH_MS = 250;

/**
 * A dialog with a form that submits once at a time, and is told while it is open what moves.
 */
class Sheet {
  /** @param {string} id */
  constructor(id) {
    this.dialog = byId(id, HTMLDialogElement);
    this.form = find(this.dialog, 'form', HTMLFormElement);
    this.about = find(this.dialog, '.about', HTMLElement);
    this.status = find(this.dialog, '.dialog-status', HTMLElement);
    this.button = find(this.dialog, '[type="submit"]', HTMLButtonElement);
  }

  /**
   * @param {{ show: () => void, check?: () => boolean, act: (progress: (words: string) => void) => Promise<unknown>,
   *   onRefusal?: (error: ApiError) => boolean }} actions show: called while it is open, again and again
   */
  open({ show, check = () => true, act, onRefusal = () => false }) {
    this.say('');
    this.button.disabled = false;
    show();
    const timer = setInterval(show, REFRESH_MS);
    const stop = new AbortController();
    this.form.addEventListener('input', show, { signal: stop.signal });
    this.form.addEventListener('change', (event) => showRead(event.target), { signal: stop.signal });
    const submit = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      if (this.button.disabled || !check()) return;
      const focused = document.activeElement;
      this.button.disabled = true;
      try {
        await act((words) => this.say(words));
        this.dialog.close();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (!onRefusal(error)) this.say(sentence(error.message), true);
      } finally {
        this.button.disabled = false;
        refocus(focused);
      }
    };
    this.form.addEventListener('submit', submit, { signal: stop.signal });
    this.dialog.addEventListener('close', () => { clearInterval(timer); stop.abort(); }, { once: true });
    this.dialog.showModal();
  }

  /**
   * @param {string} words
   * @param {boolean} [isBad]
   */
  say(words, isBad = false) {
    setText(this.status, words);
    this.status.classList.toggle('bad', isBad);
  }
}

/**
 * @param {Position} position
 */
function nameOf({ side, quantity, symbol, leverage }) {
  return `${side === 'long' ? 'Long' : 'Short'} ${exact(quantity)} ${splitSymbol(symbol).base} at ${exact(leverage)}×`;
}

/**
 * @param {App} app
 * @param {string} positionId
 */
export function editPosition({ store, desk }, positionId) {
  const opened = store.positions.get(positionId);
  if (opened === undefined) return;
  const sheet = new Sheet('edit-dialog');
  const inputs = { stopLoss: byId('edit-stop', HTMLInputElement), takeProfit: byId('edit-take', HTMLInputElement) };
  const names = /** @type {const} */ (['stopLoss', 'takeProfit']);
  for (const name of names) {
    writeInput(inputs[name], opened[name] ?? null);
    setFieldError(inputs[name], null);
  }
  const value = (/** @type {'stopLoss' | 'takeProfit'} */ name) =>
    inputs[name].value.trim() === '' ? undefined : readInput(inputs[name]).value;
  const places = store.placesOf(opened.symbol);
  sheet.open({
    show() {
      const position = store.positions.get(positionId);
      if (position === undefined) return gone(sheet);
      const mark = store.markOf(position);
      setText(sheet.about, `${nameOf(position)}. Entry ${priceText(position.entryPrice, places)}, now ${priceText(mark, places)}, liquidation ${priceText(position.liquidationPrice, places)}.`);
      for (const name of names) {
        const price = value(name);
        const gain = price ? profit(position, price) : null;
        const note = byId(`${inputs[name].id}-note`, HTMLElement);
        setText(note, gain ? `PnL there: ${signedMoney(gain)} USD` : '');
        note.className = `hint ${gain ? toneOf(gain) : ''}`;
      }
    },
    check() {
      const position = store.positions.get(positionId);
      const mark = position ? store.markOf(position) : null;
      if (!position) return true; // the submit says that it is closed
      // Only what is set anew is checked, as on the platform: a stop loss that stands may be beyond the market now.
      const anew = Object.fromEntries(names.filter((name) => String(value(name) ?? '') !== String(position[name] ?? '') || value(name) === null).map((name) => [name, value(name)]));
      const faults = mark === null ? new Map() : triggerFaults(position.side, anew, position.liquidationPrice, mark, places);
      for (const name of names) setFieldError(inputs[name], (value(name) === null ? readInput(inputs[name]).words : faults.get(name)) ?? null);
      const wrong = names.find((name) => value(name) === null || faults.has(name));
      if (wrong !== undefined) inputs[wrong].focus();
      return wrong === undefined;
    },
    async act(progress) {
      const position = store.positions.get(positionId);
      /** @type {{ stopLoss?: string | null, takeProfit?: string | null }} */
      const prices = {};
      for (const name of names) {
        const text = value(name)?.toString() ?? null;
        if (text !== (position?.[name]?.toString() ?? null)) prices[name] = text;
      }
      if (Object.keys(prices).length > 0) await desk.modify(positionId, prices, progress);
    },
    onRefusal(error) {
      const input = inputs[/** @type {'stopLoss' | 'takeProfit'} */ (error.details.field)];
      if (input) setFieldError(input, sentence(error.message));
      return input !== undefined;
    },
  });
}

/** @param {Sheet} sheet */
function gone(sheet) {
  sheet.say('This position is closed by now.', true);
  sheet.button.disabled = true;
}

/**
 * @param {App} app
 * @param {string} positionId
 * @param {number} percent shown at first
 */
export function closePosition({ store, desk }, positionId, percent) {
  const opened = store.positions.get(positionId);
  if (opened === undefined) return;
  const sheet = new Sheet('close-dialog');
  const input = byId('close-percent', HTMLInputElement);
  const slider = byId('close-slider', HTMLInputElement);
  const error = byId('close-error', HTMLElement);
  const places = store.placesOf(opened.symbol);
  const { base } = splitSymbol(opened.symbol);
  const typed = () => {
    const { value } = readInput(input);
    return value !== null && value.sign > 0 && value.compare(HUNDRED) <= 0 ? value : null;
  };
  const market = () => store.markets.get(opened.symbol);
  const fault = () => {
    const position = store.positions.get(positionId);
    const share = typed();
    if (share === null) return readInput(input).words ?? 'A percentage above 0 and up to 100.';
    return position ? closingFault(position, share, market()) : null;
  };
  const show = () => {
    const position = store.positions.get(positionId);
    if (position === undefined) return gone(sheet);
    const mark = store.markOf(position);
    const part = closingPart(position, typed() ?? ZERO, market());
    const amount = `${exact(part.quantity)} ${base}`;
    if (typed() !== null) setFieldError(input, fault(), error);
    setText(sheet.about, `${nameOf(position)}, entry ${priceText(position.entryPrice, places)}.`);
    setText(byId('close-quantity', HTMLElement), amount);
    showEstimate(part, mark, market()?.feeRate ?? ZERO, places);
    setText(sheet.button, part.quantity.compare(position.quantity) === 0 ? `Close all ${amount}` : `Close ${amount}`);
  };
  const setShare = (/** @type {string} */ text) => {
    slider.value = text;
    writeInput(input, Decimal.from(text));
    show();
  };
  slider.oninput = () => setShare(slider.value);
  input.oninput = () => (slider.value = String(typed() ?? slider.value));
  for (const chip of sheet.dialog.querySelectorAll('[data-percent]')) {
    /** @type {HTMLElement} */ (chip).onclick = () => setShare(/** @type {HTMLElement} */ (chip).dataset.percent ?? '100');
  }
  setText(byId('close-title', HTMLElement), percent === 100 ? 'Close position' : 'Close part of a position');
  setShare(String(percent));
  sheet.open({
    show,
    check() {
      const words = fault();
      setFieldError(input, words, error);
      return words === null;
    },
    act(progress) {
      const share = typed();
      if (share === null) return Promise.resolve(); // check() has said why
      const body = share.compare(HUNDRED) === 0 ? { positionId } : { positionId, percentage: share.toString() };
      return desk.submit('/api/v1/positions/close', body, progress);
    },
  });
  sheet.button.focus();
}

/**
 * What a close would bring now.
 * @param {ReturnType<typeof closingPart>} part
 * @param {Decimal | null} mark null: no price
 * @param {Decimal} feeRate
 * @param {number} places of prices
 */
function showEstimate(part, mark, feeRate, places) {
  setText(byId('close-price', HTMLElement), priceText(mark, places));
  const pnl = mark && profit(part, mark);
  const place = byId('close-pnl', HTMLElement);
  setText(place, pnl ? `${signedMoney(pnl)} USD` : '–');
  place.className = pnl ? toneOf(pnl) : '';
  setText(byId('close-fee', HTMLElement), mark ? `${money(fillFee(part.quantity, mark, feeRate))} USD` : '–');
}

/** @param {App} app */
export function closeAll({ store, desk, toasts }) {
  const sheet = new Sheet('confirm-dialog');
  setText(byId('confirm-title', HTMLElement), 'Close all positions');
  sheet.open({
    show() {
      const count = store.positions.size;
      const pnl = store.figures?.unrealizedPnL ?? ZERO;
      setText(sheet.about, `${count === 1 ? 'The one open position' : `All ${counted(count)} open positions`} will be closed at the market. Unrealized PnL now: ${signedMoney(pnl)} USD. Pending orders stay.`);
      setText(sheet.button, `Close ${counted(count)}`);
    },
    async act(progress) {
      const answer = await desk.submit('/api/v1/positions/close-all', {}, progress);
      const refused = answer.results.filter((/** @type {any} */ result) => !result.closed);
      if (refused.length > 0) {
        toasts.show({ kind: 'bad', title: `${counted(refused.length)} not closed`, text: sentence(refused[0].message ?? 'They were refused') });
      }
    },
  });
}
