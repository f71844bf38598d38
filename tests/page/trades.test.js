import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Api, ApiError } from '../../exness_streams/web/js/api.js';
import { tradesFile, tradesPage } from '../../exness_streams/web/js/trades.js';

const TRADE = { tradeId: 't', symbol: 'SOL_USDC', type: 'short', quantity: 0.1, leverage: 5, entryPrice: 150.1, closePrice: 149, realizedPnL: 0.11, fee: 0.02, reason: 'take_profit', openedAt: 1, closedAt: 2 };

/**
 * A platform that answers every request alike.
 * @param {string} answer
 */
function platform(answer, status = 200) {
  /** @type {{ url: URL, accept: string | null }[]} */
  const asked = [];
  globalThis.fetch = async (path, request) => {
    asked.push({ url: new URL(String(path), 'http://platform'), accept: new Headers(request?.headers).get('Accept') });
    return new Response(answer, { status });
  };
  return asked;
}

/** @type {[{ symbol: string, reason: string }, Record<string, string>][]} */
const FILTERS = [
  [{ symbol: '', reason: '' }, {}],
  [{ symbol: 'SOL_USDC', reason: '' }, { symbol: 'SOL_USDC' }],
  [{ symbol: '', reason: 'liquidation' }, { reason: 'liquidation' }],
  [{ symbol: 'kBONK_USDC', reason: 'stop_loss' }, { symbol: 'kBONK_USDC', reason: 'stop_loss' }],
];

for (const [filter, expected] of FILTERS) {
  test(`list and file are filtered alike: ${JSON.stringify(filter)}`, async () => {
    const asked = platform('{"trades":[],"nextCursor":null}');
    await tradesPage(new Api('me'), filter, null);
    await tradesPage(new Api('me'), filter, 'after-that');
    await tradesFile(new Api('me'), filter);
    for (const { url } of asked) assert.equal(url.pathname, '/api/v1/trades');
    const [first, second, file] = asked.map(({ url }) => Object.fromEntries(url.searchParams));
    assert.deepEqual(first, { ...expected, limit: '100' });
    assert.deepEqual(second, { ...expected, limit: '100', cursor: 'after-that' });
    assert.deepEqual(file, expected, 'a file has all of them, not a page');
    assert.equal(asked[2].accept, 'text/csv');
  });
}

test('a page has exact numbers, and says where it goes on', async () => {
  platform(JSON.stringify({ trades: [TRADE], nextCursor: 'c' }));
  const { trades, next } = await tradesPage(new Api(null), FILTERS[0][0], null);
  assert.equal(next, 'c');
  const [{ side, quantity, leverage, entryPrice, closePrice, realizedPnL, fee, openedAt, closedAt, ...rest }] = trades;
  assert.deepEqual([quantity, leverage, entryPrice, closePrice, realizedPnL, fee].map(String), ['0.1', '5', '150.1', '149', '0.11', '0.02']);
  assert.deepEqual({ side, openedAt, closedAt, ...rest }, { side: 'short', openedAt: 1, closedAt: 2, tradeId: 't', symbol: 'SOL_USDC', reason: 'take_profit' });
});

test('the last page goes on nowhere', async () => {
  for (const answer of ['{"trades":[],"nextCursor":null}', '{"trades":[]}']) {
    platform(answer);
    assert.equal((await tradesPage(new Api(null), FILTERS[0][0], 'c')).next, null);
  }
});

test('a refusal is no file', async () => {
  platform('{"error":"UNAUTHORIZED","message":"sign in"}', 401);
  await assert.rejects(tradesFile(new Api(null), FILTERS[0][0]), (fault) => fault instanceof ApiError && fault.code === 'UNAUTHORIZED');
});
