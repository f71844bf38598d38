/**
 * Local time or UTC, to choose on the chart; said there, and remembered.
 */

import { byId, setText } from './dom.js';
import { usedZone, useTimes, zoneText } from './time-text.js';

const STORED = 'zone';

/** @param {string} locale whose dates are shown */
export function setUpZone(locale) {
  useTimes(locale, localStorage.getItem(STORED) === 'utc' ? 'utc' : 'local');
  const button = byId('zone', HTMLButtonElement);
  button.addEventListener('click', () => {
    useTimes(locale, usedZone() === 'utc' ? 'local' : 'utc');
    localStorage.setItem(STORED, usedZone());
    document.dispatchEvent(new CustomEvent('zone'));
  });
}

/** @param {boolean} isDates whether the candles are dates, which have no zone */
export function sayZone(isDates) {
  const button = byId('zone', HTMLButtonElement);
  const local = zoneText(Date.now(), 'local');
  const times = usedZone() === 'utc' ? 'UTC' : `local (${local})`;
  setText(button, `${isDates ? 'Dates: UTC · ' : ''}Times: ${times}`);
  button.title = `Show times ${usedZone() === 'utc' ? `of this computer (${local})` : 'in UTC'}. Daily and weekly candles are dates of UTC in any case.`;
}
