/**
 * What this browser offers of notices, and the box to ask for them.
 */

import { byId, setText } from './dom.js';
import { Notices } from './notices.js';

/** Some browsers have them for service workers alone: then making one throws, and there are none. */
function isOffered() {
  return 'Notification' in window && window.isSecureContext;
}

export function browserNotices() {
  const means = {
    get permission() {
      return Notification.permission;
    },
    ask: () => Notification.requestPermission(),
    /** @param {import('./notices.js').Notice} notice */
    show({ title, text, tag }) {
      try {
        const shown = new Notification(title, { body: text, tag, icon: new URL('../icon.svg', import.meta.url).href });
        shown.addEventListener('click', () => {
          window.focus();
          shown.close();
        });
      } catch (error) {
        console.warn('This browser shows notifications of service workers alone.', error);
      }
    },
  };
  return new Notices(isOffered() ? means : null, localStorage, () => document.visibilityState === 'visible' && document.hasFocus());
}

/** @param {Notices} notices */
export function setUpNotices(notices) {
  const box = byId('notices', HTMLInputElement);
  const about = byId('notices-about', HTMLElement);
  const words = about.textContent ?? '';
  const show = () => {
    box.checked = notices.isOn;
    box.disabled = notices.fault !== null;
    setText(about, notices.fault ?? words);
  };
  box.addEventListener('change', async () => {
    await notices.choose(box.checked);
    show();
  });
  byId('account-dialog', HTMLElement).addEventListener('toggle', show);
  show();
}
