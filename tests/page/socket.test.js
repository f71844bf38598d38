import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Socket } from '../../exness_streams/web/js/socket.js';

/** @type {FakeSocket[]} */
let opened = [];

class FakeSocket {
  static OPEN = 1;
  readyState = FakeSocket.OPEN;
  isClosed = false;
  /** @type {any} */
  onmessage;
  /** @type {any} */
  onclose;

  /** @param {string} url */
  constructor(url) {
    this.url = url;
    opened.push(this);
  }

  close() {
    this.isClosed = true;
  }
}

Object.assign(globalThis, { WebSocket: FakeSocket, addEventListener: () => {}, document: { addEventListener: () => {}, hidden: false } });
beforeEach(() => (opened = []));

/** @param {import('node:test').TestContext} context */
function setUp(context) {
  context.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 });
  /** @type {string[]} */
  const heard = [];
  const socket = new Socket({ onFrame: (frame) => heard.push(frame.type), onLink: (link) => heard.push(link), onEnded: () => heard.push('ended') });
  socket.start();
  return { socket, heard };
}

const state = { data: '{"type":"state"}' };

test('it connects when it is told where', (context) => {
  const { socket, heard } = setUp(context);
  context.mock.timers.tick(60_000);
  assert.equal(opened.length, 0);
  socket.use('ws://a');
  opened[0].onmessage(state);
  assert.deepEqual([opened[0].url, ...heard], ['ws://a', 'state', 'open']);
});

test('who has no account gets no state, and is connected without', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a', 'connection');
  opened[0].onmessage({ data: '{"type":"connection","heartbeatMs":1000}' });
  opened[0].onmessage({ data: '{"type":"market_data"}' });
  assert.deepEqual(heard, ['connection', 'open', 'market_data']);
  context.mock.timers.tick(5_000);
  assert.equal(heard.at(-1), 'disconnected', 'silence counts');
});

/** @type {[string, 'state' | 'connection', string[]][]} */
const OPENINGS = [
  ['an account', 'state', ['{"type":"connection","heartbeatMs":4000}', '{"type":"state"}']],
  ['nobody', 'connection', ['{"type":"connection","heartbeatMs":4000}']],
];
for (const [whose, first, frames] of OPENINGS) {
  test(`a stream of ${whose} that says nothing for two and a half heartbeats is given up, and made again`, (context) => {
    const { socket, heard } = setUp(context);
    socket.use('ws://a', first);
    for (const data of frames) opened[0].onmessage({ data });
    for (let beat = 0; beat < 10; beat += 1) {
      context.mock.timers.tick(9_500);
      opened[0].onmessage({ data: '{"type":"heartbeat"}' });
    }
    assert.ok(!heard.includes('disconnected'), 'late heartbeats are heartbeats');
    context.mock.timers.tick(10_000);
    assert.ok(!heard.includes('disconnected'));
    context.mock.timers.tick(500);
    assert.equal(heard.at(-1), 'disconnected');
    assert.ok(opened[0].isClosed);
    opened[0].onmessage({ data: '{"type":"late"}' });
    assert.equal(heard.at(-1), 'disconnected', 'what the given up one says is not heard');
    assert.notEqual(socket.retryInMs, null);
    context.mock.timers.tick(1_000);
    assert.equal(opened.length, 2);
    assert.equal(socket.retryInMs, null);
  });
}

test('without a word about heartbeats, they are expected every ten seconds', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a');
  opened[0].onmessage(state);
  context.mock.timers.tick(25_000);
  assert.equal(heard.at(-1), 'open');
  context.mock.timers.tick(500);
  assert.equal(heard.at(-1), 'disconnected');
});

test('a handshake that does not end is tried again', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a');
  context.mock.timers.tick(8_000);
  assert.deepEqual([heard, opened.length], [[], 1]);
  context.mock.timers.tick(500);
  assert.deepEqual(heard, ['disconnected']);
  assert.ok(opened[0].isClosed);
  context.mock.timers.tick(1_000);
  assert.equal(opened.length, 2);
});

test('a stream of something that is no platform is given up', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a');
  opened[0].onmessage(state);
  opened[0].onmessage({ data: '<html>' });
  assert.equal(heard.at(-1), 'disconnected');
  assert.ok(opened[0].isClosed);
});

test('a session that has ended is not connected again and again', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a');
  opened[0].onmessage(state);
  opened[0].onclose({ code: 4401 });
  context.mock.timers.tick(600_000);
  assert.equal(opened.length, 1);
  assert.deepEqual(heard.slice(2), ['disconnected', 'ended']);
  assert.equal(socket.isUsed, false);
  assert.equal(socket.retryInMs, null);
});

for (const code of [1000, 1006, 1012, 1013]) {
  test(`a stream that breaks (${code}) is connected again, with growing pauses`, (context) => {
    const { socket, heard } = setUp(context);
    socket.use('ws://a');
    opened[0].onclose({ code });
    context.mock.timers.tick(1_000);
    assert.equal(opened.length, 2);
    for (let turn = 0; turn < 200; turn += 1) {
      opened.at(-1)?.onclose({ code });
      context.mock.timers.tick(500);
    }
    assert.ok(opened.length < 25, `${opened.length} in 100 s`);
    assert.ok(!heard.includes('ended'));
  });
}

test('of another account nothing is heard of the one before', (context) => {
  const { socket, heard } = setUp(context);
  socket.use('ws://a');
  socket.use('ws://b');
  assert.ok(opened[0].isClosed);
  opened[0].onmessage(state);
  opened[0].onclose({ code: 1006 });
  opened[0].onclose({ code: 4401 });
  assert.deepEqual(heard, []);
  opened[1].onmessage(state);
  assert.deepEqual(heard, ['state', 'open']);
  socket.use(null);
  context.mock.timers.tick(60_000);
  assert.equal(opened.length, 2);
});

test('after a connection that worked the pauses begin anew', (context) => {
  const { socket } = setUp(context);
  socket.use('ws://a');
  for (let turn = 0; turn < 8; turn += 1) {
    opened.at(-1)?.onclose({ code: 1006 });
    context.mock.timers.tick(16_000);
  }
  opened.at(-1)?.onmessage(state);
  opened.at(-1)?.onclose({ code: 1006 });
  assert.ok((socket.retryInMs ?? Infinity) <= 500, `${socket.retryInMs} ms`);
});
