import assert from 'node:assert/strict';
import { test } from 'node:test';

import { changeOf, dayTexts } from '../../exness_streams/web/js/day-figures.js';
import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { compact, useLocale } from '../../exness_streams/web/js/format.js';
import { dayOf } from '../../exness_streams/web/js/messages.js';

const d = (/** @type {string} */ text) => Decimal.from(text);
const FRAME = { type: 'market_day', symbol: 'BTC_USDC', open24h: '85486.3', high24h: '86812.4', low24h: '85075.4', volume24h: '1801.83549', quoteVolume24h: '154927125.41812' };

test('the change is since the first trade of the 24 hours', () => {
  const change = changeOf(dayOf(FRAME), d('86625'));
  assert.equal(change?.amount.toString(), '1138.7');
  assert.equal(change?.percent.toFixed(2), '1.33');
  for (const [price, tone, text] of [['86625', 'up', '+1.33%'], ['84000', 'down', '\u22121.74%'], ['85486.3', '', '0.00%'], ['85486.4', '', '0.00%']]) {
    const texts = dayTexts(dayOf(FRAME), d(price), 1);
    assert.deepEqual([texts.tone, texts.change], [tone, text]);
  }
});

test('what is not told is not made up', () => {
  const nothing = { change: '–', tone: '', high: '–', low: '–', volume: '–', quoteVolume: '–' };
  assert.deepEqual(dayTexts(undefined, d('5'), 2), nothing);
  assert.deepEqual(dayTexts(dayOf({ symbol: 'A_USDC' }), d('5'), 2), nothing);
  assert.equal(changeOf(dayOf({ ...FRAME, open24h: '0' }), d('5')), null);
  assert.equal(changeOf(dayOf(FRAME), undefined), null);
});

test('the last trade is one of the 24 hours', () => {
  assert.equal(dayTexts(dayOf(FRAME), d('90000'), 1).high, '90,000.0');
  assert.equal(dayTexts(dayOf(FRAME), d('80000'), 1).low, '80,000.0');
  assert.equal(dayTexts(dayOf(FRAME), d('86000'), 1).high, '86,812.4');
});

test('volumes are short, in the words of the place', () => {
  assert.equal(compact(d('1801.83549')), '1.802K');
  assert.equal(compact(d('154927125.4')), '154.9M');
  assert.equal(compact(d('0')), '0');
  useLocale('de-DE');
  assert.equal(compact(d('154927125.4')).replace(/\s/, ' '), '154,9 Mio.');
  useLocale('en-US');
  assert.equal(compact(null), '–');
});

test('a market of the list has its day in the same form', () => {
  const { volume24h: volume, ...rest } = FRAME;
  assert.deepEqual(dayOf({ ...rest, volume }), dayOf(FRAME));
});
