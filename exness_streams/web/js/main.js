/**
 * Puts the page together.
 */

import { setUpAccessDialog } from './access-dialog.js';
import { setUpAccountDialog } from './account-dialog.js';
import { setUpAddress } from './address.js';
import { Api, ApiError } from './api.js';
import { isAccountName, readSettings } from './app.js';
import { Condition } from './condition.js';
import { announcement, Desk } from './desk.js';
import { Decimal } from './decimal.js';
import { find, setText } from './dom.js';
import { AccountStrip } from './elements/account-strip.js';
import { ConnectionState } from './elements/connection-state.js';
import { PnlHistogram } from './elements/history.js';
import { TabSet } from './elements/open-positions.js';
import { OrderTicket } from './elements/order-ticket.js';
import { PriceChart } from './elements/price-chart.js';
import { ToastStack } from './elements/toast-stack.js';
import { WatchList } from './elements/watch-list.js';
import { counted, exactPercent, signedMoney, useLocale } from './format.js';
import { Frames } from './frames.js';
import { Identity } from './identity.js';
import { browserNotices, setUpNotices } from './notice-means.js';
import { noticeOf } from './notices.js';
import { setUpShortcuts, setUpTheme, setUpViews } from './shell.js';
import { setUpLanding, setUpSignIn } from './sign-in.js';
import { Socket } from './socket.js';
import { Store } from './store.js';
import { knownLocale } from './number-text.js';
import { setUpZone } from './zone-choice.js';

const ELEMENTS = {
  'pnl-histogram': PnlHistogram,
  'toast-stack': ToastStack,
  'account-strip': AccountStrip,
  'connection-state': ConnectionState,
  'watch-list': WatchList,
  'price-chart': PriceChart,
  'order-ticket': OrderTicket,
  'tab-set': TabSet,
};
const MARKETS_RETRY_MS = 2000;
const ENDED_PAUSE_MS = 2000;

for (const [name, kind] of Object.entries(ELEMENTS)) customElements.define(name, kind);

const locale = knownLocale(navigator.languages);
useLocale(locale);
setUpZone(locale);
for (const chip of document.querySelectorAll('[data-share], [data-percent]')) {
  const { share, percent } = /** @type {HTMLElement} */ (chip).dataset;
  if (/^\d+%$/.test(chip.textContent ?? '')) setText(chip, exactPercent(Decimal.from(share ?? percent ?? '0')));
}
const asked = new URLSearchParams(location.search).get('account');
const named = asked !== null && isAccountName(asked) ? asked : null;
const settings = readSettings();
const frames = new Frames();
const api = new Api(null);
const toasts = find(document, 'toast-stack', ToastStack);
const desk = new Desk(api, toasts);
const notices = browserNotices();
const store = new Store(frames, {
  onGap: () => socket.resync(),
  onEvent: (event, before) => {
    const placesOf = (/** @type {string} */ symbol) => store.placesOf(symbol);
    desk.announce(event, before, placesOf);
    if (notices.isOn) notices.tell(noticeOf(event, announcement(event, before, placesOf)));
  },
  onSnapshot: (before) => tellWhatWasMissed(before),
});
const condition = new Condition(store, settings.maxQuoteAgeMs);
const socket = new Socket({ onFrame: take, onLink, onEnded: () => void findOutWhy() });
const identity = new Identity(api, named, { onAccount: showAccount, onFound: tellWhoItIs, onSilence: () => store.setLink('disconnected') });
const app = { store, frames, api, socket, toasts, condition, desk, notices, settings, identity, signIn: (/** @type {string | undefined} */ _email) => {} };

