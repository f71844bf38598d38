/**
 * The account at the market, and the margin call. Figures move at most four times a second: calm enough to be read.
 */

import { Decimal, ZERO } from '../decimal.js';
import { byId, find, make, setText } from '../dom.js';
import { exactPercent, money, NOTHING, percent, signedMoney, toneOf } from '../format.js';
import { callNotice } from '../notices.js';
import { isMarginCalled } from '../valuation.js';

const PACE_MS = 250;
const FIGURES = ['account-equity', 'account-balance', 'account-used-margin', 'account-free-margin', 'account-margin-level'];

export class AccountStrip extends HTMLElement {
  /** @type {import('../app.js').App} */
  #app;
  #shownAt = 0;
  #isWaiting = false;
  #isCalled = false;

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    app.store.watch(['quotes'], () => this.#soon());
    app.store.watch(['account', 'positions', 'orders', 'link'], () => this.#show());
  }

  #soon() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const wait = Math.max(0, this.#shownAt + PACE_MS - performance.now());
    setTimeout(() => this.#app.frames.request(this.#show), wait);
  }

  #show = () => {
    this.#isWaiting = false;
    this.#shownAt = performance.now();
    const { store, settings } = this.#app;
    const figures = store.figures;
    if (figures === null) return this.#clear();
    this.#set('account-equity', money(figures.equity));
    this.#set('account-balance', money(figures.balance));
    this.#set('account-used-margin', money(figures.usedMargin));
    this.#set('account-free-margin', money(figures.freeMargin));
    this.#set('account-margin-level', percent(figures.marginLevel));
    this.#set('account-pnl', signedMoney(figures.unrealizedPnL)).className = toneOf(figures.unrealizedPnL);
    this.#call(figures.marginLevel, Decimal.from(settings.marginCallLevel));
  };

  #clear() {
    for (const name of FIGURES) this.#set(name, NOTHING);
    this.#set('account-pnl', NOTHING).className = '';
    this.#call(null, ZERO);
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #set(name, text) {
    const element = find(this, `[data-testid="${name}"]`, HTMLElement);
    setText(element, text);
    return element;
  }

  /**
   * @param {Decimal | null} level
   * @param {Decimal} limit percent
   */
  #call(level, limit) {
    const isCalled = isMarginCalled(level, limit);
    this.dataset.call = String(isCalled);
    const place = find(document, '[data-testid="margin-call"]', HTMLElement);
    if (isCalled !== this.#isCalled) {
      this.#isCalled = isCalled;
      place.hidden = !isCalled;
      if (isCalled) this.#app.notices.tell(callNotice(limit));
      if (isCalled) place.replaceChildren(...callWords(limit));
    }
    this.#set('account-margin-level', percent(level)).classList.toggle('near', isCalled);
  }
}

/** @param {Decimal} limit */
function callWords(limit) {
  // Without the level itself, which moves: an alert is read out once, not at each tick.
  const words = `Margin call: the margin level is at or below ${exactPercent(limit)}. Deposit, or close positions, before they are liquidated.`;
  const deposit = make('button', { type: 'button', class: 'button small' }, 'Deposit');
  deposit.addEventListener('click', () => byId('open-account', HTMLButtonElement).click());
  return [make('span', {}, words), deposit];
}
