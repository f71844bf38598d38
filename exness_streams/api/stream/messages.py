"""What the live stream says, as bytes on the wire: JSON in two forms of numbers, in WebSocket frames.

One frame's bytes serve every socket of its form: a server's frames are not masked (RFC 6455, 5.1), and the streams
are not compressed.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import msgspec

from exness_streams.api.presenter import state_fields
from exness_streams.domain.frames import DayFigures
from exness_streams.domain.market_states import MarketTold
from exness_streams.domain.plain_numbers import Form as Form
from exness_streams.domain.plain_numbers import encoders
from exness_streams.domain.quotes import Quote
from exness_streams.messages import MarketStateWord, StateReasonWord, one_of

FeedStatus = Literal["unknown", "connecting", "connected", "stale", "disconnected"]
FeedSource = Literal["backpack", "simulated", "unknown"]

_TEXT, _CLOSE = 0x81, 0x88
_REASON_BYTES_MAX = 123


class StreamMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type"):
    """A message of the stream that is no account event."""


class ConnectionMessage(StreamMessage, frozen=True, kw_only=True, tag="connection"):
    """The first one. heartbeat_ms: how often a heartbeat comes at least."""

    message: str
    heartbeat_ms: int


class MarketDataUpdate(StreamMessage, frozen=True, kw_only=True, tag="market_data"):
    """The newest quote of a symbol, as orders fill at it. timestamp: event time, ms. volume: 24 h, base asset."""

    symbol: str
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None
    timestamp: int
    volume: Decimal | None


class MarketDayUpdate(StreamMessage, frozen=True, kw_only=True, tag="market_day"):
    """The last 24 hours of a symbol as the exchange tells them, null: not told. Sent when they have changed.

    open24h, high24h, low24h: the first, highest and lowest trade. volume24h: base asset; quote_volume24h: quote
    currency.
    """

    symbol: str
    open24h: Decimal | None
    high24h: Decimal | None
    low24h: Decimal | None
    volume24h: Decimal | None
    quote_volume24h: Decimal | None = msgspec.field(name="quoteVolume24h")


class MarketStateUpdate(StreamMessage, frozen=True, kw_only=True, tag="market_state"):
    """What may be done in a market now. Sent at the beginning of each that is not open, and when it is another state.

    state: positions can be opened and closed (open), only closed (close_only), neither (suspended, halted, settled).
    An instrument that is not offered any more is never open. state_reason, state_since: who says so, and since when (ms
    since the epoch); null: open, and since also while it is not known. settlement_price: at which
    positions were closed, null unless it is settled.
    """

    symbol: str
    state: MarketStateWord
    state_reason: StateReasonWord | None
    state_since: int | None
    settlement_price: Decimal | None


class FeedMessage(StreamMessage, frozen=True, kw_only=True, tag="feed"):
    """How the feed of prices is. reason: for a person, empty while it is connected.

    source: where the prices come from: backpack, simulated, or unknown before the first price.
    """

    status: Annotated[str, one_of(get_args(FeedStatus))]
    reason: str
    source: Annotated[str, one_of(get_args(FeedSource))]


class HeartbeatMessage(StreamMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """timestamp: ms since the epoch. sequence: of the newest event sent; an event missed shows here."""

    timestamp: int
    sequence: int


class PongMessage(StreamMessage, frozen=True, kw_only=True, tag="pong"):
    """The answer to a ping."""


class StreamErrorMessage(StreamMessage, frozen=True, kw_only=True, tag="error"):
    """A frame of the client's was not understood, and ignored."""

    error: Annotated[str, one_of(("INVALID_REQUEST", "UNAUTHORIZED"))]
    message: str


class ClientFrame(msgspec.Struct, frozen=True):
    """What a client may send: resync asks for a new snapshot, ping for a pong."""

    type: Literal["resync", "ping"]


client_frame_decoder = msgspec.json.Decoder(ClientFrame)


def market_data_update(symbol: str, quote: Quote) -> MarketDataUpdate:
    """A symbol's newest quote as a message."""
    return MarketDataUpdate(
        symbol=symbol,
        price=quote.price,
        bid=quote.bid,
        ask=quote.ask,
        timestamp=quote.time_ms,
        volume=quote.volume,
    )


def market_day_update(day: DayFigures) -> MarketDayUpdate:
    """A symbol's last 24 hours as a message."""
    return MarketDayUpdate(
        symbol=day.symbol,
        open24h=day.first,
        high24h=day.high,
        low24h=day.low,
        volume24h=day.volume,
        quote_volume24h=day.quote_volume,
    )


def market_state_update(symbol: str, told: MarketTold | None) -> MarketStateUpdate:
    """A symbol's state as a message. told: None, it is open."""
    return MarketStateUpdate(symbol=symbol, settlement_price=told.price if told else None, **state_fields(told))


def encoded(message: Any, form: Form) -> bytes:
    """A text frame holding the message as JSON."""
    return text_frame(encoders[form].encode(message))


def framed_as(kind: str, content: bytes) -> bytes:
    """A text frame holding an untagged message (JSON, never an empty object), with a first member `type`."""
    return text_frame(b'{"type":"%s",' % kind.encode() + content[1:])


def text_frame(payload: bytes) -> bytes:
    """A whole text message as a server's frame."""
    return _head(_TEXT, len(payload)) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A server's close frame. reason: for a person, cut to what fits into it (ASCII)."""
    payload = struct.pack("!H", code) + reason.encode("ascii", "replace")[:_REASON_BYTES_MAX]
    return _head(_CLOSE, len(payload)) + payload


def _head(first_byte: int, length: int) -> bytes:
    if length < 126:
        return struct.pack("!BB", first_byte, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first_byte, 126, length)
    return struct.pack("!BBQ", first_byte, 127, length)
