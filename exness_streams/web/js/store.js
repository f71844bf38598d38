/**
 * The one copy of what the page knows: an account by snapshot and events, the market by its newest quotes.
 *
 * A tick only replaces a quote and notes its symbol; panels render what changed once per frame.
 */

import { Decimal, ZERO } from './decimal.js';
import { OPEN, stateOf } from './market-states.js';
import { dayOf, marketOf, orderOf, positionOf, positionOfEvent, quoteOf, reduced } from './messages.js';
import { accountFigures, markPrice, profit } from './valuation.js';

/** @typedef {import('./messages.js').Position} Position */
/** @typedef {import('./messages.js').Order} Order */
/** @typedef {import('./messages.js').Market} Market */
/** @typedef {import('./messages.js').Quote} Quote */

/** @typedef {'quotes' | 'days' | 'states' | 'markets' | 'positions' | 'orders' | 'account' | 'closed' | 'link' | 'feed' | 'selection' | 'interval'} Topic */

/**
 * What changed since the last frame: per topic the keys (symbols, ids) that did.
 * @typedef {Map<Topic, Set<string>>} Changes
 */

/** @typedef {'connecting' | 'open' | 'disconnected'} Link */

/**
 * Running totals of the account, USD.
 * @typedef {{ accountId: string, balance: Decimal, realizedPnL: Decimal, fees: Decimal, deposited: Decimal,
 *   startingBalance: Decimal }} Totals
 */

/** Places of prices before tick size and quotes have said more, and the most that are shown. */
const PRICE_PLACES = { least: 2, most: 12 };

export class Store {
  /** @type {Map<string, Market>} */
  markets = new Map();
  /** @type {Map<string, Quote>} */
  quotes = new Map();
  /** The last 24 hours of a symbol. @type {Map<string, import('./messages.js').Day>} */
  days = new Map();
  /** What may be done in a market, as the stream or the list of markets told it. @type {Map<string, import('./market-states.js').MarketState>} */
  states = new Map();
  /** When the newest quote of a symbol came, by this machine's clock. @type {Map<string, number>} */
  heardAt = new Map();
  /** @type {Map<string, Position>} */
  positions = new Map();
  /** @type {Map<string, Order>} */
  orders = new Map();
  /** @type {Totals | null} null before the first snapshot */
  totals = null;
  sequence = 0;

  /** @type {Link} */
  link = 'connecting';
  /** What the feed's service says of itself. @type {{ status: string, reason: string }} */
  feed = { status: 'unknown', reason: '' };
  /** Where prices come from: backpack, simulated; null: the server has not said. @type {string | null} */
  source = null;
  /** When the link was lost, or last heard. @type {number | null} */
  lostAt = null;
  /** The server's clock minus this machine's, ms. */
  clockOffsetMs = 0;

  symbol = '';
  /** Of the chart. @type {import('./candles.js').Interval} */
  interval = '1m';
  /** @type {string | null} */
  selectedPosition = null;

  /** @type {Map<string, number>} */
  #places = new Map();
  /** @type {Map<string, Set<string>>} position ids by symbol */
  #bySymbol = new Map();
  /** @type {Changes} */
  #changes = new Map();
  /** @type {{ topics: Topic[], render: (changes: Changes) => void }[]} */
  #watchers = [];
  #isAwaitingSnapshot = true;
  /** Known until a position or order changes. @type {Decimal | null} */
  #usedMargin = null;

  /**
   * @param {import('./frames.js').Frames} frames
   * @param {{ onGap?: () => void, onEvent?: (event: any, before: Position | Order | null) => void,
   *   onSnapshot?: (before: Map<string, Position> | null) => void }} [hooks]
   */
  constructor(frames, hooks = {}) {
    this.frames = frames;
    this.hooks = hooks;
  }

  /**
   * Call `render` in each frame in which one of the topics changed.
   * @param {Topic[]} topics
   * @param {(changes: Changes) => void} render
   */
  watch(topics, render) {
    this.#watchers.push({ topics, render });
  }

