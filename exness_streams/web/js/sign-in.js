/**
 * Signing in: an address, a mailed link, and the question whether it is meant before the link is redeemed.
 */

import { ApiError, newKey } from './api.js';
import { sentence } from './desk.js';
import { byId, find, refocus, setFieldError, setText } from './dom.js';

/** @typedef {import('./app.js').App} App */
/** A mailed link. @typedef {{ token: string, email: string }} Link */

const NONCE = 'sign-in-nonce';
const VERIFY = '#verify?';

/**
 * The link that led here. It is taken out of the address bar and the history at once: it is a secret that works once.
 * @returns {Link | null}
 */
export function takeLink() {
  if (!location.hash.startsWith(VERIFY)) return null;
  const asked = new URLSearchParams(location.hash.slice(VERIFY.length));
  history.replaceState(history.state, '', location.pathname + location.search);
  return { token: asked.get('token') ?? '', email: asked.get('email') ?? '' };
}

/**
 * What makes a link's session this tab's: asked again with the same one, the platform gives the same session. It goes
 * when the session is here.
 */
function nonce() {
  const kept = sessionStorage.getItem(NONCE) ?? newKey();
  sessionStorage.setItem(NONCE, kept);
  return kept;
}

/**
 * @param {App} app
 * @returns {(email?: string) => void} opens the dialog
 */
export function setUpSignIn(app) {
  const dialog = byId('sign-in-dialog', HTMLDialogElement);
  const form = byId('sign-in-form', HTMLFormElement);
  const sent = byId('sign-in-sent', HTMLElement);
  const input = byId('sign-in-email', HTMLInputElement);
  const about = byId('sign-in-about', HTMLElement);
  const show = (/** @type {boolean} */ isSent) => {
    form.hidden = isSent;
    sent.hidden = !isSent;
  };
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const email = input.value.trim();
    if (!input.checkValidity() || email === '') return refuse(input, 'An e-mail address, such as ann@example.org.');
    await submitOnce(form, async () => {
      await app.api.ask('/api/auth/login', { email });
      setFieldError(input, null);
      setText(about, `If ${email} is an address, a link is on its way to it. It works once, for 15 minutes, and signs this browser in when you open it here.`);
      show(true);
      byId('sign-in-sent-title', HTMLElement).focus();
    }, (words) => refuse(input, words));
  });
  byId('sign-in-again', HTMLButtonElement).addEventListener('click', () => {
    show(false);
    input.focus();
  });
  return (email) => {
    for (const open of document.querySelectorAll('dialog[open]')) /** @type {HTMLDialogElement} */ (open).close();
    if (email !== undefined) input.value = email;
    setFieldError(input, null);
    show(false);
    dialog.showModal();
    input.focus();
  };
}

/**
 * @param {HTMLInputElement} input
 * @param {string} words
 */
function refuse(input, words) {
  setFieldError(input, words);
  input.focus();
}

/**
 * Act once at a time, and say a refusal.
 * @param {HTMLFormElement} form
 * @param {() => Promise<void>} act
 * @param {(words: string, error: ApiError) => void} say
 */
async function submitOnce(form, act, say) {
  const button = find(form, '[type="submit"]', HTMLButtonElement);
  if (button.disabled) return;
  const focused = document.activeElement;
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(sentence(error.message), error);
  } finally {
    button.disabled = false;
    refocus(focused);
  }
}

/**
 * The landing of a mailed link: whoever opened it is asked before anything is redeemed.
 * @param {App} app
 */
export function setUpLanding(app) {
  const { identity, api, toasts } = app;
  const dialog = byId('verify-dialog', HTMLDialogElement);
  const form = byId('verify-form', HTMLFormElement);
  const about = byId('verify-about', HTMLElement);
  const status = find(dialog, '.dialog-status', HTMLElement);
  const button = find(form, '[type="submit"]', HTMLButtonElement);
  const another = byId('verify-another', HTMLButtonElement);
  /** @type {Link | null} */
  let link = null;
  const say = (/** @type {string} */ words) => {
    setText(status, words);
    status.classList.toggle('bad', words !== '');
  };
  const describe = () => {
    if (link === null) return;
    const now = identity.isSignedIn && identity.who?.email !== link.email ? ` This browser is signed in as ${identity.who?.email} now; all its pages change.` : '';
    setText(about, `Only go on if you asked for this link.${now}`);
  };
  const land = () => {
    const landed = takeLink();
    if (landed === null) return;
    link = landed;
    const isWhole = link.token !== '' && link.email !== '';
    setText(byId('verify-title', HTMLElement), isWhole ? `Sign in as ${link.email}?` : 'This link is not whole');
    say(isWhole ? '' : 'Open it again from the mail, or have a new one mailed.');
    describe();
    about.hidden = button.hidden = !isWhole;
    another.hidden = isWhole;
    for (const open of document.querySelectorAll('dialog[open]')) /** @type {HTMLDialogElement} */ (open).close();
    dialog.showModal();
    (isWhole ? button : another).focus();
  };
  identity.watch(describe);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (link === null) return;
    const { token, email } = link;
    void submitOnce(form, async () => {
      say('');
      await api.ask('/api/auth/verify', { token, email, nonce: nonce() });
      sessionStorage.removeItem(NONCE);
      dialog.close();
      await identity.renew();
      toasts.show({ kind: 'good', title: 'Signed in', text: `As ${email}.` });
    }, (words, error) => {
      say(words);
      another.hidden = error.status === 0 || error.status >= 500 || error.status === 429;
    });
  });
  another.addEventListener('click', () => app.signIn(link?.email));
  dialog.addEventListener('close', () => (link = null));
  addEventListener('hashchange', land);
  land();
}
