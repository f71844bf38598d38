"""Backpack's public websocket protocol: frames in, typed messages out. No I/O and no clock.

The fields of each stream are listed in Backpack's API reference. Prices and quantities arrive as strings,
times as integers of microseconds. A frame that cannot be used never raises: it parses to `Ignored`, with the
reason, and a number that is not a plain positive decimal never becomes a price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from exness_streams.domain.instruments import is_symbol
from exness_streams.domain.outside_text import in_one_line
from exness_streams.market_data.outside_times import utc_ms

STREAMS_PER_REQUEST_MAX = 50
"""Streams in one SUBSCRIBE frame; Backpack publishes no limit, so frames are kept to a few KB."""

EVENT_US_MIN = 10**15
EVENT_US_MAX = 4_102_444_800_000_000
"""Event times outside 2001 to 2099 (µs) are not times; a time in ms or in ns falls outside, too."""


class IgnoreReason(str, Enum):
    """Why a frame was put aside; the values are stable and serve as metric labels."""

    BAD_JSON = "bad_json"
    UNKNOWN_FORM = "unknown_form"
    UNKNOWN_STREAM = "unknown_stream"
    BAD_SYMBOL = "bad_symbol"
    NO_PRICE = "no_price"
    BAD_PRICE = "bad_price"
    CROSSED_BOOK = "crossed_book"
    NO_EVENT_TIME = "no_event_time"
    LATE = "late"
    UNWANTED = "unwanted"


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """`ticker.<symbol>`, once a second: figures of 24 hours.

    last: last trade, quote currency. volume: base asset. event_us: emit time.
    """

    symbol: str
    last: Decimal
    event_us: int
    first: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal | None = None
    quote_volume: Decimal | None = None
    trades: int | None = None


class BookTicker(msgspec.Struct, frozen=True, gc=False):
    """`bookTicker.<symbol>`, on change: the best prices, None where that side of the book is empty.

    event_us: engine time, or the emit time when the frame has no engine time. Quantities in the base asset.
    """

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    event_us: int
    update_id: int | None = None
    bid_quantity: Decimal | None = None
    ask_quantity: Decimal | None = None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """`trade.<symbol>`, one per trade. trade_id is sequential; order ids are opaque."""

    symbol: str
    price: Decimal
    event_us: int
    quantity: Decimal | None = None
    trade_id: int | None = None
    buyer_is_maker: bool | None = None
    buyer_order_id: str | None = None
    seller_order_id: str | None = None


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """`markPrice.<symbol>`, once a second, perpetuals only. funding_rate: fraction."""

    symbol: str
    mark: Decimal
    event_us: int
    index: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ms: int | None = None


class Kline(msgspec.Struct, frozen=True, gc=False):
    """`kline.<interval>.<symbol>`, on change. Prices are None in an interval without trades, and where they are 0."""

    symbol: str
    interval: str
    start_ms: int | None = None
    end_ms: int | None = None
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: Decimal | None = None
    closed: bool = False


class StreamError(msgspec.Struct, frozen=True, gc=False):
    """An error frame. 4006: unknown stream type; 4002: request not understood. The socket stays open."""

    code: int | None
    message: str


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A frame that says nothing usable. detail is for a log: short, and safe to print.

    book: of a book update whose prices can't be used, with neither side: the book before it is not the market any more.
    """

    reason: IgnoreReason
    detail: str
    book: BookTicker | None = None


StreamMessage = Ticker | BookTicker | Trade | MarkPrice | Kline
ParseResult = StreamMessage | StreamError | Ignored


class _Unusable(Exception):
    def __init__(self, reason: IgnoreReason, detail: object, book: BookTicker | None = None) -> None:
        self.ignored = Ignored(reason, in_one_line(detail), book)


def parse(frame: str | bytes) -> ParseResult:
    """What one frame says. Never raises, whatever the frame."""
    try:
        envelope = _decode(frame)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return Ignored(IgnoreReason.BAD_JSON, in_one_line(f"{error}: {frame[:60]!r}"))
    if type(envelope) is not dict:
        return Ignored(IgnoreReason.UNKNOWN_FORM, in_one_line(envelope))
    stream = envelope.get("stream")
    data = envelope.get("data")
    if type(stream) is not str or type(data) is not dict:
        return _parse_reply(envelope)
    # Symbols may hold dots: only the first one separates.
    kind, _, symbol = stream.partition(".")
    parse_data = _PARSERS.get(kind)
    if parse_data is None:
        return Ignored(IgnoreReason.UNKNOWN_STREAM, in_one_line(stream))
    try:
        return parse_data(symbol, data)
    except _Unusable as unusable:
        return unusable.ignored


