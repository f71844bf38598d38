import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { afterEach, test } from 'node:test';

import { INTERVALS } from '../../exness_streams/web/js/candles.js';
import { fillWeights } from '../../exness_streams/web/js/time-scale.js';
import { candleTime, clockTime, dateText, dayTime, fullTime, tickText, usedZone, useTimes, weightOf, zoneText } from '../../exness_streams/web/js/time-text.js';

const WEB = new URL('../../exness_streams/web/js/', import.meta.url);
const ZONES = ['America/New_York', 'UTC', 'Asia/Kolkata', 'Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Australia/Lord_Howe'];
const LOCALES = ['en-US', 'en-GB', 'de-DE', 'fr-FR', 'hi-IN', 'ar-EG', 'fa-IR', 'th-TH', 'ja-JP'];
const DAY = 86_400;
const home = process.env.TZ;
const [YEAR, MONTH, DAY_KIND, CLOCK] = [0, 1, 2, 3];

/** @param {string} zone */
function live(zone) {
  process.env.TZ = zone;
}

afterEach(() => {
  if (home === undefined) delete process.env.TZ;
  else process.env.TZ = home;
  useTimes('en-US', 'local');
});

/** @param {string} text such as 2026-11-01T00:00Z */
const at = (text) => Date.parse(text) / 1000;

/** Narrow spaces are as good as others. @param {string} text */
const plain = (text) => text.replace(/[\u202f\u00a0]/g, ' ');

test('a daily or weekly candle is its UTC date, in every zone and place', () => {
  const dates = ['2026-11-01', '2026-01-01', '2025-12-31', '2024-02-29', '2026-03-08', '2026-03-29', '2026-10-25', '2011-12-30'];
  for (const zone of ZONES) {
    live(zone);
    for (const locale of LOCALES) {
      for (const choice of /** @type {const} */ (['local', 'utc'])) {
        useTimes(locale, choice);
        for (const date of dates) {
          const seconds = at(`${date}T00:00Z`);
          const say = (/** @type {Intl.DateTimeFormatOptions} */ options) =>
            new Intl.DateTimeFormat(locale, { ...options, calendar: 'gregory', timeZone: 'UTC' }).format(seconds * 1000);
          for (const interval of [DAY, 7 * DAY]) {
            assert.equal(candleTime(seconds, interval), say({ dateStyle: 'medium' }), `${zone} ${locale} ${date}`);
            assert.equal(tickText(seconds, YEAR, interval), say({ year: 'numeric' }));
            assert.equal(tickText(seconds, MONTH, interval), say({ month: 'short' }));
            assert.equal(tickText(seconds, DAY_KIND, interval), say({ day: 'numeric', month: 'short' }));
          }
        }
      }
    }
  }
});

test('the daily bar of 1 November is of November, west of Greenwich too', () => {
  live('America/New_York');
  useTimes('en-US', 'local');
  assert.equal(tickText(at('2026-11-01T00:00Z'), MONTH, DAY), 'Nov');
  assert.equal(tickText(at('2026-11-01T00:00Z'), DAY_KIND, DAY), 'Nov 1');
  assert.equal(candleTime(at('2026-11-01T00:00Z'), DAY), 'Nov 1, 2026');
});

test('a candle within a day has the clock of the zone that is shown', () => {
  const seconds = at('2026-11-28T20:45Z');
  for (const [zone, choice, clock, day] of /** @type {[string, 'local' | 'utc', string, string][]} */ ([
    ['America/New_York', 'local', '15:45', '28 Nov'], ['America/New_York', 'utc', '20:45', '28 Nov'],
    ['UTC', 'local', '20:45', '28 Nov'], ['Asia/Kolkata', 'local', '02:15', '29 Nov'], ['Asia/Kolkata', 'utc', '20:45', '28 Nov'],
  ])) {
    live(zone);
    useTimes('en-GB', choice);
    assert.equal(usedZone(), choice);
    for (const interval of [60, 300, 900, 1800, 3600, 14_400]) {
      assert.equal(tickText(seconds, CLOCK, interval), clock);
      assert.equal(tickText(seconds, DAY_KIND, interval), day);
      assert.equal(candleTime(seconds, interval), `${day}, ${clock}`);
    }
    assert.equal(clockTime(seconds * 1000), `${clock}:00`);
    assert.equal(dayTime(seconds * 1000), `${day}, ${clock}:00`);
    assert.equal(dateText(seconds * 1000), `${day} 2026`);
  }
});

