/**
 * The order ticket: what an order would mean while it is being written, then one submit with one key.
 */

import { ApiError } from '../api.js';
import { Decimal, ONE, ZERO } from '../decimal.js';
import { sentence } from '../desk.js';
import { byId, find, make, refocus, setFieldError, setText } from '../dom.js';
import { exposureOf } from '../exposure.js';
import { readInput, showRead, writeInput } from '../number-input.js';
import { counted, exact, fixed, money, NOTHING, percent, priceText, signedMoney, splitSymbol, toneOf } from '../format.js';
import { marginOfShare, orderRequest } from '../order-request.js';
import { faultsOf, perUsd, profitAt, quotationOf } from '../quotation.js';

/** @typedef {import('../quotation.js').Draft} Draft */
/** @typedef {import('../quotation.js').Field} Field */

/** @type {readonly Field[]} */
const FIELDS = ['price', 'margin', 'leverage', 'stopLoss', 'takeProfit', 'slippage'];
const SLIDER_STEPS = 100;
const OLD_CHECK_MS = 1000;

export class OrderTicket extends HTMLElement {
  /** @type {import('../app.js').App} */
  #app;
  #isInFlight = false;
  /** Fields that were touched: only of these is said what is wrong, before the first submit. @type {Set<Field>} */
  #touched = new Set();
  /** What the platform refused, until the field is changed. @type {Map<string, string>} */
  #refused = new Map();

