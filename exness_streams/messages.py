"""The public contract: what travels on the topics that anybody may consume.

Numbers are JSON numbers with their exact digits; a reader that wants them exact decodes into Decimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Annotated, NamedTuple, get_args

import msgspec

from exness_streams.domain.candles import INTERVALS_S
from exness_streams.domain.commands import OrderKind
from exness_streams.domain.events import CloseReason
from exness_streams.domain.market_facts import MarginFunction, PriceBands
from exness_streams.domain.market_states import MarketState, StateReason
from exness_streams.domain.plain_numbers import PlainEncoder
from exness_streams.domain.quotes import Side

MARKET_UPDATES_TOPIC = "backpack-market-updates"
JOURNAL_TOPIC = "trading-journal"
EVENTS_TOPIC = "trading-events"


class Topics(NamedTuple):
    """The topics of one platform by their names on the brokers: without a prefix, the names above."""

    market_updates: str = MARKET_UPDATES_TOPIC
    journal: str = JOURNAL_TOPIC
    events: str = EVENTS_TOPIC

    @classmethod
    @cache  # asked for all the time, and there is one prefix
    def of(cls, prefix: str) -> Topics:
        """Those of the platform with this prefix."""
        return cls(*(prefix + name for name in cls()))


PLAIN_TOPICS = Topics()


class MarketDataMessage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One market update of one symbol, on `backpack-market-updates` (key: the symbol, UTF-8).

    symbol: as the exchange spells it, case and dots kept ("SOL_USDC", "AAPL.US_USDC_PERP").
    price: last traded price, quote currency. bid, ask: best prices, absent when that side is empty or unknown.
    timestamp: event time, ms since the epoch. volume: 24 h volume in the base currency.
    open24h, high24h, low24h: the first, highest and lowest trade of the last 24 hours; quote_volume24h: their volume in
    the quote currency. They come with the exchange's ticker, once a second, and are absent from updates in between.
    book_age_ms: how long before this update bid and ask were received; absent when they came with it.
    sequence: event time in µs, made strictly increasing per symbol by the market data service.
    source: where the price comes from, "backpack" or "simulated"; absent when the publisher has not said.
    state: what the exchange does with the market when it is not open: "close_only" (no market orders) or "halted" (it
    trades nothing). Each update says it anew, and while it is not open there is one a second; absent: it is open.
    look: true: no update, but what the exchange's REST says when it is asked whether an update can be believed. It is
    evidence for the price guard, and no quote; absent from updates.
    """

    symbol: str
    price: Decimal
    timestamp: int
    sequence: int
    volume: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    source: str | None = None
    open24h: Decimal | None = None
    high24h: Decimal | None = None
    low24h: Decimal | None = None
    quote_volume24h: Decimal | None = msgspec.field(default=None, name="quoteVolume24h")
    book_age_ms: int = msgspec.field(default=0, name="bookAgeMs")
    state: str | None = None
    look: bool = False

    @property
    def is_of_ticker(self) -> bool:
        """Whether it tells of trades, and bid and ask are those known before."""
        day = (self.open24h, self.high24h, self.low24h, self.quote_volume24h)
        return self.book_age_ms > 0 or any(figure is not None for figure in day)


json_encoder = PlainEncoder("number")
"""The one encoder of public JSON: Decimal becomes a number with its exact digits, without an exponent."""

SCHEMA_VERSION = 2
"""Of the records of the public topics: one more whenever fields were added. docs/topics.md has the promise."""

_VERSION_FIRST = b'{"schemaVersion":%d,' % SCHEMA_VERSION

Headers = tuple[tuple[str, bytes], ...]


def public_record(encoded: bytes) -> bytes:
    """The value of a record of a public topic: a message as JSON (never an empty object), after its schema's version.

    Whoever reads a topic here knows only the message: records of before there were versions are read alike.
    """
    return _VERSION_FIRST + encoded[1:]


@cache
def headers_of(kind: type[msgspec.Struct]) -> Headers:
    """The headers of a message's record, for readers that choose before they decode."""
    return (("content-type", b"application/json"), ("type", kind.__name__.encode()))


