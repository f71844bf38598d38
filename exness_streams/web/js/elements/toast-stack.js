/**
 * Messages that come and go. Bad ones interrupt a screen reader, the others wait for it; all stop while looked at.
 */

import { make } from '../dom.js';

/**
 * @typedef {object} Toast
 * @property {'good' | 'loss' | 'bad' | 'warn' | 'plain'} kind
 * @property {string} title
 * @property {string} text
 */

const SHOWN_MS = { good: 5_000, loss: 5_000, plain: 4_000, warn: 9_000, bad: 9_000 };
const STACK_MAX = 4;
/** On a phone, where they stand over the account's figures: more would lie on what is pressed. */
const PHONE_STACK_MAX = 2;
const PHONE = '(max-width: 999px)';

export class ToastStack extends HTMLElement {
  connectedCallback() {
    // As a popover it lies above an open dialog, too.
    this.popover = 'manual';
  }

  /** @param {Toast} toast */
  show({ kind, title, text }) {
    const dismiss = make('button', { type: 'button', class: 'dismiss', 'aria-label': 'Dismiss' }, '×');
    const element = make('div', { class: `toast ${kind}`, role: kind === 'bad' ? 'alert' : 'status', 'data-testid': 'toast', 'data-kind': kind });
    element.append(make('strong', {}, title), dismiss);
    if (text) element.append(make('p', {}, text));
    dismiss.addEventListener('click', () => this.#remove(element));
    const most = matchMedia(PHONE).matches ? PHONE_STACK_MAX : STACK_MAX;
    while (this.children.length >= most) this.firstElementChild?.remove();
    this.append(element);
    // Shown anew it comes to lie above a dialog that was opened since.
    if (this.matches(':popover-open') && document.querySelector('dialog[open]')) this.hidePopover();
    if (!this.matches(':popover-open')) this.showPopover();
    this.#fade(element, SHOWN_MS[kind]);
  }

  /**
   * @param {Element} element
   * @param {number} shownMs
   */
  #fade(element, shownMs) {
    let timer = setTimeout(() => this.#remove(element), shownMs);
    element.addEventListener('pointerenter', () => clearTimeout(timer));
    element.addEventListener('pointerleave', () => (timer = setTimeout(() => this.#remove(element), shownMs / 2)));
  }

  /** @param {Element} element */
  #remove(element) {
    element.remove();
    if (this.childElementCount === 0) this.hidePopover();
  }
}
