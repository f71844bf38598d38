import assert from 'node:assert/strict';
import { test } from 'node:test';

import { INTERVALS, grown, isInterval, joined, startOf } from '../../exness_streams/web/js/candles.js';
import { ChartBars, drawnBar, faint, firstView, volumeBar } from '../../exness_streams/web/js/chart-bars.js';
import { Decimal } from '../../exness_streams/web/js/decimal.js';
import { beyond } from '../../exness_streams/web/js/edge-marks.js';

const MONDAY = Date.UTC(2026, 10, 23) / 1000;

/** @param {number} time */
function bar(time, close = 5, volume = /** @type {number | null} */ (null)) {
  return { time, open: 5, high: Math.max(5, close), low: Math.min(5, close), close, volume };
}

/** @param {number} time */
function candle(time, close = '5', volume = /** @type {string | null} */ ('1'), complete = true) {
  return { time: String(time), open: '5', high: '6', low: '4', close, volume, complete };
}

/** A platform that has candles of these minutes. @param {number[]} times */
function platform(times) {
  const asked = /** @type {URLSearchParams[]} */ ([]);
  return {
    asked,
    times,
    /** Of those whose candle is a part. @type {Set<number>} */
    parts: new Set(),
    /** @type {{ from: number, to: number }[]} */
    missing: [],
    /** @type {Error | null} */
    fault: null,
    /** @type {Promise<void> | null} what its answers wait for */
    gate: null,
    /** @param {string} path */
    async get(path) {
      const query = new URLSearchParams(path.split('?')[1]);
      asked.push(query);
      await this.gate;
      if (this.fault !== null) throw this.fault;
      const before = Number(query.get('before') ?? Infinity);
      const found = this.times.filter((time) => time < before).slice(-Number(query.get('limit')));
      const missing = this.missing.filter(({ from, to }) => from > (found[0] ?? Infinity) && to <= (found.at(-1) ?? 0));
      return { candles: found.map((time) => candle(time, '5', '1', !this.parts.has(time))), missing };
    },
  };
}

const minutes = (/** @type {number} */ count) => Array.from({ length: count }, (_, index) => MONDAY + 60 * index);
const timesOf = (/** @type {ChartBars} */ bars) => bars.bars.map(({ time }) => time);

test('intervals begin at whole multiples, and weeks on Mondays, UTC', () => {
  for (const [name, length] of Object.entries(INTERVALS)) {
    assert.ok(isInterval(name));
    const start = startOf(MONDAY + 3 * 86_400 + 12_345, length);
    assert.equal(startOf(start, length), start);
    assert.equal(startOf(start - 1, length), start - length);
    assert.equal(name === '1w' ? new Date(start * 1000).getUTCDay() : (start % length) + 1, 1, name);
  }
  assert.ok(!isInterval('3m') && !isInterval('toString') && !isInterval(null));
});

test('a price grows its bar, begins the next, and never changes an older one', () => {
  const price = Decimal.from('7');
  assert.deepEqual(grown(bar(MONDAY, 5, 9), price, MONDAY * 1000 + 5, 604_800), { ...bar(MONDAY, 7, 9) });
  assert.deepEqual(grown(bar(MONDAY - 604_800), price, MONDAY * 1000, 604_800)?.time, MONDAY);
  assert.equal(grown(bar(MONDAY), price, MONDAY * 1000 - 1, 604_800), null);
});

test('what is told anew replaces what was known, and loses no price and no bar', () => {
  const known = [bar(60), bar(120, 9), bar(180, 2)];
  const told = [{ ...bar(120, 6), volume: 3 }];
  assert.deepEqual(joined(known, told), [bar(60), { ...bar(120, 6), high: 9, volume: 3 }, bar(180, 2)]);
  assert.deepEqual(joined([], told), told);
  assert.deepEqual(joined(known, []), known);
  // Between these some would be missing.
  assert.deepEqual(joined(known, [bar(600)]), [bar(600)]);
});

test('older bars are asked for where the oldest known one begins, once at a time, to the last', async () => {
  let now = 0;
  const api = platform(minutes(1_500));
  const bars = new ChartBars(api, () => now);
  assert.ok(bars.turnTo('SOL_USDC', '1m'));
  assert.ok(!(await bars.loadOlder()), 'of what?');
  assert.ok(await bars.load());
  assert.equal(bars.bars.length, 600);
  const [first, second] = await Promise.all([bars.loadOlder(), bars.loadOlder()]);
  assert.deepEqual([first, second], [true, false]);
  assert.equal(api.asked.at(-1)?.get('before'), String(minutes(1_500)[900]));
  assert.ok(await bars.loadOlder());
  assert.deepEqual(timesOf(bars), minutes(1_500));
  assert.ok(!(await bars.loadOlder()));
  const asked = api.asked.length;
  assert.ok(!(await bars.loadOlder()));
  assert.equal(api.asked.length, asked, 'there was nothing older a moment ago');
  now += 60_000;
  assert.ok(!(await bars.loadOlder()));
  assert.equal(api.asked.length, asked + 1, 'the platform may have read more by now');
});

test('an answer about another market or interval is not shown', async () => {
  for (const read of /** @type {const} */ (['load', 'loadOlder', 'renew'])) {
    const api = platform(minutes(900));
    const bars = new ChartBars(api);
    bars.turnTo('SOL_USDC', '1m');
    await bars.load();
    /** @type {() => void} */
    let open = () => {};
    api.gate = new Promise((resolve) => { open = () => resolve(); });
    const late = bars[read]();
    bars.turnTo('SOL_USDC', '1d');
    open();
    assert.equal(await late, false, read);
    assert.deepEqual(bars.bars, [], read);
    assert.equal(bars.isLoaded, false, read);
  }
});

