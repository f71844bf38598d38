/**
 * What the panels are given: one of each, made in main.js.
 *
 * @typedef {object} App
 * @property {import('./store.js').Store} store
 * @property {import('./frames.js').Frames} frames
 * @property {import('./api.js').Api} api
 * @property {import('./socket.js').Socket} socket
 * @property {import('./elements/toast-stack.js').ToastStack} toasts
 * @property {import('./condition.js').Condition} condition
 * @property {import('./desk.js').Desk} desk what a trader can do to a position or an order
 * @property {import('./notices.js').Notices} notices of the browser
 * @property {Settings} settings
 * @property {import('./identity.js').Identity} identity whom the page acts for
 * @property {(email?: string) => void} signIn opens the dialog
 */

/**
 * From the server, in index.html.
 * @typedef {object} Settings
 * @property {string} base of the page's files
 * @property {boolean} hasChart whether the chart library is installed
 * @property {string} marginCallLevel percent
 * @property {number} maxQuoteAgeMs
 */

const ACCOUNT = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * @param {string} name
 * @returns {boolean}
 */
export function isAccountName(name) {
  return ACCOUNT.test(name);
}

/** @returns {Settings} */
export function readSettings() {
  const content = document.querySelector('meta[name="page-settings"]')?.getAttribute('content') ?? '{}';
  return JSON.parse(content);
}
