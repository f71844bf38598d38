/**
 * Times as people of a place read them, in the zone that they chose. A daily or weekly candle is a date of UTC, not an
 * instant: no zone ever shifts it.
 */

/** @typedef {'local' | 'utc'} Zone */
/** @typedef {keyof typeof FORMS} Form */

/** From here on a candle is a date. */
const DAY_SECONDS = 86_400;
const MINUS = '\u2212';

const FORMS = /** @type {const} */ ({
  clock: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  minute: { hour: '2-digit', minute: '2-digit' },
  dayClock: { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  dayMinute: { day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit' },
  date: { dateStyle: 'medium' },
  full: { dateStyle: 'medium', timeStyle: 'medium' },
  year: { year: 'numeric' },
  month: { month: 'short' },
  day: { day: 'numeric', month: 'short' },
});

let locale = 'en-US';
/** @type {Zone} */
let chosen = 'local';
/** Formats are dear to make. @type {Map<string, Intl.DateTimeFormat>} */
const made = new Map();

/**
 * @param {string} place whose dates are shown from now on
 * @param {Zone} zone
 */
export function useTimes(place, zone) {
  locale = place;
  chosen = zone;
  made.clear();
}

export function usedZone() {
  return chosen;
}

/**
 * @param {number} timeMs
 * @param {Form} form
 * @param {Zone} [zone]
 */
function written(timeMs, form, zone = chosen) {
  const name = `${zone} ${form}`;
  let format = made.get(name);
  if (format === undefined) {
    // Of the Gregorian calendar everywhere: it is the one that days, weeks and months of candles begin by.
    format = new Intl.DateTimeFormat(locale, { ...FORMS[form], calendar: 'gregory', ...(zone === 'utc' ? { timeZone: 'UTC' } : {}) });
    made.set(name, format);
  }
  return format.format(timeMs);
}

/**
 * Time of day.
 * @param {number} timeMs
 */
export function clockTime(timeMs) {
  return written(timeMs, 'clock');
}

/**
 * Day and time.
 * @param {number} timeMs
 */
export function dayTime(timeMs) {
  return written(timeMs, 'dayClock');
}

/**
 * Date, with its year.
 * @param {number} timeMs
 */
export function dateText(timeMs) {
  return written(timeMs, 'date');
}

/**
 * Date and time in full, with the zone.
 * @param {number} timeMs
 */
export function fullTime(timeMs) {
  return `${written(timeMs, 'full')} (${zoneText(timeMs)})`;
}

/**
 * What the zone that is shown is called at that time: UTC, UTC−5, UTC+5:30.
 * @param {number} timeMs
 * @param {Zone} [zone]
 */
export function zoneText(timeMs, zone = chosen) {
  const minutes = zone === 'utc' ? 0 : -new Date(timeMs).getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const away = Math.abs(minutes);
  const rest = away % 60 === 0 ? '' : `:${String(away % 60).padStart(2, '0')}`;
  return `UTC${minutes < 0 ? MINUS : '+'}${Math.floor(away / 60)}${rest}`;
}

/**
 * Whether candles of so many seconds are dates.
 * @param {number} interval seconds
 */
export function isDate(interval) {
  return interval >= DAY_SECONDS;
}

/**
 * @param {number} interval seconds
 * @returns {Zone}
 */
function zoneOf(interval) {
  return isDate(interval) ? 'utc' : chosen;
}

/**
 * When a candle begins, or which date it is.
 * @param {number} seconds since the epoch
 * @param {number} interval seconds
 */
export function candleTime(seconds, interval) {
  return written(seconds * 1000, isDate(interval) ? 'date' : 'dayMinute', zoneOf(interval));
}

/**
 * What of a chart is not known.
 * @param {{ from: number, to: number }[]} spans seconds, ascending
 * @param {number} interval seconds
 */
export function missingText(spans, interval) {
  const [first] = spans;
  if (first === undefined) return '';
  const more = spans.length > 1 ? `, and ${spans.length - 1} more` : '';
  return `Not known: ${candleTime(first.from, interval)} to ${candleTime(first.to, interval)}${more}`;
}

/**
 * What stands below a mark of the chart's time scale.
 * @param {number} seconds since the epoch
 * @param {number} kind 0 year, 1 month, 2 day, 3 and 4 time
 * @param {number} interval seconds
 */
export function tickText(seconds, kind, interval) {
  const form = /** @type {const} */ (['year', 'month', 'day'])[kind] ?? 'minute';
  return written(seconds * 1000, form, zoneOf(interval));
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Milliseconds, and the weight of a mark where they begin: the chart library's numbers. */
const DIVISORS = [
  [12 * HOUR_MS, 33], [6 * HOUR_MS, 32], [3 * HOUR_MS, 31], [HOUR_MS, 30],
  [30 * MINUTE_MS, 22], [5 * MINUTE_MS, 21], [MINUTE_MS, 20], [1000, 10],
];
const YEAR = 70;
const MONTH = 60;
const DAY = 50;

/**
 * How much a time stands out on the scale: a year begins there, a month, a day, an hour, in the zone that is shown.
 * @param {number} seconds since the epoch
 * @param {number} before seconds of the candle before
 * @param {number} interval seconds
 */
export function weightOf(seconds, before, interval) {
  const zone = zoneOf(interval);
  const [now, then] = [wallClock(seconds, zone), wallClock(before, zone)];
  if (now.getUTCFullYear() !== then.getUTCFullYear()) return YEAR;
  if (now.getUTCMonth() !== then.getUTCMonth()) return MONTH;
  if (now.getUTCDate() !== then.getUTCDate()) return DAY;
  const found = DIVISORS.find(([divisor]) => Math.floor(now.getTime() / divisor) !== Math.floor(then.getTime() / divisor));
  return found?.[1] ?? 0;
}

/**
 * What a clock on the wall shows, as if it were UTC.
 * @param {number} seconds
 * @param {Zone} zone
 */
function wallClock(seconds, zone) {
  const time = new Date(seconds * 1000);
  return zone === 'utc' ? time : new Date(time.getTime() - time.getTimezoneOffset() * MINUTE_MS);
}
