"""Which streams there are, and those of them that tell what has changed: depth and klines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from exness_streams.simulator.book import Book, changed_levels
from exness_streams.simulator.faults import Faults
from exness_streams.simulator.frames import depth_frame, kline_frame
from exness_streams.simulator.instrument import Instrument
from exness_streams.simulator.intervals import KLINE_INTERVALS, begin_of, end_of
from exness_streams.simulator.past import Candle

DEPTH_ROUND_S = 0.2
DEPTH_ROUNDS = {"200ms": 1, "600ms": 3, "1000ms": 5}
"""Depth is told with each change, or once in so many rounds of DEPTH_ROUND_S."""

_PLAIN = frozenset({"ticker", "bookTicker", "trade", "markPrice", "openInterest", "liquidation", "depth"})


class StreamName(NamedTuple):
    """A stream taken apart. interval: of a kline or depth; empty when there is none. symbol: empty means all."""

    kind: str
    interval: str
    symbol: str


def parse_stream(text: str) -> StreamName | None:
    """What a stream's name asks for; None when the exchange has no such stream."""
    kind, _, rest = text.partition(".")
    if kind == "liquidation" and not rest:
        return StreamName(kind, "", "")
    first, dot, after = rest.partition(".")
    if kind == "kline":
        return StreamName(kind, first, after) if first in KLINE_INTERVALS and after else None
    if kind == "depth" and dot and first.removesuffix("ms").isdigit():
        return StreamName(kind, first, after) if first in DEPTH_ROUNDS and after else None
    return StreamName(kind, "", rest) if kind in _PLAIN and rest else None


class DepthStream:
    """The changes of one market's book, from the moment on when somebody wants them."""

    def __init__(self, stream: str, instrument: Instrument, faults: Faults) -> None:
        self._stream = stream
        self.instrument = instrument
        self._faults = faults
        book = self._book()
        self._update_id = book.update_id
        self._told = instrument.depth.ladder(book)

    def frame(self, emit_us: Callable[[], int]) -> str | None:
        """What has changed since the last frame; None when nothing has."""
        book = self._book()
        if book.update_id == self._update_id:
            return None
        ladder = self.instrument.depth.ladder(book)
        bids, asks = changed_levels(self._told.bids, ladder.bids), changed_levels(self._told.asks, ladder.asks)
        updates = (self._update_id + 1, book.update_id)
        self._told, self._update_id = ladder, book.update_id
        return depth_frame(self.instrument.listing, self._stream, bids, asks, updates, emit_us())

    def _book(self) -> Book:
        return self._faults.shown(self.instrument.symbol, self.instrument.book())


class KlineStream:
    """The candle of the present interval when it has changed, and each one once more when it is closed."""

    def __init__(self, stream: str, instrument: Instrument, interval: str, now_s: int) -> None:
        self._stream = stream
        self.instrument = instrument
        self._interval = interval
        self._begin_s = begin_of(interval, now_s)
        self._told: Candle | None = None

    def frames(self, now_s: int, emit_us: Callable[[], int]) -> list[str]:
        """What is to be told now."""
        frames = []
        if now_s < self._begin_s:
            self._begin_s, self._told = begin_of(self._interval, now_s), None  # the clock was set back
        while (end_s := end_of(self._interval, self._begin_s)) <= now_s:
            frames.append(self._frame(self._candle(end_s), True, end_s, emit_us()))
            self._begin_s, self._told = end_s, None
        candle = self._candle(end_s)
        if candle is not None and candle != self._told:
            self._told = candle
            frames.append(self._frame(candle, False, end_s, emit_us()))
        return frames

    def _candle(self, end_s: int) -> Candle | None:
        return self.instrument.history.candle(self._begin_s, end_s - self._begin_s)

    def _frame(self, candle: Candle | None, is_closed: bool, end_s: int, emit_us: int) -> str:
        span_s = (self._begin_s, end_s)
        return kline_frame(self.instrument.listing, self._stream, span_s, candle, is_closed, emit_us)