# Numbers with a point decode to Decimal, so that a price sent as a number keeps its digits.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode

# 12 digits before the point: below the largest amount the platform accepts. No sign, exponent or "NaN".
_PRICE = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_AMOUNT = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,18})?")
_INTEGER = re.compile(r"[0-9]{1,18}")
# The exchange's funding rates have 28 decimals.
_RATE = re.compile(r"-?[0-9]{1,6}(?:\.[0-9]{1,40})?")
_RATE_DIGITS_MAX = 46
_ZERO = re.compile(r"0+(?:\.0+)?")

_Fields = dict[str, Any]


def _parse_reply(envelope: _Fields) -> StreamError | Ignored:
    error = envelope.get("error")
    if type(error) is dict:
        return StreamError(_integer(error.get("code")), in_one_line(error.get("message")))
    return Ignored(IgnoreReason.UNKNOWN_FORM, in_one_line(envelope))


def _parse_ticker(symbol: str, data: _Fields) -> Ticker:
    _check_symbol(symbol, data)
    return Ticker(
        symbol=symbol,
        last=_required_price(data.get("c"), "c"),
        event_us=_event_us(data),
        first=_amount(data.get("o")),
        high=_amount(data.get("h")),
        low=_amount(data.get("l")),
        volume=_quantity(data.get("v")),
        quote_volume=_quantity(data.get("V")),
        trades=_integer(data.get("n")),
    )


def _parse_book_ticker(symbol: str, data: _Fields) -> BookTicker:
    _check_symbol(symbol, data)
    try:
        bid, ask = _sides(data)
    except _Unusable as unusable:
        nothing = BookTicker(symbol, None, None, _event_us(data), _integer(data.get("u")))
        raise _Unusable(unusable.ignored.reason, unusable.ignored.detail, nothing) from None
    return BookTicker(
        symbol,
        bid,
        ask,
        _event_us(data),
        _integer(data.get("u")),
        _quantity(data.get("B")),
        _quantity(data.get("A")),
    )


def _sides(data: _Fields) -> tuple[Decimal | None, Decimal | None]:
    bid, ask = _price(data.get("b"), "b"), _price(data.get("a"), "a")
    if bid is not None and ask is not None and bid > ask:
        raise _Unusable(IgnoreReason.CROSSED_BOOK, f"bid {bid} above ask {ask}")
    return bid, ask


def _parse_trade(symbol: str, data: _Fields) -> Trade:
    _check_symbol(symbol, data)
    maker = data.get("m")
    return Trade(
        symbol=symbol,
        price=_required_price(data.get("p"), "p"),
        event_us=_event_us(data),
        quantity=_quantity(data.get("q")),
        trade_id=_integer(data.get("t")),
        buyer_is_maker=maker if type(maker) is bool else None,
        buyer_order_id=_text(data.get("b")),
        seller_order_id=_text(data.get("a")),
    )


def _parse_mark_price(symbol: str, data: _Fields) -> MarkPrice:
    _check_symbol(symbol, data)
    return MarkPrice(
        symbol=symbol,
        mark=_required_price(data.get("p"), "p"),
        event_us=_event_us(data),
        index=_price(data.get("i"), "i"),
        funding_rate=_rate(data.get("f")),
        next_funding_ms=_integer(data.get("n")),
    )


def _parse_kline(topic: str, data: _Fields) -> Kline:
    interval, _, symbol = topic.partition(".")
    _check_symbol(symbol, data)
    return Kline(
        symbol=symbol,
        interval=interval,
        start_ms=utc_ms(data.get("t")),
        end_ms=utc_ms(data.get("T")),
        open=_kline_price(data.get("o"), "o"),
        high=_kline_price(data.get("h"), "h"),
        low=_kline_price(data.get("l"), "l"),
        close=_kline_price(data.get("c"), "c"),
        volume=_quantity(data.get("v")),
        closed=data.get("X") is True,
    )


