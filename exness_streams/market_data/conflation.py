"""What of a burst of frames somebody can use: the newest of each stream, and every new extreme of bid, ask and price.

When frames come faster than they can be handed on, those that wait are looked at, a stream at a time, before they are
parsed into messages. A frame whose prices are none of the burst's new lows or highs is left out once a newer one is
there. So whatever a trigger's price is, the first update that crosses it is handed on, and the same triggers fire.

A frame counts among the extremes only when it is sure to be taken: its time is later than that of all before it in its
stream (or it is taken as of now, since it claims to be of the future), its update is a later one, and its prices can be
used. One that is sure to be late is counted. Of any other the reader decides, as it would without conflation, so it is
handed on with the frame before it; of unusable books in a row the last is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from exness_streams.domain.quotes import AHEAD_MS_MAX
from exness_streams.market_data.backpack import (
    EVENT_US_MAX,
    EVENT_US_MIN,
    BookTicker,
    Ignored,
    ParseResult,
    Ticker,
    is_plain_price,
    parse,
)

Entry = str | bytes | ParseResult
"""A frame, or what it says where that had to be found out."""

_AHEAD_US_MAX = AHEAD_MS_MAX * 1000
_SURE, _UNSURE, _LATE = "sure", "unsure", "late"


class _Data(msgspec.Struct, gc=False):
    """What has to be known of a frame; all numbers in the form that the exchange sends."""

    E: int = 0
    T: int = 0
    u: int | None = None
    a: str | None = None
    b: str | None = None
    c: str | None = None
    s: str | None = None


class _Frame(msgspec.Struct, gc=False):
    stream: str
    data: _Data


class _Stream:
    """One stream. newest_us, update_id: of its frames up to now; sure_us: of those sure to be taken.

    The rest is of the burst. lows, highs: of bid and ask, or of the price alone.
    tail, book_fault: entries that go when another one of their kind comes. book: of a ticker, its symbol's books.
    """

    __slots__ = ("book", "book_fault", "highs", "is_id_known", "is_told", "lows", "newest_us", "sure_us", "symbol",
                 "tail", "update_id")  # fmt: skip

    def __init__(self, symbol: str, book: _Stream | None = None) -> None:
        self.symbol = symbol
        self.book = book
        self.newest_us = self.sure_us = 0
        self.update_id: int | None = None
        self.is_id_known = True
        self.forget()

    def forget(self) -> None:
        self.lows: list[Decimal | None] = [None, None]
        self.highs: list[Decimal | None] = [None, None]
        self.tail: int | None = None
        self.book_fault: int | None = None
        self.is_told = False

    def extends(self, first: Decimal | None, second: Decimal | None) -> bool:
        """Whether a price is a new extreme of its side, which it then is."""
        is_new = False
        for side, price in ((0, first), (1, second)):
            if price is None:
                continue
            low, high = self.lows[side], self.highs[side]
            if low is None or price < low:
                self.lows[side], is_new = price, True
            if high is None or price > high:
                self.highs[side], is_new = price, True
        return is_new


class Burst:
    """Frames that wait to be handed on. symbols: those that are wanted. clock_us: µs since the epoch.

    conflated: how many were left out. late: those of them that are older than what was known.
    """

    def __init__(self, symbols: Iterable[str], clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._streams: dict[str, _Stream] = {}
        for symbol in symbols:
            book = self._streams[f"bookTicker.{symbol}"] = _Stream(symbol)
            self._streams[f"ticker.{symbol}"] = _Stream(symbol, book)
        self._entries: list[Entry | None] = []
        self._touched: set[_Stream] = set()
        self.conflated = self.late = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, frame: str | bytes) -> None:
        """A frame that has come."""
        entries = self._entries
        try:
            peeked = _peek(frame)
        except (ValueError, RecursionError):
            self._add_parsed(parse(frame))
            return
        stream, data = self._streams.get(peeked.stream), peeked.data
        if stream is None or (data.s is not None and data.s != stream.symbol):
            entries.append(frame)
            return
        first, second, is_usable = _prices(peeked)
        if not is_usable:
            self._add_parsed(parse(frame))
            return
        self._add(stream, frame, _event_us(data), data.u, first, second)

    def take(self) -> list[Entry]:
        """All that is to be handed on, in the order of arrival; the burst is over."""
        kept = [entry for entry in self._entries if entry is not None]
        self.conflated += len(self._entries) - len(kept)
        self._entries = []
        for stream in self._touched:
            stream.forget()
        self._touched.clear()
        return kept

    def _add_parsed(self, said: ParseResult) -> None:
        """A frame of another form, or one that can't be used: it is known as a whole."""
        if isinstance(said, Ticker):
            stream = self._streams.get(f"ticker.{said.symbol}")
            if stream is not None:
                self._add(stream, said, said.event_us, None, said.last, None)
                return
        book = said.book if isinstance(said, Ignored) else said
        stream = self._streams.get(f"bookTicker.{book.symbol}") if isinstance(book, BookTicker) else None
        if stream is None or not isinstance(book, BookTicker):
            self._entries.append(said)
        elif book is said:
            self._add(stream, said, book.event_us, book.update_id, book.bid, book.ask)
        else:
            self._add_fault(stream, said, book.event_us, book.update_id)

    def _add(
        self,
        stream: _Stream,
        entry: Entry,
        event_us: int,
        update_id: int | None,
        first: Decimal | None,
        second: Decimal | None,
    ) -> None:
        self._touched.add(stream)
        stream.book_fault = None
        entries = self._entries
        if stream.book is not None and not stream.is_told:
            # Books before the first price are told to nobody, and that price comes with the newest of them.
            stream.book.forget()
        certainty = self._judge(stream, event_us, update_id)
        if certainty is _LATE:
            return
        if certainty is _SURE:
            stream.is_told = True
            if stream.tail is not None:
                entries[stream.tail] = None
            stream.tail = None if stream.extends(first, second) else len(entries)
        else:
            stream.tail = None  # whether this one is taken depends on that one
        entries.append(entry)

    def _add_fault(self, stream: _Stream, entry: Entry, event_us: int, update_id: int | None) -> None:
        """A book whose prices can't be used: from now on nobody knows them, however often that is said."""
        self._touched.add(stream)
        certainty = self._judge(stream, event_us, update_id)
        if certainty is _LATE:
            return
        stream.tail = None
        if certainty is _SURE and stream.book_fault is not None:
            self._entries[stream.book_fault] = None
        stream.book_fault = len(self._entries) if certainty is _SURE else None
        self._entries.append(entry)

    def _judge(self, stream: _Stream, event_us: int, update_id: int | None) -> str:
        """Whether a frame is sure to be taken, whatever went before it, or sure to be late, or who knows."""
        latest_us = self._clock_us() + _AHEAD_US_MAX
        if stream.newest_us > latest_us:
            stream.newest_us = stream.sure_us = 0  # as the merger does
        if event_us > latest_us:
            stream.is_id_known = False
            return _SURE  # it is taken as of now, and is no mark for others
        if event_us < stream.sure_us:
            self.late += 1
            return _LATE
        if event_us <= stream.newest_us:
            stream.is_id_known = False  # where two have one time, their ids decide
            return _UNSURE
        known = stream.update_id if stream.is_id_known else -1
        is_new = update_id is known if update_id is None or known is None else update_id > known >= 0
        stream.update_id, stream.is_id_known, stream.newest_us = update_id, True, event_us
        if not is_new:
            return _UNSURE
        stream.sure_us = event_us
        return _SURE


_peek = msgspec.json.Decoder(_Frame).decode


def _prices(peeked: _Frame) -> tuple[Decimal | None, Decimal | None, bool]:
    """The prices that count, and whether they can be used: they are in the usual form, and not crossed."""
    data = peeked.data
    if peeked.stream.startswith("t"):
        if data.c is None or not is_plain_price(data.c):
            return None, None, False
        return Decimal(data.c), None, _event_us(data) > 0
    bid, ask = data.b, data.a
    if (bid is not None and not is_plain_price(bid)) or (ask is not None and not is_plain_price(ask)):
        return None, None, False
    first, second = None if bid is None else Decimal(bid), None if ask is None else Decimal(ask)
    is_crossed = first is not None and second is not None and first > second
    return first, second, not is_crossed and _event_us(data) > 0


def _event_us(data: _Data) -> int:
    """As the parser takes it; 0 where there is none."""
    if EVENT_US_MIN <= data.T < EVENT_US_MAX:
        return data.T
    return data.E if EVENT_US_MIN <= data.E < EVENT_US_MAX else 0