def one_of(words: Iterable[str]) -> msgspec.Meta:
    """One of a few, as documents list them. Readers of ours take a word of a later release as it is."""
    return msgspec.Meta(extra_json_schema={"enum": list(words)})


SideWord = Annotated[str, one_of(get_args(Side))]
KindWord = Annotated[str, one_of(get_args(OrderKind))]
ReasonWord = Annotated[str, one_of(get_args(CloseReason))]
IntervalWord = Annotated[str, one_of(INTERVALS_S)]
BuySellWord = Annotated[str, one_of(("buy", "sell"))]
MarketStateWord = Annotated[str, one_of(state.value for state in MarketState)]
StateReasonWord = Annotated[str, one_of(reason.value for reason in StateReason)]
OrderStatusWord = Annotated[str, one_of(("open", "filled", "cancelled", "expired"))]


class PositionMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An open position as the API shows it. Prices in the quote currency, money in USD, timestamp in ms.

    type: long or short. mark_price: what it could be closed at now, null before the first quote.
    slippage: percent, as asked for. stale: nothing can be closed at mark_price now: the market's quote is older than is
    allowed, or it is suspended or halted. As it was when this was told; absent otherwise.
    """

    position_id: str
    asset: str
    symbol: str
    type: SideWord
    margin: Decimal
    leverage: Decimal
    slippage: Decimal | None
    entry_price: Decimal
    quantity: Decimal
    unrealized_pnl: Decimal = msgspec.field(name="unrealizedPnL")
    timestamp: int
    mark_price: Decimal | None
    liquidation_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    fee: Decimal
    stale: bool = False


class OrderMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An order as the API shows it: one that waits, or what became of it.

    market: the symbol. kind: limit or stop. type: of the position it opens; side: buy opens a long, sell a short.
    price: where it fills, or at the first quote beyond. quantity: base asset, if filled at that price, or what was
    filled. reserved_margin: USD held while it is open (margin and fee). status: open, filled, cancelled, expired.
    timestamp: placed at, expires_at: ms since the epoch. fill_price, position_id: only of one that is filled.
    """

    order_id: str
    market: str
    asset: str
    kind: KindWord
    type: SideWord
    side: BuySellWord
    price: Decimal
    quantity: Decimal
    margin: Decimal
    leverage: Decimal
    reserved_margin: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    expires_at: int | None
    status: OrderStatusWord
    timestamp: int
    fill_price: Decimal | None = None
    position_id: str | None = None


class AccountMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account at the market, USD; margin_level in percent, null while no margin is used.

    balance = starting_balance + deposited + realized_pnl − fees. margin_call: the margin level is at the
    configured level or below it.
    """

    account_id: str
    balance: Decimal
    equity: Decimal
    used_margin: Decimal
    free_margin: Decimal
    margin_level: Decimal | None
    margin_call: bool
    unrealized_pnl: Decimal = msgspec.field(name="unrealizedPnL")
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    fees: Decimal
    deposited: Decimal
    starting_balance: Decimal


class StateMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/state`. sequence: that of the account's newest event, 0 before the first."""

    balances: dict[str, Decimal]
    positions: list[PositionMessage]
    orders: list[OrderMessage]
    account: AccountMessage
    sequence: int


class CloseMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a close. quantity: what was closed. position: what is left of it, null when nothing is."""

    message: str
    position_id: str
    quantity: Decimal
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    close_price: Decimal
    fee: Decimal
    position: PositionMessage | None


class CloseAllResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of one position: closed (price, PnL, fee), or not (error, message)."""

    position_id: str
    closed: bool
    realized_pnl: Decimal | None = msgspec.field(default=None, name="realizedPnL")
    close_price: Decimal | None = None
    fee: Decimal | None = None
    error: str | None = None
    message: str | None = None


class CloseAllMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a close-all, position by position."""

    message: str
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    results: list[CloseAllResult]


class BalanceMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a deposit or a reset. balance: USD afterwards, free and held."""

    message: str
    balance: Decimal
    sequence: int


class MarketMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One instrument: its terms and its newest quote (nulls before the first).

    One that is not offered any more comes behind the others while positions or orders stand in it: it is never open,
    and its terms are those it would have.

    fee_rate, maintenance_margin_rate: fractions of the notional. spread_rate: the house's part of bid and ask, a
    fraction of the price. volume, open24h (the first trade), high24h, low24h, quote_volume24h: of the last 24 hours, as
    the exchange tells them. tick_size, step_size: the exchange's, null when unknown. max_exposure: USD of
    margin × leverage an account may hold in it. tradable: the quote is fresh and two-sided, and the market open.
    visible, price_bands, funding_interval (ms), imf_function, mmf_function (initial and maintenance margin): what the
    exchange says of its market, null when unknown. They are told, and decide nothing here.
    state: what may be done: positions opened and closed (open), only closed (close_only), neither (suspended, halted,
    settled). state_reason, state_since: who says so, and since when (ms since the epoch); null while it is open, since
    also while it is not known.
    """

    symbol: str
    asset: str
    price: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    volume: Decimal | None
    timestamp: int | None
    tradable: bool
    max_leverage: Decimal
    min_margin: Decimal
    max_exposure: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    spread_rate: Decimal
    tick_size: Decimal | None
    step_size: Decimal | None
    open24h: Decimal | None = None
    high24h: Decimal | None = None
    low24h: Decimal | None = None
    quote_volume24h: Decimal | None = msgspec.field(default=None, name="quoteVolume24h")
    visible: bool | None = None
    price_bands: PriceBands | None = None
    funding_interval: int | None = None
    imf_function: MarginFunction | None = None
    mmf_function: MarginFunction | None = None
    state: MarketStateWord = MarketState.OPEN.value
    state_reason: StateReasonWord | None = None
    state_since: int | None = None


class ErrorMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every answer that is not a success. error: a stable code; details: values for a program."""

    message: str
    error: str
    details: dict[str, str | int | list[str]] = {}


class TradeMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A closed trade: a position that was closed, in whole or in part.

    trade_id: the `eventId` of its PositionClosed. type: long or short. quantity: base asset, what was closed. fee: USD,
    of the close and the share of the fee paid at open, so that over all trades
    startingBalance + deposited + Σ realizedPnL − Σ fee − fees of open positions = balance.
    reason: manual, stop_loss, take_profit, liquidation. opened_at, closed_at: ms since the epoch.
    """

    trade_id: str
    position_id: str
    asset: str
    symbol: str
    type: SideWord
    quantity: Decimal
    leverage: Decimal
    entry_price: Decimal
    close_price: Decimal
    realized_pnl: Decimal = msgspec.field(name="realizedPnL")
    fee: Decimal
    reason: ReasonWord
    opened_at: int
    closed_at: int
    duration_ms: int


class TradesMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/trades`, newest first. next_cursor: for the page of older ones, null after the last.

    sequence: that of the account's newest event that the history holds.
    """

    trades: list[TradeMessage]
    next_cursor: str | None
    sequence: int


class EquityPoint(msgspec.Struct, frozen=True):
    """The balance, USD, after an event that changed it. time: ms since the epoch."""

    time: int
    balance: Decimal


class EquityMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/equity`: the newest points, oldest first. next_cursor: for those before, null at the first.

    sequence: as TradesMessage's.
    """

    points: list[EquityPoint]
    next_cursor: str | None
    sequence: int


class CandleMessage(msgspec.Struct, frozen=True):
    """One candle: prices in the quote currency. time: its beginning, seconds since the epoch.

    volume: base asset, as far as the exchange's history has told it yet; null while it has told nothing.
    complete: it is over, and all of its time is known; false while it grows, and where ticks were missed.
    """

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    complete: bool = False


class MissingSpan(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A time of which nothing is known: from its beginning to before its end, seconds since the epoch."""

    from_: int
    to: int


class CandlesMessage(msgspec.Struct, frozen=True):
    """`GET /api/v1/candles`: the newest candles, oldest first; the last may still grow.

    Where nothing was traded or known there is no candle. missing: where nothing is known, between these candles, and
    before the first of them when there are fewer than were asked for.
    """

    symbol: str
    interval: IntervalWord
    candles: list[CandleMessage]
    missing: list[MissingSpan] = []