  /**
   * @param {Topic} topic
   * @param {string} [key]
   */
  mark(topic, key = '') {
    let keys = this.#changes.get(topic);
    if (keys === undefined) this.#changes.set(topic, (keys = new Set()));
    keys.add(key);
    if (topic === 'positions' || topic === 'orders') this.#usedMargin = null;
    this.frames.request(this.#flush);
  }

  #flush = () => {
    const changes = this.#changes;
    this.#changes = new Map();
    for (const { topics, render } of this.#watchers) {
      if (!topics.some((topic) => changes.has(topic))) continue;
      try {
        render(changes);
      } catch (error) {
        reportError(error); // one panel that fails must not stop the others
      }
    }
  };

  /** @param {any} message the answer of /api/v1/markets */
  takeMarkets(message) {
    this.#takeSource(message.feed);
    for (const entry of message.markets) {
      const market = marketOf(entry);
      this.markets.set(market.symbol, market);
      if (market.tickSize !== null) this.#widen(market.symbol, market.tickSize);
      const quote = quoteOf(entry);
      // What the stream has told is newer.
      if (!this.states.has(market.symbol)) this.takeMarketState(entry);
      if (!this.days.has(market.symbol)) this.takeMarketDay(entry);
      const known = this.quotes.get(market.symbol);
      if (quote && (known === undefined || known.timestamp < quote.timestamp)) this.#takeQuote(market.symbol, quote);
    }
    if (this.symbol === '' || !this.markets.has(this.symbol)) this.select(message.markets[0]?.symbol ?? '');
    this.mark('markets');
  }

  /** @param {any} message market_day, or a MarketMessage */
  takeMarketDay(message) {
    this.days.set(message.symbol, dayOf(message));
    this.mark('days', message.symbol);
  }

  /** @param {any} message market_state, or a MarketMessage */
  takeMarketState(message) {
    this.states.set(message.symbol, stateOf(message));
    this.mark('states', message.symbol);
  }

  /** A stream begins: it tells of each market that is not open. */
  forgetStates() {
    for (const symbol of this.states.keys()) this.mark('states', symbol);
    this.states.clear();
  }

  /** @param {string} symbol */
  stateOf(symbol) {
    return this.states.get(symbol) ?? OPEN;
  }

  /** @param {any} frame market_data */
  takeMarketData(frame) {
    const quote = quoteOf(frame);
    if (quote) this.#takeQuote(frame.symbol, quote);
  }

