/**
 * Sessions and API keys of the account that is signed in.
 */

import { ApiError } from './api.js';
import { sentence } from './desk.js';
import { byId, find, make, refocus, setFieldError, setText } from './dom.js';
import { dateText, dayTime, fullTime } from './time-text.js';

/** @typedef {import('./app.js').App} App */

const DAY_MS = 86_400_000;

/** @param {App} app */
export function setUpAccessDialog(app) {
  const dialog = byId('access-dialog', HTMLDialogElement);
  const access = new Access(app, dialog);
  byId('open-access', HTMLButtonElement).addEventListener('click', () => {
    byId('account-dialog', HTMLDialogElement).close();
    dialog.showModal();
    void access.load();
  });
  dialog.addEventListener('close', () => access.forgetSecret());
  app.identity.watch(() => {
    if (!app.identity.isSignedIn) dialog.close();
  });
}

class Access {
  /**
   * @param {App} app
   * @param {HTMLDialogElement} dialog
   */
  constructor(app, dialog) {
    this.app = app;
    this.sessions = byId('session-rows', HTMLElement);
    this.keys = byId('key-rows', HTMLElement);
    this.status = find(dialog, '.dialog-status', HTMLElement);
    this.secret = byId('new-key', HTMLElement);
    this.secretInput = byId('new-key-secret', HTMLInputElement);
    this.form = byId('key-form', HTMLFormElement);
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#create();
    });
    byId('new-key-copy', HTMLButtonElement).addEventListener('click', () => this.#copy());
    byId('end-sessions', HTMLButtonElement).addEventListener('click', (event) => this.#act(event, async () => {
      await app.api.send('DELETE', '/api/auth/sessions');
      await app.identity.renew();
      app.toasts.show({ kind: 'plain', title: 'Signed out everywhere', text: '' });
    }));
  }

  async load() {
    this.#say('');
    await Promise.all([this.#loadSessions(), this.#loadKeys()]);
  }

  async #loadSessions() {
    await this.#fill(this.sessions, '/api/auth/sessions', (answer) => answer.sessions.map((/** @type {any} */ one) => this.#session(one)));
  }

  async #loadKeys() {
    await this.#fill(this.keys, '/api/v1/keys', (answer) => answer.keys.map((/** @type {any} */ one) => this.#key(one)));
    if (this.keys.childElementCount === 0) this.keys.append(make('li', { class: 'empty' }, 'No API keys yet.'));
  }

  /**
   * @param {HTMLElement} list
   * @param {string} path
   * @param {(answer: any) => HTMLElement[]} rows
   */
  async #fill(list, path, rows) {
    list.setAttribute('aria-busy', 'true');
    try {
      list.replaceChildren(...rows(await this.app.api.get(path)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      list.replaceChildren();
      this.#say(sentence(error.message));
    } finally {
      list.removeAttribute('aria-busy');
    }
  }

  /** @param {any} one */
  #session({ id, createdAt, expiresAt, agent, current }) {
    const name = agentWords(agent ?? '');
    const button = make('button', { type: 'button', class: 'button small danger', 'data-testid': 'end-session', 'aria-label': current ? 'Sign out of this session' : `End the session of ${name}` }, current ? 'Sign out' : 'End');
    button.addEventListener('click', (event) => this.#act(event, async () => {
      await this.app.api.send('DELETE', `/api/auth/sessions/${encodeURIComponent(id)}`);
      if (current) await this.app.identity.renew();
      else await this.#loadSessions();
    }));
    const about = make('span', { class: 'muted' }, `Since ${dayTime(Number(createdAt))}, until ${dateText(Number(expiresAt))}`);
    const row = make('li', { 'data-testid': 'session', title: agent ?? '' }, make('span', {}, make('strong', {}, name), about), button);
    if (current) row.querySelector('strong')?.after(make('span', { class: 'badge long' }, 'This one'));
    return row;
  }

  /** @param {any} one */
  #key({ id, name, scopes, createdAt, expiresAt }) {
    const button = make('button', { type: 'button', class: 'button small danger', 'data-testid': 'revoke-key', 'aria-label': `Revoke the API key ${name}` }, 'Revoke');
    button.addEventListener('click', (event) => this.#act(event, async () => {
      await this.app.api.send('DELETE', `/api/v1/keys/${encodeURIComponent(id)}`);
      await this.#loadKeys();
    }));
    const until = expiresAt ? `until ${dateText(Number(expiresAt))}` : 'does not expire';
    const about = make('span', { class: 'muted', title: `Made ${fullTime(Number(createdAt))}` }, `${scopes.includes('trade') ? 'Reads and trades' : 'Reads only'}, ${until}`);
    return make('li', { 'data-testid': 'key' }, make('span', {}, make('strong', {}, name), about), button);
  }

  async #create() {
    const input = byId('key-name', HTMLInputElement);
    const name = input.value.trim();
    if (name === '') {
      setFieldError(input, 'A name, such as that of the program.');
      return input.focus();
    }
    const lastsDays = Number(byId('key-expires', HTMLSelectElement).value);
    const scopes = byId('key-trades', HTMLInputElement).checked ? ['read', 'trade'] : ['read'];
    const expires = lastsDays === 0 ? {} : { expiresAt: Math.round(this.app.store.serverTimeMs + lastsDays * DAY_MS) };
    const button = find(this.form, '[type="submit"]', HTMLButtonElement);
    button.disabled = true;
    try {
      const made = await this.app.api.post('/api/v1/keys', { name, scopes, ...expires });
      setFieldError(input, null);
      input.value = '';
      this.secretInput.value = made.key;
      setText(byId('new-key-about', HTMLElement), `This is the secret of ${made.name}. It is not shown again: copy it now.`);
      this.secret.hidden = false;
      this.secretInput.focus();
      this.secretInput.select();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setFieldError(input, error.isUnknown ? 'No answer. If there is a new key below, revoke it: its secret is lost.' : sentence(error.message));
      input.focus();
    } finally {
      button.disabled = false;
    }
    await this.#loadKeys();
  }

  async #copy() {
    this.secretInput.focus();
    this.secretInput.select();
    const button = byId('new-key-copy', HTMLButtonElement);
    try {
      await navigator.clipboard.writeText(this.secretInput.value);
      setText(button, 'Copied');
    } catch {
      setText(button, 'Press Ctrl+C'); // no clipboard for pages that are neither local nor HTTPS
    }
  }

  forgetSecret() {
    this.secretInput.value = '';
    this.secret.hidden = true;
    setText(byId('new-key-copy', HTMLButtonElement), 'Copy');
  }

  /**
   * @param {Event} event
   * @param {() => Promise<void>} act
   */
  async #act(event, act) {
    const button = event.currentTarget;
    if (!(button instanceof HTMLButtonElement)) return;
    button.disabled = true;
    this.#say('');
    try {
      await act();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#say(sentence(error.message));
    } finally {
      button.disabled = false;
      refocus(button.isConnected ? button : byId('access-title', HTMLElement));
    }
  }

  /** @param {string} words */
  #say(words) {
    setText(this.status, words);
    this.status.classList.toggle('bad', words !== '');
  }
}

const BROWSERS = /** @type {const} */ ([['Edg/', 'Edge'], ['OPR/', 'Opera'], ['Firefox/', 'Firefox'], ['Chrome/', 'Chrome'], ['Safari/', 'Safari']]);
const SYSTEMS = /** @type {const} */ ([['Android', 'Android'], ['iPhone', 'iPhone'], ['iPad', 'iPad'], ['Windows', 'Windows'], ['Mac OS', 'macOS'], ['Linux', 'Linux']]);
const AGENT_MAX = 40;

/**
 * What signed in, in two words where it is known.
 * @param {string} agent the User-Agent header
 */
export function agentWords(agent) {
  const browser = BROWSERS.find(([part]) => agent.includes(part))?.[1];
  const system = SYSTEMS.find(([part]) => agent.includes(part))?.[1];
  if (browser !== undefined) return system === undefined ? browser : `${browser} on ${system}`;
  return agent === '' ? 'Unknown program' : agent.slice(0, AGENT_MAX);
}