test('older bars stay through a new connection, unless bars are missing behind them', async () => {
  const api = platform(minutes(1_100));
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await bars.load();
  await bars.loadOlder();
  api.times = minutes(1_110);
  await bars.load();
  assert.equal(bars.bars.length, 1_110);
  api.times = minutes(5_000);
  await bars.load();
  assert.deepEqual(timesOf(bars), minutes(5_000).slice(-600));
});

test('volumes are read again, and the newest bar stays', async () => {
  const api = platform(minutes(50));
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await bars.load();
  const next = MONDAY + 50 * 60;
  assert.equal(bars.grow({ price: Decimal.from('8'), bid: null, ask: null, timestamp: next * 1000 })?.volume, null);
  assert.ok(await bars.renew());
  assert.deepEqual(timesOf(bars), [...minutes(50), next]);
  api.times = minutes(5_000);
  assert.ok(!(await bars.renew()), 'it leaves no hole');
  assert.equal(bars.bars.length, 51);
});

test('a hole is told, and read again until the platform has filled it', async () => {
  const all = minutes(300);
  const api = platform([...all.slice(0, 100), ...all.slice(250)]);
  api.missing = [{ from: all[100], to: all[250] }];
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await bars.load();
  assert.deepEqual(bars.missing, api.missing);
  api.times = [...all.slice(0, 100), ...all.slice(180)];
  api.missing = [{ from: all[100], to: all[180] }];
  assert.ok(await bars.renew());
  assert.deepEqual(bars.missing, api.missing);
  assert.deepEqual(timesOf(bars), api.times);
  api.times = all;
  api.missing = [];
  assert.ok(await bars.renew());
  assert.deepEqual(bars.missing, []);
  assert.deepEqual(timesOf(bars), all);
  await bars.renew();
  assert.equal(api.asked.at(-1)?.get('limit'), '10', 'all is settled');
});

test('what lies before an answer stays missing as it was', async () => {
  const all = minutes(3_000);
  const api = platform([...all.slice(0, 900), ...all.slice(1_000)]);
  api.missing = [{ from: all[900], to: all[1_000] }];
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  for (await bars.load(); bars.bars.length < 2_900; ) await bars.loadOlder();
  assert.deepEqual(bars.missing, api.missing);
  await bars.renew();
  assert.equal(api.asked.at(-1)?.get('limit'), '1000', 'no more than the platform answers');
  assert.deepEqual(bars.missing, api.missing);
});

test('a bar that was a part of its time is told anew with the older ones', async () => {
  const all = minutes(20);
  const api = platform(all.slice(10));
  api.parts.add(all[10]);
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await bars.load();
  assert.equal(bars.bars[0].isComplete, false);
  api.times = all;
  api.parts.clear();
  assert.ok(await bars.loadOlder());
  assert.equal(api.asked.at(-1)?.get('before'), String(all[11]));
  assert.deepEqual(timesOf(bars), all);
  assert.ok(bars.bars.every(({ isComplete }) => isComplete));
});

test('a bar that was a part of its time is told anew with the newest', async () => {
  const all = minutes(50);
  const api = platform(all);
  api.parts.add(all[5]);
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await bars.load();
  api.parts.clear();
  await bars.renew();
  assert.ok(Number(api.asked.at(-1)?.get('limit')) >= 45);
  assert.ok(bars.bars.every(({ isComplete }) => isComplete));
});

test('without candles live prices draw all the same', async () => {
  const api = platform([]);
  api.fault = new Error('no answer');
  const bars = new ChartBars(api);
  bars.turnTo('SOL_USDC', '1m');
  await assert.rejects(bars.load(), /no answer/);
  assert.ok(bars.isLoaded);
});

test('at first the newest bar is at the right, however few there are', () => {
  for (const count of [1, 12, 40, 600]) {
    for (const width of [200, 390, 1440]) {
      const { from, to } = firstView(count, width);
      assert.ok(from < count - 1 && count - 1 < to);
      assert.ok((count - 1 - from) / (to - from) > 0.8);
    }
  }
});

test('a volume that is not known has no bar', () => {
  const colours = { up: 'green', down: 'red', '': 'grey' };
  assert.deepEqual(volumeBar(bar(60), colours), { time: 60 });
  assert.deepEqual(volumeBar(bar(60, 4, 2), colours), { time: 60, value: 2, color: 'red' });
  assert.deepEqual(volumeBar(bar(60, 6, 0), colours), { time: 60, value: 0, color: 'green' });
  const flat = { ...bar(60, 5, 3), open: 5, close: 5 };
  assert.deepEqual(volumeBar(flat, colours), { time: 60, value: 3, color: 'grey' });
  assert.deepEqual(drawnBar(flat, 'grey'), { ...flat, color: 'grey', wickColor: 'grey' });
  for (const moved of [bar(60, 4, 2), bar(60, 6, 2)]) assert.equal(drawnBar(moved, 'grey'), moved);
  assert.equal(faint('rgb(1, 2, 3)', 0.5), 'rgba(1, 2, 3, 0.5)');
});

test('a line beyond an edge is told there, the nearest first', () => {
  const lines = ['50', '99', '101', '140', '120'].map((price) => ({ price: Decimal.from(price) }));
  const told = beyond(lines, { low: 99, high: 101 });
  assert.deepEqual(told.above.map(({ price }) => String(price)), ['120', '140']);
  assert.deepEqual(told.below.map(({ price }) => String(price)), ['50']);
  assert.deepEqual(beyond(lines, null), { above: [], below: [] });
});
