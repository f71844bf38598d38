/**
 * The account: its totals, its balance over time, another account, deposit, reset.
 */

import { ApiError } from './api.js';
import { isAccountName } from './app.js';
import { Decimal } from './decimal.js';
import { sentence } from './desk.js';
import { byId, find, make, makeSvg, refocus, setFieldError, setText } from './dom.js';
import { counted, money, signedMoney, toneOf } from './format.js';
import { readInput, showRead } from './number-input.js';

/** @typedef {import('./app.js').App} App */

const KNOWN = 'known-accounts';
const KNOWN_MAX = 8;
const POINTS = 500;

/** @param {App} app */
export function setUpAccountDialog(app) {
  const dialog = byId('account-dialog', HTMLDialogElement);
  byId('open-account', HTMLButtonElement).addEventListener('click', () => {
    if (app.identity.isGuest) return app.signIn();
    dialog.showModal();
    void drawEquity(app);
  });
  app.identity.watch((who) => showWho(app, who));
  setUpSignOut(app, dialog);
  app.store.watch(['account'], () => showTotals(app));
  setUpSwitch();
  setUpDeposit(app, dialog);
  setUpReset(app, dialog);
}

/**
 * Who it is, in the header and in the dialog.
 * @param {App} app
 * @param {import('./identity.js').Who} who
 */
function showWho({ identity }, who) {
  const isSignedIn = who.kind === 'session';
  const name = who.kind === 'guest' ? 'Sign in' : isSignedIn ? (who.email ?? who.account) : identity.account;
  setText(find(document, '[data-testid="account-name"]', HTMLElement), name ?? '…');
  byId('open-account', HTMLButtonElement).title = isSignedIn ? `Signed in as ${who.email}` : '';
  byId('account-prefix', HTMLElement).hidden = who.kind === 'guest';
  for (const badge of document.querySelectorAll('.operator')) /** @type {HTMLElement} */ (badge).hidden = !who.isOperator;
  setText(byId('who', HTMLElement), isSignedIn ? `Signed in as ${who.email}` : 'Without sign-in');
  setText(byId('who-account', HTMLElement), `Account ${identity.account ?? '…'}`);
  byId('switch-form', HTMLElement).hidden = isSignedIn;
  byId('dialog-sign-in', HTMLElement).hidden = isSignedIn;
  for (const id of ['open-access', 'sign-out']) byId(id, HTMLElement).hidden = !isSignedIn;
}

/**
 * @param {App} app
 * @param {HTMLDialogElement} dialog
 */
function setUpSignOut(app, dialog) {
  const button = byId('sign-out', HTMLButtonElement);
  const status = find(dialog, '.dialog-status', HTMLElement);
  byId('dialog-sign-in', HTMLButtonElement).addEventListener('click', () => app.signIn());
  button.addEventListener('click', async () => {
    button.disabled = true;
    setText(status, '');
    try {
      const before = app.identity.account;
      await app.identity.find();
      if (app.identity.account !== before) return; // another account is signed in by now, and was not meant
      await app.api.send('POST', '/api/auth/logout', {});
      await app.identity.renew();
      dialog.close();
      app.toasts.show({ kind: 'plain', title: 'Signed out', text: '' });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(status, `Not signed out: ${sentence(error.message)}`);
    } finally {
      button.disabled = false;
      refocus(button);
    }
  });
}

/** @param {App} app */
function showTotals({ store, identity }) {
  const { totals } = store;
  if (totals === null) return;
  const set = (/** @type {string} */ name, /** @type {string} */ text) => setText(find(document, `[data-testid="${name}"]`, HTMLElement), text);
  if (!identity.isSignedIn) {
    set('account-name', totals.accountId);
    remember(totals.accountId);
  }
  set('total-start', money(totals.startingBalance));
  set('total-deposited', money(totals.deposited));
  set('total-realized', signedMoney(totals.realizedPnL));
  find(document, '[data-testid="total-realized"]', HTMLElement).className = toneOf(totals.realizedPnL);
  set('total-fees', money(totals.fees));
  set('total-balance', money(totals.balance));
}

