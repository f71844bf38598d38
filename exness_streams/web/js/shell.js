/**
 * What surrounds the panels: views on a phone, colours, keys, dialogs' buttons.
 */

import { byId, find } from './dom.js';
import { TabSet } from './elements/open-positions.js';
import { nextTheme } from './theme-choice.js';

/** @typedef {import('./app.js').App} App */

export function setUpViews() {
  const nav = find(document, 'nav.views', HTMLElement);
  const choose = (/** @type {string} */ view) => {
    document.body.dataset.view = view;
    for (const button of nav.querySelectorAll('button')) {
      if (button.dataset.view === view) button.setAttribute('aria-current', 'page');
      else button.removeAttribute('aria-current');
    }
  };
  nav.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest('button') : null;
    if (button?.dataset.view) choose(button.dataset.view);
  });
  document.body.addEventListener('view', (event) => choose(/** @type {CustomEvent<string>} */ (event).detail));
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => {
      if (event.target instanceof Element && (event.target === dialog || event.target.closest('[data-dismiss]'))) dialog.close();
    });
  }
}

export function setUpTheme() {
  const button = byId('theme', HTMLButtonElement);
  const system = matchMedia('(prefers-color-scheme: dark)');
  const label = () => {
    const theme = document.documentElement.dataset.theme ?? 'system';
    button.setAttribute('aria-label', `Colours: ${theme}`);
    button.title = `Colours: ${theme}`;
    button.textContent = { system: '◐', dark: '☾', light: '☀' }[theme] ?? '◐';
  };
  button.addEventListener('click', () => {
    const now = /** @type {import('./theme-choice.js').Theme} */ (document.documentElement.dataset.theme ?? 'system');
    const next = nextTheme(now, system.matches);
    if (next === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem('theme', next);
    label();
    document.dispatchEvent(new CustomEvent('theme'));
  });
  system.addEventListener('change', () => document.dispatchEvent(new CustomEvent('theme')));
  label();
}

/** @param {App} app */
export function setUpShortcuts({ store }) {
  const help = byId('help-dialog', HTMLDialogElement);
  byId('open-help', HTMLButtonElement).addEventListener('click', () => help.showModal());
  const margin = byId('margin', HTMLInputElement);
  const side = (/** @type {string} */ value) => {
    const radio = find(document, `input[name="side"][value="${value}"]`, HTMLInputElement);
    radio.click();
    document.body.dispatchEvent(new CustomEvent('view', { detail: 'trade' }));
    margin.focus();
    margin.select();
  };
  const tab = (/** @type {string} */ id) => {
    find(document, 'tab-set', TabSet).choose(byId(id, HTMLElement));
    byId(id, HTMLElement).focus();
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    b: () => side('long'),
    s: () => side('short'),
    o: () => tab('tab-open'),
    p: () => tab('tab-pending'),
    h: () => tab('tab-history'),
    e: () => tab('tab-equity'),
    '/': () => byId('watch-filter', HTMLInputElement).focus(),
    '?': () => help.showModal(),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (event.target instanceof Element && event.target.matches('input:not([type="radio"], [type="range"]), select, textarea')) return;
    const act = keys[event.key.toLowerCase()];
    const interval = /^[1-8]$/.test(event.key) ? byId('intervals', HTMLElement).querySelectorAll('input')[Number(event.key) - 1] : undefined;
    if (act === undefined && interval === undefined) return;
    event.preventDefault();
    act?.();
    interval?.click();
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted) store.mark('link'); // shown from the cache of pages: say how things stand at once
  });
}
