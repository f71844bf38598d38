import assert from 'node:assert/strict';
import { test } from 'node:test';

import { intervalOf, marketNamed, withView } from '../../exness_streams/web/js/address.js';
import { nextTheme } from '../../exness_streams/web/js/theme-choice.js';

const ON_OFFER = ['BTC_USDC', 'SOL_USDC', 'SOL_USDC_PERP', 'AAPL.US_USDC_PERP'];

test('a market is named by its symbol or its base', () => {
  for (const [text, symbol] of [
    ['SOL_USDC_PERP', 'SOL_USDC_PERP'], ['sol_usdc_perp', 'SOL_USDC_PERP'], ['SOL', 'SOL_USDC'], ['aapl.us', 'AAPL.US_USDC_PERP'],
    ['DOGE', null], ['', null], ['SOL_', null], ['<b>', null],
  ]) {
    assert.equal(marketNamed(/** @type {string} */ (text), ON_OFFER), symbol, String(text));
  }
});

test('an interval that there is not is said, and is none', () => {
  assert.deepEqual(intervalOf('?account=a'), { interval: null, fault: null });
  assert.deepEqual(intervalOf('?interval=1w'), { interval: '1w', fault: null });
  for (const asked of ['3m', '', '1M', 'constructor']) {
    const { interval, fault } = intervalOf(`?interval=${asked}`);
    assert.equal(interval, null);
    assert.match(fault ?? '', /1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w/);
  }
  assert.ok((intervalOf(`?interval=${'x'.repeat(5_000)}`).fault ?? '').length < 150);
});

test('an address keeps what else is in it', () => {
  assert.equal(withView('?account=demo&symbol=A_B', 'SOL_USDC', '1h'), '?account=demo&symbol=SOL_USDC&interval=1h');
  assert.equal(withView('', '', '1m'), '?interval=1m');
  const again = withView('?account=demo', 'AAPL.US_USDC_PERP', '1w');
  assert.equal(withView(again, 'AAPL.US_USDC_PERP', '1w'), again);
});

test('the first click on the colours changes them, and three are a round', () => {
  for (const isDark of [true, false]) {
    const first = nextTheme('system', isDark);
    assert.equal(first, isDark ? 'light' : 'dark');
    const second = nextTheme(first, isDark);
    assert.equal(second, isDark ? 'dark' : 'light');
    assert.equal(nextTheme(second, isDark), 'system');
  }
});