/** @returns {string[]} */
function known() {
  try {
    return JSON.parse(localStorage.getItem(KNOWN) ?? '[]').filter(isAccountName);
  } catch {
    return [];
  }
}

/** @param {string} account */
function remember(account) {
  const names = [account, ...known().filter((name) => name !== account)].slice(0, KNOWN_MAX);
  localStorage.setItem(KNOWN, JSON.stringify(names));
}

function setUpSwitch() {
  const input = byId('switch-account', HTMLInputElement);
  input.addEventListener('focus', () => byId('known-accounts', HTMLDataListElement).replaceChildren(...known().map((name) => make('option', { value: name }))));
  byId('switch-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const name = input.value.trim();
    setFieldError(input, isAccountName(name) ? null : '1 to 64 letters, digits, underscores or hyphens.', byId('switch-error', HTMLElement));
    if (isAccountName(name)) location.search = `?account=${encodeURIComponent(name)}`;
  });
}

/**
 * Submit once at a time; what is refused is said under the field.
 * @param {HTMLInputElement} input
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} place of the error
 * @param {() => Promise<unknown>} act
 */
async function submitField(input, button, place, act) {
  const focused = document.activeElement;
  button.disabled = true;
  try {
    await act();
    setFieldError(input, null, place);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    setFieldError(input, sentence(error.message), place);
  } finally {
    button.disabled = false;
    refocus(focused);
  }
}

/**
 * @param {App} app
 * @param {HTMLDialogElement} dialog
 */
function setUpDeposit({ desk }, dialog) {
  const form = byId('deposit-form', HTMLFormElement);
  const input = byId('deposit-amount', HTMLInputElement);
  const place = byId('deposit-error', HTMLElement);
  const button = find(form, 'button', HTMLButtonElement);
  const status = find(dialog, '.dialog-status', HTMLElement);
  input.addEventListener('change', () => showRead(input));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const { value: amount, words } = readInput(input);
    if (amount === null || amount.sign <= 0) return setFieldError(input, words ?? 'An amount above 0.', place);
    await submitField(input, button, place, async () => {
      await desk.submit('/api/v1/account/deposit', { amount: amount.toString() }, (words) => setText(status, words));
    });
    setText(status, '');
  });
}

/**
 * @param {App} app
 * @param {HTMLDialogElement} dialog
 */
function setUpReset({ desk }, dialog) {
  const input = byId('reset-confirm', HTMLInputElement);
  const button = byId('reset-submit', HTMLButtonElement);
  const status = find(dialog, '.dialog-status', HTMLElement);
  input.addEventListener('input', () => (button.disabled = input.value !== 'RESET'));
  dialog.addEventListener('close', () => {
    input.value = '';
    button.disabled = true;
  });
  byId('reset-form', HTMLFormElement).addEventListener('submit', async (event) => {
    event.preventDefault();
    if (input.value !== 'RESET') return;
    await submitField(input, button, byId('reset-error', HTMLElement), async () => {
      await desk.submit('/api/v1/account/reset', { confirm: 'RESET' }, (words) => setText(status, words));
      dialog.close();
    });
    button.disabled = input.value !== 'RESET';
    setText(status, '');
  });
}

/** @param {App} app */
async function drawEquity({ api }) {
  const place = find(document, 'equity-curve', HTMLElement);
  try {
    const { points } = await api.get(`/api/v1/equity?limit=${POINTS}`);
    const values = points.map((/** @type {any} */ point) => Number(point.balance));
    place.hidden = values.length < 2;
    if (values.length < 2) return;
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    const at = (/** @type {number} */ value, /** @type {number} */ index) => `${(index / (values.length - 1)) * 100},${29 - ((value - low) / range) * 28}`;
    const picture = makeSvg('svg', { viewBox: '0 0 100 30', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const shown = (/** @type {number} */ index) => money(Decimal.from(points[index].balance));
    picture.append(makeSvg('polyline', { points: values.map(at).join(' ') }));
    place.setAttribute('aria-label', `Balance over the last ${counted(values.length)} changes: from ${shown(0)} to ${shown(points.length - 1)} USD`);
    place.replaceChildren(picture);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    place.hidden = true; // an ornament: the figures above it say the same
  }
}
