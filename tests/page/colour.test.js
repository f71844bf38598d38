import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { announcement } from '../../exness_streams/web/js/desk.js';
import { kindOf, moveCss, signedMoney, toneOf, toneOfSign } from '../../exness_streams/web/js/format.js';
import { histogramOf } from '../../exness_streams/web/js/histogram.js';

const d = Decimal.from;
const TONES = /** @type {[string, 'up' | 'down' | '', 'good' | 'loss' | 'plain'][]} */ ([
  ['1', 'up', 'good'], ['0.01', 'up', 'good'], ['0.006', 'up', 'good'], ['0.004', '', 'plain'], ['0', '', 'plain'], ['-0', '', 'plain'],
  ['-0.004', '', 'plain'], ['-0.006', 'down', 'loss'], ['-0.01', 'down', 'loss'], ['-1', 'down', 'loss'],
  ['1000000000.5', 'up', 'good'], ['-1000000000.5', 'down', 'loss'], ['0.00000001', '', 'plain'], ['-0.00000001', '', 'plain'],
]);

test('the colour follows the sign that is shown, and zero has none', () => {
  for (const [amount, tone, kind] of TONES) {
    assert.equal(toneOf(d(amount)), tone, amount);
    assert.equal(kindOf(d(amount)), kind, amount);
    const text = signedMoney(d(amount));
    assert.equal(toneOf(d(amount)), text.startsWith('+') ? 'up' : text.startsWith('\u2212') ? 'down' : '', text);
  }
  assert.deepEqual([-1, 0, 1].map(toneOfSign), ['down', '', 'up']);
});

test('a message about a close has the colour of its gain', () => {
  for (const [realizedPnL, , kind] of TONES) {
    const event = { type: 'PositionClosed', symbol: 'SOL_USDC', quantity: '1', closePrice: '150', realizedPnL, reason: 'manual' };
    assert.equal(announcement(event, null, () => 2)?.kind, kind, realizedPnL);
    const forced = announcement({ ...event, reason: 'stop_loss' }, null, () => 2)?.kind;
    assert.equal(forced, kind === 'loss' ? 'warn' : kind, realizedPnL);
    assert.equal(announcement({ ...event, reason: 'liquidation' }, null, () => 2)?.kind, 'bad');
  }
});

test('a bar of the histogram holds gains, or losses, or nothings, never two of them', () => {
  for (const largest of ['1', '100', '5000', '-100', '-0.02', '1000000000']) {
    for (const [amount, tone] of TONES) {
      const { bars, won, lost } = histogramOf([d(amount), d(largest)]);
      const only = histogramOf([d(amount)]);
      assert.deepEqual(only.bars.filter(({ count }) => count > 0).map((bar) => bar.tone), [tone], amount);
      const expected = [tone, toneOf(d(largest))];
      const found = bars.flatMap((bar) => Array.from({ length: bar.count }, () => bar.tone));
      assert.deepEqual(found.sort(), expected.sort(), `${amount} beside ${largest}`);
      assert.deepEqual([won, lost], [expected.filter((each) => each === 'up').length, expected.filter((each) => each === 'down').length]);
    }
  }
});

test('a price that turns while it flashes has no digits of one colour on the other', () => {
  for (const tone of /** @type {const} */ (['up', 'down', ''])) {
    for (const flashed of ['up', 'down', '']) {
      for (const isOdd of [true, false]) {
        const css = moveCss(tone, flashed, isOdd).split(' ');
        assert.equal(css.includes('up') && css.some((name) => name.startsWith('fell')), false);
        assert.equal(css.includes('down') && css.some((name) => name.startsWith('rose')), false);
        assert.equal(css.some((name) => /rose|fell/.test(name)), tone !== '' && tone === flashed);
      }
    }
  }
});

test('no other code decides the colour of a sign', () => {
  const web = new URL('../../exness_streams/web/js/', import.meta.url);
  const files = readdirSync(web, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  assert.ok(files.length > 30);
  for (const name of files.filter((each) => each !== 'format.js')) {
    const text = readFileSync(new URL(name, web), 'utf8');
    assert.doesNotMatch(text, /\?\s*'(up|down|good|loss)'|\?\s*(up|down)\s*:/, name);
    assert.doesNotMatch(text, /:\s*'(up|down|loss)'\s*[;)]/, name);
  }
});
