/**
 * The live connection: it reconnects with growing, jittered pauses, and silence counts as disconnected.
 */

const HEARTBEATS_MISSED_MAX = 2.5;
const HEARTBEAT_DEFAULT_MS = 10_000;
const PAUSE_MS = { first: 500, most: 15_000 };
/** How long a handshake may take before it is tried again. */
const HANDSHAKE_MS_MAX = 8_000;
const CHECK_MS = 500;
/** The code with which the platform closes the streams of a session that has ended. */
const SESSION_ENDED = 4401;

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

  /** Where to connect; null: nowhere. @type {string | null} */
  #url = null;
  /** The type of the frame with which everything is there. */
  #first = 'state';

  /**
   * @param {{ onFrame: (frame: any) => void, onLink: (link: import('./store.js').Link) => void, onEnded?: () => void }} hooks
   *   onEnded: the platform has closed it for good; it connects again only when it is told where
   */
  constructor(hooks) {
    this.hooks = hooks;
  }

  start() {
    setInterval(() => this.#check(), CHECK_MS);
    addEventListener('offline', () => this.#drop());
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.#hurry());
  }

  /**
   * Connect there, and nowhere else from now on.
   * @param {string | null} url
   * @param {'state' | 'connection'} [first] the frame with which everything is there; who has no account gets no state
   */
  use(url, first = 'state') {
    this.#url = url;
    this.#first = first;
    const socket = this.#socket;
    this.#socket = this.#retryAt = null;
    this.#attempt = 0;
    socket?.close();
    if (url !== null) this.#connect(url);
  }

  /** Whether it has somewhere to connect. */
  get isUsed() {
    return this.#url !== null;
  }

  /** Ask for a snapshot. */
  resync() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type":"resync"}');
  }

  /** ms until the next attempt, or null while there is a connection or one is being made. */
  get retryInMs() {
    return this.#retryAt === null ? null : Math.max(0, this.#retryAt - Date.now());
  }

  /** @param {string} url */
  #connect(url) {
    this.#retryAt = null;
    this.#isReady = false;
    this.#openedAt = this.#heardAt = Date.now();
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      if (code !== SESSION_ENDED) return this.#lost();
      this.use(null);
      this.hooks.onLink('disconnected');
      this.hooks.onEnded?.();
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
    if (frame.type === this.#first && !this.#isReady) {
      this.#isReady = true;
      this.#attempt = 0;
      this.hooks.onFrame(frame);
      this.hooks.onLink('open');
      return;
    }
    this.hooks.onFrame(frame);
  }

  #check() {
    if (this.#url === null) return;
    const now = Date.now();
    if (this.#retryAt !== null) {
      if (now >= this.#retryAt) this.#connect(this.#url);
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
    if (this.#retryAt !== null && this.#url !== null) this.#connect(this.#url);
  }
}