_PARSERS: dict[str, Callable[[str, _Fields], StreamMessage]] = {
    "ticker": _parse_ticker,
    "bookTicker": _parse_book_ticker,
    "trade": _parse_trade,
    "markPrice": _parse_mark_price,
    "kline": _parse_kline,
}

STREAM_TYPES = frozenset(_PARSERS)


def _check_symbol(symbol: str, data: _Fields) -> None:
    if not is_symbol(symbol):
        raise _Unusable(IgnoreReason.BAD_SYMBOL, symbol)
    named = data.get("s")
    if named is not None and named != symbol:
        raise _Unusable(IgnoreReason.BAD_SYMBOL, f"stream of {symbol} holds data of {named!r}")


def _price(value: object, field: str) -> Decimal | None:
    """A price, or None where the frame has null or nothing. Anything else is refused."""
    if value is None:
        return None
    if type(value) is str:
        if _PRICE.fullmatch(value) is not None:
            price = Decimal(value)
            if price:
                return price
    elif type(value) is int or type(value) is Decimal:
        number = Decimal(value)
        # adjusted() first: the text of 1e999999 would be a million digits.
        if number > 0 and -13 < number.adjusted() < 12 and _PRICE.fullmatch(f"{number:f}") is not None:
            return number
    raise _Unusable(IgnoreReason.BAD_PRICE, f"{field} = {value!r}")


def is_plain_price(text: str) -> bool:
    """Whether a text is a price as the exchange writes them."""
    return _PRICE.fullmatch(text) is not None and _ZERO.fullmatch(text) is None


def _required_price(value: object, field: str) -> Decimal:
    price = _price(value, field)
    if price is None:
        raise _Unusable(IgnoreReason.NO_PRICE, f"{field} is missing or null")
    return price


def _kline_price(value: object, field: str) -> Decimal | None:
    """A price, or None where there is none, which the exchange may write as 0 too."""
    is_zero = (type(value) is str and _ZERO.fullmatch(value) is not None) or (
        type(value) in (int, Decimal) and not value
    )
    return None if is_zero else _price(value, field)


def _rate(value: object) -> Decimal | None:
    """A fraction with all its digits: None when it is missing or malformed."""
    if type(value) is str and _RATE.fullmatch(value) is not None:
        return Decimal(value)
    if type(value) is int or type(value) is Decimal:
        number = Decimal(value)
        is_usual = -41 < number.adjusted() < 6 and len(number.as_tuple().digits) <= _RATE_DIGITS_MAX
        return number if is_usual or not number else None
    return None


def _amount(value: object) -> Decimal | None:
    """A number that decides nothing: None when it is missing or malformed."""
    if type(value) is str and _AMOUNT.fullmatch(value) is not None:
        return Decimal(value)
    if type(value) is int or type(value) is Decimal:
        number = Decimal(value)
        return number if -19 < number.adjusted() < 24 else None
    return None


def _quantity(value: object) -> Decimal | None:
    amount = _amount(value)
    return amount if amount is not None and amount >= 0 else None


def _integer(value: object) -> int | None:
    if type(value) is int:
        return value
    if type(value) is str and _INTEGER.fullmatch(value) is not None:
        return int(value)
    return None


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _event_us(data: _Fields) -> int:
    for field in ("T", "E"):
        event_us = _integer(data.get(field))
        if event_us is not None and EVENT_US_MIN <= event_us < EVENT_US_MAX:
            return event_us
    raise _Unusable(IgnoreReason.NO_EVENT_TIME, f"T = {data.get('T')!r}, E = {data.get('E')!r}")


def subscribe_requests(streams: Iterable[str]) -> Iterator[str]:
    """The SUBSCRIBE frames for `streams`, many to a frame. Backpack does not answer them on success."""
    return _requests("SUBSCRIBE", streams)


def unsubscribe_requests(streams: Iterable[str]) -> Iterator[str]:
    """The UNSUBSCRIBE frames for `streams`, many to a frame."""
    return _requests("UNSUBSCRIBE", streams)


def _requests(method: str, streams: Iterable[str]) -> Iterator[str]:
    wanted = list(dict.fromkeys(streams))
    for start in range(0, len(wanted), STREAMS_PER_REQUEST_MAX):
        params = wanted[start : start + STREAMS_PER_REQUEST_MAX]
        yield msgspec.json.encode({"method": method, "params": params}).decode()
