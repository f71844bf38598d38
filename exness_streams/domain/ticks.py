"""Checks a tick before it is used, because anybody may write to the topic that ticks are read from."""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, InvalidOperation, Overflow, Rounded, Underflow
from enum import Enum
from typing import Protocol

from exness_streams.domain.candles import TIME_MS_MAX
from exness_streams.domain.instruments import is_symbol
from exness_streams.domain.money import AMOUNT_MAX, ZERO

PRICE_MIN = Decimal("1e-18")
"""Below it there is no market, only a number that a product with it could turn into 0."""

VOLUME_MAX = Decimal(10) ** 24

SEQUENCE_MAX = TIME_MS_MAX * 1000 + 999
"""A sequence is an event time in µs, or a little more."""

SOURCES = frozenset({None, "backpack", "simulated"})
"""Where a price can come from; None: the publisher has not said."""

EXCHANGE_STATES = frozenset({None, "close_only", "halted"})
"""What an exchange can say of a market; None: it is open."""


# More digits than PRICE_MIN to AMOUNT_MAX or a volume needs are refused, and not rounded.
_TRAPS = [InvalidOperation, Overflow, Underflow, Rounded]
_PRICE = Context(prec=32, Emin=-64, Emax=64, traps=_TRAPS)
_VOLUME = Context(prec=48, Emin=-64, Emax=64, traps=_TRAPS)
_as_price, _as_volume = _PRICE.plus, _VOLUME.plus


class TickFault(str, Enum):
    """Why a tick, or its book, is put aside; the values are stable and serve as metric labels."""

    NO_UPDATE = "no_update"
    WRONG_KEY = "wrong_key"
    BAD_SYMBOL = "bad_symbol"
    UNKNOWN_SYMBOL = "unknown_symbol"
    BAD_PRICE = "bad_price"
    BAD_BOOK = "bad_book"
    BAD_VOLUME = "bad_volume"
    BAD_DAY = "bad_day"
    BAD_TIME = "bad_time"
    BAD_SEQUENCE = "bad_sequence"
    BAD_SOURCE = "bad_source"
    BAD_STATE = "bad_state"
    CROSSED_BOOK = "crossed_book"


BOOK_FAULTS = frozenset({TickFault.BAD_BOOK, TickFault.CROSSED_BOOK})
"""Those that leave the price to be known, and neither side."""


class Tick(Protocol):
    """A market update as it was decoded: the right types, any values. Fields as in messages.MarketDataMessage."""

    @property
    def symbol(self) -> str: ...
    @property
    def price(self) -> Decimal: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def volume(self) -> Decimal | None: ...
    @property
    def bid(self) -> Decimal | None: ...
    @property
    def ask(self) -> Decimal | None: ...
    @property
    def source(self) -> str | None: ...
    @property
    def state(self) -> str | None: ...
    @property
    def open24h(self) -> Decimal | None: ...
    @property
    def high24h(self) -> Decimal | None: ...
    @property
    def low24h(self) -> Decimal | None: ...
    @property
    def book_age_ms(self) -> int: ...
    @property
    def quote_volume24h(self) -> Decimal | None: ...


def sane(tick: Tick) -> TickFault | None:
    """What is wrong with a tick, None when nothing is.

    The book is the last thing looked at: all else of a tick with one of BOOK_FAULTS is right, and neither its bid nor
    its ask counts. A locked book (bid = ask) is a market.
    """
    if not is_symbol(tick.symbol):
        return TickFault.BAD_SYMBOL
    if not 0 <= tick.timestamp <= TIME_MS_MAX:
        return TickFault.BAD_TIME
    if not 0 <= tick.sequence <= SEQUENCE_MAX:
        return TickFault.BAD_SEQUENCE
    if tick.book_age_ms and not 0 <= tick.book_age_ms <= TIME_MS_MAX:
        return TickFault.BAD_TIME
    if tick.source not in SOURCES:
        return TickFault.BAD_SOURCE
    if tick.state is not None and tick.state not in EXCHANGE_STATES:
        return TickFault.BAD_STATE
    bid, ask, volume = tick.bid, tick.ask, tick.volume
    if not is_price(tick.price):
        return TickFault.BAD_PRICE
    if volume is not None and not _is_volume(volume):
        return TickFault.BAD_VOLUME
    if not _is_day(tick):
        return TickFault.BAD_DAY
    if not ((bid is None or is_price(bid)) and (ask is None or is_price(ask))):
        return TickFault.BAD_BOOK
    if bid is not None and ask is not None and bid > ask:
        return TickFault.CROSSED_BOOK
    return None


def is_price(price: Decimal) -> bool:
    """Whether a price can be traded on."""
    try:  # a NaN can't be compared, and more digits than _PRICE has are trapped
        return PRICE_MIN <= _as_price(price) <= AMOUNT_MAX
    except DecimalException:
        return False


def _is_day(tick: Tick) -> bool:
    first, high, low, volume = tick.open24h, tick.high24h, tick.low24h, tick.quote_volume24h
    return (
        (volume is None or _is_volume(volume))
        and (first is None or is_price(first))
        and (high is None or is_price(high))
        and (low is None or is_price(low))
    )


def _is_volume(volume: Decimal) -> bool:
    try:
        return ZERO <= _as_volume(volume) <= VOLUME_MAX
    except DecimalException:
        return False