test('the zone has a name, summer and winter', () => {
  for (const [zone, winter, summer] of [
    ['America/New_York', 'UTC\u22125', 'UTC\u22124'], ['UTC', 'UTC', 'UTC'], ['Asia/Kolkata', 'UTC+5:30', 'UTC+5:30'],
    ['Europe/London', 'UTC', 'UTC+1'], ['America/St_Johns', 'UTC\u22123:30', 'UTC\u22122:30'], ['Pacific/Kiritimati', 'UTC+14', 'UTC+14'],
  ]) {
    live(zone);
    useTimes('en-US', 'local');
    assert.equal(zoneText(Date.parse('2026-01-15T12:00Z')), winter, zone);
    assert.equal(zoneText(Date.parse('2026-07-15T12:00Z')), summer, zone);
    assert.equal(zoneText(Date.parse('2026-07-15T12:00Z'), 'utc'), 'UTC');
    assert.ok(fullTime(Date.parse('2026-07-15T12:00Z')).endsWith(`(${summer})`));
  }
});

test('dates and times are written as in the place', () => {
  live('UTC');
  const time = Date.parse('2026-11-03T14:05:09Z');
  for (const [locale, full, day] of [
    ['en-US', 'Nov 3, 2026, 2:05:09 PM (UTC)', 'Nov 03, 02:05:09 PM'],
    ['de-DE', '03.11.2026, 14:05:09 (UTC)', '03. Nov., 14:05:09'],
    ['fr-FR', '3 nov. 2026, 14:05:09 (UTC)', '03 nov., 14:05:09'],
  ]) {
    useTimes(locale, 'local');
    assert.equal(plain(fullTime(time)), full);
    assert.equal(plain(dayTime(time)), day);
  }
});

test('marks stand where a day, a month, a year begins in the zone that is shown', () => {
  for (const zone of ZONES) {
    live(zone);
    useTimes('en-US', 'local');
    // Two months of half hours, over the ends of summer time.
    const first = at('2026-09-28T00:00Z');
    const points = Array.from({ length: 80 * 48 }, (_, index) => ({ originalTime: first + index * 1800, timeWeight: -1 }));
    fillWeights(points, 0, 1800);
    for (const [index, { originalTime, timeWeight }] of points.entries()) {
      const now = new Date(originalTime * 1000);
      const before = new Date((originalTime - 1800) * 1000);
      const began = now.getMonth() !== before.getMonth() ? 60 : now.getDate() !== before.getDate() ? 50 : 0;
      assert.equal(timeWeight >= 50 ? timeWeight : 0, began, `${zone} ${index} ${now.toISOString()}`);
    }
    // Only the newest ones, as when a candle is added: the same.
    const again = points.map((point) => ({ ...point }));
    for (const point of again.slice(500)) point.timeWeight = -1;
    fillWeights(again, 500, 1800);
    assert.deepEqual(again, points);
  }
});

test('days and weeks are marked by UTC dates in every zone', () => {
  for (const zone of ZONES) {
    live(zone);
    for (const interval of [DAY, 7 * DAY]) {
      assert.equal(weightOf(at('2027-01-01T00:00Z'), at('2026-12-31T00:00Z'), interval), 70);
      assert.equal(weightOf(at('2026-11-01T00:00Z'), at('2026-10-31T00:00Z'), interval), 60);
      assert.equal(weightOf(at('2026-11-02T00:00Z'), at('2026-11-01T00:00Z'), interval), 50);
    }
  }
});

test('hours and minutes have the weights that the library gives them', () => {
  live('UTC');
  useTimes('en-US', 'local');
  for (const [time, weight] of /** @type {[string, number][]} */ ([['12:00', 33], ['06:00', 32], ['03:00', 31], ['01:00', 30], ['01:30', 22], ['01:35', 21], ['01:36', 20]])) {
    const seconds = at(`2026-11-28T${time}Z`);
    assert.equal(weightOf(seconds, seconds - 60, 60), weight, time);
  }
});

test('no place is written into the page', () => {
  const files = readdirSync(WEB, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  assert.ok(files.length > 30);
  for (const name of files) {
    const text = readFileSync(new URL(name, WEB), 'utf8');
    assert.doesNotMatch(text, /toLocale\w*\(|en-GB/, name);
    if (!/(time|number)-text\.js$/.test(name)) assert.doesNotMatch(text, /Intl\./, name);
    // As a place to start from, before the browser has named its own.
    if (!/(time-text|number-text|format)\.js$/.test(name)) assert.doesNotMatch(text, /'[a-z]{2}-[A-Z]{2}'/, name);
  }
  assert.ok(Object.keys(INTERVALS).length > 5);
});