  /**
   * @param {string} symbol
   * @param {Quote} quote
   */
  #takeQuote(symbol, quote) {
    this.quotes.set(symbol, quote);
    // A quote that was old when it came (the first one after connecting) counts as old.
    const age = Math.max(0, this.serverTimeMs - quote.timestamp);
    this.heardAt.set(symbol, Date.now() - age);
    for (const price of [quote.bid, quote.ask, quote.price]) if (price !== null) this.#widen(symbol, price);
    this.mark('quotes', symbol);
  }

  /**
   * @param {string} symbol
   * @param {Decimal} price
   */
  #widen(symbol, price) {
    const known = this.#places.get(symbol) ?? PRICE_PLACES.least;
    if (price.places > known) this.#places.set(symbol, Math.min(price.places, PRICE_PLACES.most));
  }

  /**
   * Decimal places of a symbol's prices.
   * @param {string} symbol
   */
  placesOf(symbol) {
    return this.#places.get(symbol) ?? PRICE_PLACES.least;
  }

  /** @param {any} message a state snapshot */
  takeSnapshot(message) {
    const before = this.totals === null ? null : this.positions;
    this.positions = new Map(message.positions.map((/** @type {any} */ m) => [m.positionId, positionOf(m)]));
    this.orders = new Map(message.orders.map((/** @type {any} */ m) => [m.orderId, orderOf(m)]));
    this.#bySymbol = new Map();
    for (const position of this.positions.values()) this.#index(position);
    const { account } = message;
    this.totals = {
      accountId: account.accountId,
      balance: Decimal.from(account.balance),
      realizedPnL: Decimal.from(account.realizedPnL),
      fees: Decimal.from(account.fees),
      deposited: Decimal.from(account.deposited),
      startingBalance: Decimal.from(account.startingBalance),
    };
    this.sequence = Number(message.sequence);
    this.#isAwaitingSnapshot = false;
    for (const topic of /** @type {Topic[]} */ (['positions', 'orders', 'account', 'closed'])) this.mark(topic);
    this.hooks.onSnapshot?.(before);
  }

  /** The page shows another account, or none: nothing of the one before may be seen, nor taken for the other's. */
  forgetAccount() {
    this.positions = new Map();
    this.orders = new Map();
    this.#bySymbol = new Map();
    this.totals = null;
    this.sequence = 0;
    this.selectedPosition = null;
    this.#isAwaitingSnapshot = true;
    for (const topic of /** @type {Topic[]} */ (['positions', 'orders', 'account', 'closed'])) this.mark(topic);
  }

  /** A snapshot is on its way: what comes before it is about a state that it replaces. */
  awaitSnapshot() {
    this.#isAwaitingSnapshot = true;
  }

  /**
   * Whether events up to `sequence` are here; asks for a snapshot when not.
   * @param {number} sequence
   */
  expect(sequence) {
    if (!this.#isAwaitingSnapshot && sequence > this.sequence) this.#gap();
  }

  #gap() {
    this.awaitSnapshot();
    this.hooks.onGap?.();
  }

  /** @param {any} event of the account */
  takeEvent(event) {
    const sequence = Number(event.sequence);
    if (this.#isAwaitingSnapshot || this.totals === null || sequence <= this.sequence) return;
    if (sequence !== this.sequence + 1) return this.#gap();
    this.sequence = sequence;
    const before = this.positions.get(event.positionId) ?? this.orders.get(event.orderId) ?? null;
    this.#apply(event, this.totals);
    this.totals.balance = Decimal.from(event.balance);
    this.mark('account');
    this.hooks.onEvent?.(event, before);
  }

  /**
   * @param {any} event
   * @param {Totals} totals
   */
  #apply(event, totals) {
    switch (event.type) {
      case 'PositionOpened':
        totals.fees = totals.fees.plus(Decimal.from(event.fee));
        return this.#setPosition(positionOfEvent(event));
      case 'PositionModified':
        return this.#setPosition(positionOfEvent(event));
      case 'PositionClosed':
        return this.#close(event, totals);
      case 'OrderPlaced':
        this.orders.set(event.orderId, orderOf(event));
        return this.mark('orders', event.orderId);
      case 'OrderFilled':
      case 'OrderCancelled':
      case 'OrderExpired':
        this.orders.delete(event.orderId);
        return this.mark('orders', event.orderId);
      case 'Deposited':
        totals.deposited = totals.deposited.plus(Decimal.from(event.amount));
        return;
      case 'AccountReset':
        return this.#reset(Decimal.from(event.balance), totals);
      default:
        this.#gap(); // an event of a newer server: its snapshot says what became of it
    }
  }

  /**
   * @param {any} event PositionClosed
   * @param {Totals} totals
   */
  #close(event, totals) {
    totals.realizedPnL = totals.realizedPnL.plus(Decimal.from(event.realizedPnL));
    totals.fees = totals.fees.plus(Decimal.from(event.fee));
    const position = this.positions.get(event.positionId);
    if (position !== undefined && event.remaining) {
      this.#setPosition(reduced(position, event.remaining));
    } else {
      this.positions.delete(event.positionId);
      this.#bySymbol.get(event.symbol)?.delete(event.positionId);
      this.mark('positions', event.positionId);
    }
    this.mark('closed', event.positionId);
  }

  /**
   * @param {Decimal} balance
   * @param {Totals} totals
   */
  #reset(balance, totals) {
    this.positions = new Map();
    this.orders = new Map();
    this.#bySymbol = new Map();
    Object.assign(totals, { startingBalance: balance, realizedPnL: ZERO, fees: ZERO, deposited: ZERO });
    for (const topic of /** @type {Topic[]} */ (['positions', 'orders', 'closed'])) this.mark(topic);
  }

  /** @param {Position} position */
  #setPosition(position) {
    this.positions.set(position.positionId, position);
    this.#index(position);
    this.mark('positions', position.positionId);
  }

  /** @param {Position} position */
  #index({ symbol, positionId }) {
    const ids = this.#bySymbol.get(symbol);
    if (ids === undefined) this.#bySymbol.set(symbol, new Set([positionId]));
    else ids.add(positionId);
  }

  /**
   * @param {string} symbol
   * @returns {Position[]} oldest first
   */
  positionsOf(symbol) {
    const ids = this.#bySymbol.get(symbol) ?? [];
    return [...ids].flatMap((id) => this.positions.get(id) ?? []);
  }

  /** @param {Position} position */
  markOf(position) {
    const quote = this.quotes.get(position.symbol);
    return quote === undefined ? null : markPrice(quote, position.side);
  }

  /** @param {Position} position */
  profitOf(position) {
    const mark = this.markOf(position);
    return mark === null ? ZERO : profit(position, mark);
  }

  /** USD held by positions and pending orders. */
  get usedMargin() {
    if (this.#usedMargin !== null) return this.#usedMargin;
    let used = ZERO;
    for (const position of this.positions.values()) used = used.plus(position.margin);
    for (const order of this.orders.values()) used = used.plus(order.held);
    return (this.#usedMargin = used);
  }

  /** USD free to trade: the balance without what is held. null before the first snapshot. */
  get freeCash() {
    return this.totals === null ? null : this.totals.balance.minus(this.usedMargin);
  }

  /** The account at the newest quotes, or null before the first snapshot. */
  get figures() {
    if (this.totals === null) return null;
    let unrealizedPnL = ZERO;
    for (const position of this.positions.values()) unrealizedPnL = unrealizedPnL.plus(this.profitOf(position));
    return accountFigures({ balance: this.totals.balance, usedMargin: this.usedMargin, unrealizedPnL });
  }

  /** The server's clock, ms since the epoch. */
  get serverTimeMs() {
    return Date.now() + this.clockOffsetMs;
  }

  /** @param {any} frame heartbeat */
  takeHeartbeat(frame) {
    this.clockOffsetMs = Number(frame.timestamp) - Date.now();
    this.expect(Number(frame.sequence));
  }

  /** @param {Link} link */
  setLink(link) {
    if (link === this.link) return;
    if (link !== 'open' && this.link === 'open') this.lostAt = Date.now();
    this.link = link;
    this.mark('link');
  }

  /** @param {{ status: string, reason?: string, source?: string }} feed */
  setFeed(feed) {
    this.#takeSource(feed);
    this.feed = { status: feed.status, reason: feed.reason ?? '' };
    this.mark('feed');
  }

  /**
   * A message that says nothing of the source, or that it is not known yet, changes nothing.
   * @param {{ source?: unknown } | null | undefined} feed
   */
  #takeSource(feed) {
    if (typeof feed?.source !== 'string' || feed.source === 'unknown' || feed.source === this.source) return;
    this.source = feed.source;
    this.mark('feed');
  }

  /** Age of the newest quote of any symbol, ms; null before the first. */
  get newestQuoteAgeMs() {
    let newest = -Infinity;
    for (const time of this.heardAt.values()) newest = Math.max(newest, time);
    return newest === -Infinity ? null : Date.now() - newest;
  }

  /**
   * @param {string} symbol
   * @returns {number | null} ms
   */
  quoteAgeMs(symbol) {
    const heardAt = this.heardAt.get(symbol);
    return heardAt === undefined ? null : Date.now() - heardAt;
  }

  /** @param {import('./candles.js').Interval} interval of the chart */
  chooseInterval(interval) {
    if (interval === this.interval) return;
    this.interval = interval;
    this.mark('interval');
  }

  /**
   * @param {string} symbol
   * @param {string | null} [positionId]
   */
  select(symbol, positionId = null) {
    if (symbol === this.symbol && positionId === this.selectedPosition) return;
    this.symbol = symbol;
    this.selectedPosition = positionId;
    this.mark('selection');
  }
}