  /** @param {import('../app.js').App} app */
  start(app) {
    this.#app = app;
    this.form = byId('ticket-form', HTMLFormElement);
    this.submitButton = byId('ticket-submit', HTMLButtonElement);
    this.slider = byId('leverage-slider', HTMLInputElement);
    this.form.addEventListener('input', (event) => this.#changed(event.target));
    this.form.addEventListener('change', (event) => showRead(event.target));
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.addEventListener('click', (event) => this.#share(event.target));
    const market = byId('ticket-market', HTMLSelectElement);
    market.addEventListener('change', () => app.store.select(market.value));
    app.store.watch(['markets'], () => this.#markets());
    app.store.watch(['positions', 'selection'], () => this.#held());
    const { store } = app;
    store.watch(['quotes'], (changes) => {
      if (changes.get('quotes')?.has(store.symbol)) this.#show();
    });
    store.watch(['markets', 'states', 'account', 'orders', 'positions', 'link', 'feed'], () => this.#show());
    store.watch(['selection'], () => this.#switch());
    app.identity.watch(() => this.#show());
    setInterval(() => app.frames.request(this.#show), OLD_CHECK_MS); // a quote grows old without a message
    this.#switch();
  }

  /**
   * @param {Field | 'expires'} name
   * @returns {HTMLInputElement}
   */
  #input(name) {
    return byId(name, HTMLInputElement);
  }

  #switch() {
    const { symbol } = this.#app.store;
    for (const name of /** @type {const} */ (['price', 'stopLoss', 'takeProfit'])) {
      this.#input(name).value = '';
      this.#touched.delete(name);
    }
    this.#refused.clear();
    setText(find(this, '[data-testid="ticket-symbol"]', HTMLElement), splitSymbol(symbol).base);
    setText(find(this, '.quote-unit', HTMLElement), splitSymbol(symbol).quote);
    byId('ticket-market', HTMLSelectElement).value = symbol;
    this.#say('');
    this.#show();
    this.#slide();
  }

  /** On a phone the market list is another view: the ticket can change the market itself. */
  #markets() {
    const { store } = this.#app;
    const select = byId('ticket-market', HTMLSelectElement);
    const known = new Set([...select.options].map((option) => option.value));
    for (const symbol of store.markets.keys()) {
      if (!known.has(symbol)) select.append(make('option', { value: symbol }, symbol.replaceAll('_', ' ')));
    }
    select.value = store.symbol;
  }

  /** What is held in this market already. */
  #held() {
    const { store } = this.#app;
    const { long, short, leverage, share } = exposureOf(store.positionsOf(store.symbol), store.positions.values());
    byId('ticket-held', HTMLElement).hidden = long + short === 0;
    this.#set('held-counts', `${counted(long)} long, ${counted(short)} short`);
    this.#set('held-leverage', leverage === null ? NOTHING : `${fixed(leverage, 2)}\u00d7`);
    this.#set('held-share', percent(share));
  }

  /** @returns {Draft} */
  #draft() {
    const chosen = (/** @type {string} */ name) => {
      const radios = this.form?.elements.namedItem(name);
      return radios instanceof RadioNodeList ? radios.value : '';
    };
    const typed = (/** @type {Field} */ name) => readInput(this.#input(name)).value;
    const optional = (/** @type {Field} */ name) => (this.#input(name).value.trim() === '' ? undefined : typed(name));
    return {
      kind: /** @type {Draft['kind']} */ (chosen('kind')),
      side: /** @type {Draft['side']} */ (chosen('side')),
      margin: typed('margin'),
      leverage: typed('leverage'),
      price: typed('price'),
      stopLoss: optional('stopLoss'),
      takeProfit: optional('takeProfit'),
      slippage: optional('slippage'),
    };
  }

  /**
   * Why what was typed is no number, or null: it is one, nothing was typed, or this kind of order has no such field.
   * @param {Field} field
   * @param {Draft} draft
   */
  #unread(field, draft) {
    if (field === (draft.kind === 'market' ? 'price' : 'slippage')) return null;
    const input = this.#input(field);
    return input.value.trim() === '' ? null : readInput(input).words;
  }

  /**
   * @param {Field} field
   * @param {Draft} draft
   * @param {string | undefined} fault
   */
  #wrong(field, draft, fault) {
    const unread = this.#unread(field, draft) ?? undefined;
    // Of what has no digit at all it is better said what belongs there than how numbers are written.
    return /\p{Nd}/u.test(this.#input(field).value) ? (unread ?? fault) : (fault ?? unread);
  }

  /** @param {EventTarget | null} target */
  #changed(target) {
    if (!(target instanceof HTMLInputElement)) return this.#show();
    if (target === this.slider) writeInput(this.#input('leverage'), Decimal.from(this.#leverageAt(Number(target.value))));
    else if (target.id === 'leverage') this.#slide();
    const field = /** @type {Field} */ (target === this.slider ? 'leverage' : target.id);
    if (FIELDS.includes(field)) this.#touched.add(field);
    this.#refused.delete(field);
    if (target.name === 'kind' && target.value !== 'market') this.#suggestPrice();
    this.#say('');
    this.#show();
  }

  #suggestPrice() {
    const { store } = this.#app;
    const quote = store.quotes.get(store.symbol);
    const price = this.#input('price');
    if (price.value === '' && quote) price.placeholder = priceText(quote.price, store.placesOf(store.symbol));
  }

  /** The slider is logarithmic: 1 to 10 matters as much as 10 to 100. */
  get #leverageMost() {
    const { store } = this.#app;
    return store.markets.get(store.symbol)?.leverageMax.toNumber() ?? 100;
  }

  /** @param {number} step */
  #leverageAt(step) {
    return Math.max(1, Math.round(this.#leverageMost ** (step / SLIDER_STEPS)));
  }

  #slide() {
    const leverage = readInput(this.#input('leverage')).value?.toNumber() ?? 1;
    if (this.#leverageMost > 1 && this.slider) {
      this.slider.value = String(Math.round((Math.log(Math.max(1, leverage)) / Math.log(this.#leverageMost)) * SLIDER_STEPS));
      this.slider.setAttribute('aria-valuetext', `${exact(Decimal.from(String(leverage)))} times`);
    }
  }

  /** @param {EventTarget | null} target */
  #share(target) {
    const chip = target instanceof HTMLElement ? target.closest('[data-share]') : null;
    const { freeCash } = this.#app.store;
    if (!(chip instanceof HTMLElement) || freeCash === null) return;
    const share = Decimal.from(chip.dataset.share ?? '0');
    const rate = this.#app.store.markets.get(this.#app.store.symbol)?.feeRate ?? ZERO;
    writeInput(this.#input('margin'), marginOfShare(freeCash, share, this.#draft().leverage ?? ONE, rate));
    this.#touched.add('margin');
    this.#refused.delete('margin');
    this.#show();
  }

  #show = () => {
    const { store } = this.#app;
    const { symbol, freeCash } = store;
    const market = store.markets.get(symbol);
    const quote = store.quotes.get(symbol);
    const draft = this.#draft();
    const places = store.placesOf(symbol);
    if (this.form) this.form.dataset.kind = draft.kind;
    this.#set('sell-price', priceText(quote?.bid ?? null, places));
    this.#set('buy-price', priceText(quote?.ask ?? null, places));
    this.#sizeSides();
    this.#set('spread', quote?.bid && quote.ask ? fixed(quote.ask.minus(quote.bid), places) : NOTHING);
    this.#set('ticket-free', freeCash === null ? NOTHING : `${money(freeCash)} USD`);
    setText(byId('leverage-most', HTMLElement), market ? `up to ${exact(market.leverageMax)}×` : '');
    if (market) this.#quote(draft, market, quote, places);
    this.#button(draft, market, quote, places);
  };

  /** Long prices are written smaller, the longest below each other: none is cut. */
  #sizeSides() {
    const lengths = [...this.querySelectorAll('.side-price')].map((price) => price.textContent?.length ?? 0);
    const longest = Math.max(...lengths);
    find(this, '.sides', HTMLElement).dataset.length = longest <= 10 ? 'short' : longest <= 13 ? 'long' : 'longest';
  }

  /**
   * @param {Draft} draft
   * @param {import('../messages.js').Market} market
   * @param {import('../valuation.js').Quote | undefined} quote
   * @param {number} places
   */
  #quote(draft, market, quote, places) {
    const quotation = quotationOf(draft, market, quote);
    const { base } = splitSymbol(market.symbol);
    const usd = (/** @type {Decimal | null | undefined} */ amount) => (amount ? `${money(amount)} USD` : NOTHING);
    this.#set('quote-quantity', quotation ? `${exact(quotation.quantity)} ${base}` : NOTHING);
    this.#set('quote-notional', usd(quotation?.notional));
    this.#set('quote-liquidation', quotation ? (quotation.liquidation.isZero ? 'None' : priceText(quotation.liquidation, places)) : NOTHING);
    this.#set('quote-spread', usd(quotation?.spreadCost));
    this.#set('quote-fee', usd(quotation?.fee));
    this.#set('quote-total', usd(quotation?.total));
    this.#set('quote-per-usd', quotation ? `${perUsd(quotation.quantity)} USD` : NOTHING);
    for (const name of /** @type {const} */ (['stopLoss', 'takeProfit'])) {
      const price = draft[name];
      const gain = quotation && price ? profitAt(draft, quotation, price) : null;
      const note = byId(`${name}-note`, HTMLElement);
      setText(note, gain ? `PnL ${signedMoney(gain)} USD` : '');
      note.className = `hint ${gain ? toneOf(gain) : ''}`;
    }
    if (this.#isInFlight) return;
    const faults = faultsOf(draft, market, quote, this.#app.store.freeCash, places);
    for (const field of FIELDS) {
      const words = this.#refused.get(field) ?? (this.#touched.has(field) ? this.#wrong(field, draft, faults.get(field)) : undefined) ?? null;
      setFieldError(this.#input(field), words);
      if (field === 'stopLoss' || field === 'takeProfit') byId(`${field}-note`, HTMLElement).hidden = words !== null;
    }
  }

  /**
   * @param {Draft} draft
   * @param {import('../messages.js').Market | undefined} market
   * @param {import('../valuation.js').Quote | undefined} quote
   * @param {number} places
   */
  #button(draft, market, quote, places) {
    const button = this.submitButton;
    if (button === undefined) return;
    const { store, condition } = this.#app;
    const verb = draft.side === 'long' ? 'Buy' : 'Sell';
    const { base } = splitSymbol(store.symbol);
    const price = draft.kind === 'market' ? (quote && (draft.side === 'long' ? quote.ask : quote.bid)) ?? null : draft.price;
    const how = draft.kind === 'market' ? 'at' : `${draft.kind} at`;
    button.dataset.side = draft.side;
    if (!this.#isInFlight) setText(button, price ? `${verb} ${base} ${how} ${priceText(price, places)}` : `${verb} ${base}`);
    if (this.#app.identity.isGuest && !this.#isInFlight) {
      setText(button, 'Sign in to trade');
      button.disabled = false;
      return this.#say(condition.why(store.symbol) ?? '', 'warn', false);
    }
    const isLost = store.link !== 'open';
    button.disabled = this.#isInFlight || market === undefined || isLost || store.totals === null;
    const status = byId('ticket-status', HTMLElement);
    if (this.#isInFlight || status.dataset.sticky === 'true') return;
    // What waits for a price may be placed while there is none; in a market that is not open it is refused, too.
    const isOpen = store.stateOf(store.symbol).state === 'open';
    const why = draft.kind === 'market' || isLost || !isOpen ? condition.why(store.symbol) : null;
    this.#say(store.totals === null ? 'Waiting for the account…' : (why ?? ''), 'warn', false);
  }

  /**
   * @param {string} words
   * @param {'' | 'bad' | 'warn'} [tone]
   * @param {boolean} [isSticky] stays until the form is changed
   */
  #say(words, tone = '', isSticky = words !== '') {
    const status = byId('ticket-status', HTMLElement);
    setText(status, words);
    status.className = `ticket-status ${tone}`;
    status.dataset.sticky = String(isSticky);
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #set(name, text) {
    setText(find(this, `[data-testid="${name}"]`, HTMLElement), text);
  }

  async #submit() {
    const { store, desk } = this.#app;
    const market = store.markets.get(store.symbol);
    if (this.#app.identity.isGuest && !this.#isInFlight) return this.#app.signIn();
    if (this.#isInFlight || market === undefined || store.link !== 'open') return;
    const draft = this.#draft();
    const quote = store.quotes.get(market.symbol);
    for (const field of FIELDS) this.#touched.add(field);
    const expires = byId('expires', HTMLSelectElement).value;
    const time = { lifetimeMs: expires === '' ? null : Number(expires), serverTimeMs: store.serverTimeMs };
    const { path, body } = orderRequest(draft, market, quote, time);
    this.#show();
    // What can't be read is never left out, nor sent as something else.
    const unread = FIELDS.find((field) => this.#unread(field, draft) !== null);
    if (unread !== undefined) return this.#input(unread).focus();
    // A repeat of what may have been done already is the platform's to judge: the money may be spent by it.
    const faults = desk.isUnsettled(path, body) ? new Map() : faultsOf(draft, market, quote, store.freeCash, store.placesOf(market.symbol));
    if (faults.size > 0) return this.#input(FIELDS.find((field) => faults.has(field)) ?? 'margin').focus();
    this.#setInFlight(true, draft);
    try {
      await desk.submit(path, body, (words) => this.#say(words, 'warn'));
      this.#say('');
      for (const name of /** @type {const} */ (['stopLoss', 'takeProfit', 'price'])) this.#input(name).value = '';
      this.#touched.clear();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#setInFlight(false, draft);
    }
  }

  /**
   * @param {boolean} isInFlight
   * @param {Draft} draft
   */
  #setInFlight(isInFlight, draft) {
    const hadFocus = document.activeElement;
    this.#isInFlight = isInFlight;
    this.form?.setAttribute('aria-busy', String(isInFlight));
    byId('ticket-fields', HTMLFieldSetElement).disabled = isInFlight;
    if (isInFlight && this.submitButton) {
      setText(this.submitButton, draft.kind === 'market' ? 'Sending…' : 'Placing…');
      this.#focused = hadFocus;
    }
    this.#show();
    if (!isInFlight) refocus(this.#focused);
  }

  /** @type {Element | null} */
  #focused = null;

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    this.#app.desk.tell(error, 'Order refused');
    const field = /** @type {Field} */ (error.details.field);
    if (FIELDS.includes(field)) this.#refused.set(field, sentence(error.message));
    else if (error.code === 'INSUFFICIENT_MARGIN') this.#refused.set('margin', sentence(error.message));
    else this.#say(sentence(error.message), error.isUnknown ? 'warn' : 'bad');
  }
}