setUpAddress(app);
find(document, 'account-strip', AccountStrip).start(app);
find(document, 'connection-state', ConnectionState).start(app);
find(document, 'watch-list', WatchList).start(app);
find(document, 'price-chart', PriceChart).start(app);
find(document, 'order-ticket', OrderTicket).start(app);
find(document, 'tab-set', TabSet).start(app);
app.signIn = setUpSignIn(app);
setUpAccountDialog(app);
setUpAccessDialog(app);
setUpNotices(notices);
setUpLanding(app);
setUpViews();
setUpTheme();
setUpShortcuts(app);
if (asked !== null && named === null) {
  toasts.show({ kind: 'bad', title: 'No such account name', text: 'Account names have 1 to 64 letters, digits, underscores or hyphens. This is the default account.' });
}
socket.start();
void identity.find();
// Shown from the cache of pages: somebody may have signed in or out since.
addEventListener('pageshow', (event) => event.persisted && void identity.find());
void loadMarkets();

/**
 * Show another account, or none: what is known of the one before is forgotten, what was typed stays.
 * @param {string | null} account
 */
function showAccount(account) {
  store.forgetAccount();
  desk.forget();
  // What they ask about is the other account's.
  for (const dialog of document.querySelectorAll('dialog[open][data-of-account]')) /** @type {HTMLDialogElement} */ (dialog).close();
  connect(account);
}

/** @param {string | null} account null: nobody's, who sees the market alone */
function connect(account) {
  store.setLink('connecting');
  const query = new URLSearchParams({ numbers: 'string' });
  if (account !== null) query.set('account', account);
  const origin = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;
  socket.use(`${origin}/ws?${query}`, account === null ? 'connection' : 'state');
}

/** The platform has closed the stream of a session: find out whose the page is now. */
async function findOutWhy() {
  await identity.find();
  // Signed in anew in another tab: the same account, under another session. A moment later, should it close again.
  if (!socket.isUsed) setTimeout(() => socket.isUsed || connect(identity.account), ENDED_PAUSE_MS);
}

/**
 * @param {import('./identity.js').Who} now
 * @param {import('./identity.js').Who} before
 */
function tellWhoItIs(now, before) {
  if (now.kind === 'session') {
    const words = before.kind === 'session' ? 'Another account is signed in' : 'Signed in';
    return toasts.show({ kind: 'warn', title: words, text: `This browser is signed in as ${now.email} now, so this page shows that account.` });
  }
  const goOn = now.kind === 'guest' ? 'Sign in to go on; what you typed is still there.' : `This page shows account ${identity.account} now.`;
  toasts.show({ kind: 'warn', title: 'You are signed out', text: `Your session has ended. ${goOn}` });
}

/** @param {any} frame */
function take(frame) {
  switch (frame.type) {
    case 'market_data':
      return store.takeMarketData(frame);
    case 'connection':
      return store.forgetStates();
    case 'market_state':
      return store.takeMarketState(frame);
    case 'market_day':
      return store.takeMarketDay(frame);
    case 'state':
      return store.takeSnapshot(frame);
    case 'feed':
      return store.setFeed(frame);
    case 'heartbeat':
      return store.takeHeartbeat(frame);
    default:
      if (frame.eventId !== undefined) store.takeEvent(frame);
  }
}

/** @param {import('./store.js').Link} link */
function onLink(link) {
  if (link !== 'open') store.awaitSnapshot();
  else void loadMarkets();
  store.setLink(link);
  // A handshake that is refused says nothing of why to a page.
  if (link === 'disconnected' && identity.isSignedIn) void identity.find();
}

/** The instruments and their terms; asked again on each connection, for another worker may offer others. */
async function loadMarkets() {
  try {
    store.takeMarkets(await api.get('/api/v1/markets'));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (store.markets.size === 0) setTimeout(loadMarkets, MARKETS_RETRY_MS);
  }
}

/**
 * Positions that were closed while nobody was listening.
 * @param {Map<string, import('./messages.js').Position> | null} before
 */
function tellWhatWasMissed(before) {
  const closed = [...(before?.keys() ?? [])].filter((id) => !store.positions.has(id)).length;
  if (closed === 0) return;
  const words = closed === 1 ? 'One position was' : `${counted(closed)} positions were`;
  const total = store.totals === null ? '' : ` Realized PnL is now ${signedMoney(store.totals.realizedPnL)} USD.`;
  toasts.show({ kind: 'warn', title: `${words} closed while disconnected`, text: `See History.${total}` });
}
