/**
 * The live connection: it reconnects with growing, jittered pauses, and silence counts as disconnected.
 */

const HEARTBEATS_MISSED_MAX = 2.5;
const HEARTBEAT_DEFAULT_MS = 10_000;
const PAUSE_MS = { first: 500, most: 15_000 };
/** How long a handshake may take before it is tried again. */
const HANDSHAKE_MS_MAX = 8_000;
const CHECK_MS = 500;

export class Socket {
  /** @type {WebSocket | null} */
  #socket = null;
  #heardAt = 0;
  #openedAt = 0;
  #heartbeatMs = HEARTBEAT_DEFAULT_MS;
  #attempt = 0;
  #isReady = false;
  /** When the next attempt is due, by this machine's clock; null while connected. @type {number | null} */
  #retryAt = null;

  /**
   * @param {string} url
   * @param {{ onFrame: (frame: any) => void, onLink: (link: import('./store.js').Link) => void }} hooks
   */
  constructor(url, hooks) {
    this.url = url;
    this.hooks = hooks;
  }

  start() {
    this.#connect();
    setInterval(() => this.#check(), CHECK_MS);
    addEventListener('offline', () => this.#drop());
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.#hurry());
  }

  /** Ask for a snapshot. */
  resync() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type":"resync"}');
  }

  /** ms until the next attempt, or null while there is a connection or one is being made. */
  get retryInMs() {
    return this.#retryAt === null ? null : Math.max(0, this.#retryAt - Date.now());
  }

  #connect() {
    this.#retryAt = null;
    this.#isReady = false;
    this.#openedAt = this.#heardAt = Date.now();
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#lost();
    };
  }

  /** @param {string} data */
  #take(data) {
    this.#heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.#drop(); // not our server: nothing it says can be trusted
    }
    if (frame.type === 'connection') this.#heartbeatMs = Number(frame.heartbeatMs) || HEARTBEAT_DEFAULT_MS;
    if (frame.type === 'state' && !this.#isReady) {
      this.#isReady = true;
      this.#attempt = 0;
      this.hooks.onFrame(frame);
      this.hooks.onLink('open');
      return;
    }
    this.hooks.onFrame(frame);
  }

  #check() {
    const now = Date.now();
    if (this.#retryAt !== null) {
      if (now >= this.#retryAt) this.#connect();
    } else if (this.#isReady) {
      if (now - this.#heardAt > this.#heartbeatMs * HEARTBEATS_MISSED_MAX) this.#drop();
    } else if (now - this.#openedAt > HANDSHAKE_MS_MAX) {
      this.#drop();
    }
  }

  /** Give the connection up without waiting for the other side to agree. */
  #drop() {
    const socket = this.#socket;
    if (socket === null) return;
    this.#lost();
    socket.close();
  }

  #lost() {
    this.#socket = null;
    this.#isReady = false;
    const pause = Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** this.#attempt);
    this.#attempt += 1;
    this.#retryAt = Date.now() + pause / 2 + (Math.random() * pause) / 2;
    this.hooks.onLink('disconnected');
  }

  /** Somebody looks at the page again, or the network is back: no reason to wait out the pause. */
  #hurry() {
    if (this.#retryAt !== null) this.#connect();
  }
}
