/**
 * Whom the page acts for: asked of the platform, and asked again whenever it says otherwise.
 */

import { ApiError } from './api.js';

/**
 * auth: whether the platform asks for sign-in. kind: guest: for nobody; open: without sign-in; key: never in a browser.
 * @typedef {{ auth: 'open' | 'required', kind: 'guest' | 'open' | 'session' | 'key', account: string | null,
 *   email: string | null, isOperator: boolean, expiresAt: number | null }} Who
 */

/** Why it is somebody else: what was done on this page, or what the page only found. @typedef {'here' | 'found'} Reason */

const PAUSE_MS = { first: 500, most: 15_000 };
const CHANNEL = 'sign-in';

export class Identity {
  /** @type {Who | null} null before the platform has said */
  who = null;
  /** The account that the page shows. @type {string | null} */
  account = null;
  /** @type {Promise<void> | null} */
  #asking = null;
  /** @type {Promise<void> | null} */
  #finding = null;
  /** @type {((who: Who) => void)[]} */
  #watchers = [];

  /**
   * @param {import('./api.js').Api} api
   * @param {string | null} named the account that the page's URL names; a session has its own
   * @param {{ onAccount: (account: string | null) => void,
   *   onFound?: (now: Who, before: Who) => void, onSilence?: () => void }} hooks onAccount: another account is shown, or
   *   none. onFound: somebody was signed in or out, and not by this page. onSilence: the platform does not answer
   * @param {{ postMessage: (message: any) => void, onmessage: any } | null} [channel] to the other pages of this browser
   */
  constructor(api, named, hooks, channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(CHANNEL) : null) {
    this.api = api;
    this.named = named;
    this.hooks = hooks;
    this.channel = channel;
    api.onRefusal = () => void this.find();
    if (channel !== null) channel.onmessage = () => void this.find();
  }

  get isGuest() {
    return this.who?.kind === 'guest';
  }

  get isSignedIn() {
    return this.who?.kind === 'session';
  }

  /**
   * Call `show` now, if it is known, and whenever it changes.
   * @param {(who: Who) => void} show
   */
  watch(show) {
    this.#watchers.push(show);
    if (this.who !== null) show(this.who);
  }

  /** Somebody has signed in or out here: ask who it is now, and tell the browser's other pages. */
  async renew() {
    await this.#asking?.catch(() => {}); // what was asked before may be answered with what was before
    await this.#findOut('here');
    this.channel?.postMessage('changed');
  }

  /** Ask until there is an answer; once at a time, however many want to know. */
  find() {
    return (this.#finding ??= this.#findOut('found').finally(() => (this.#finding = null)));
  }

  /** @param {Reason} reason */
  async #findOut(reason) {
    for (let pause = PAUSE_MS.first; ; pause = Math.min(PAUSE_MS.most, pause * 2)) {
      try {
        return await this.#ask(reason);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.hooks.onSilence?.();
      }
      await new Promise((resolve) => setTimeout(resolve, pause / 2 + (Math.random() * pause) / 2));
    }
  }

  /** @param {Reason} reason */
  #ask(reason) {
    return (this.#asking ??= this.api.ask('/api/auth/me')
      .then((answer) => this.#take(whoOf(answer), reason))
      .finally(() => (this.#asking = null)));
  }

  /**
   * @param {Who} who
   * @param {Reason} reason
   */
  #take(who, reason) {
    const before = this.who;
    const account = who.kind === 'guest' ? null : who.kind === 'session' ? who.account : (this.named ?? who.account);
    this.who = who;
    if (before === null || account !== this.account || who.kind !== before.kind) {
      this.account = this.api.account = account;
      this.hooks.onAccount(account);
    }
    for (const show of this.#watchers) show(who);
    const isSame = before === null || (before.kind === who.kind && before.account === who.account);
    if (!isSame && reason === 'found') this.hooks.onFound?.(who, before);
  }
}

/**
 * @param {any} message
 * @returns {Who}
 */
function whoOf(message) {
  return {
    auth: message.auth,
    kind: message.kind,
    account: message.account ?? null,
    email: message.email ?? null,
    isOperator: message.operator === true,
    expiresAt: message.expiresAt ? Number(message.expiresAt) : null,
  };
}
