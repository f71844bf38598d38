"""Price frames: a batch of ticks without the ticks that can change nothing.

For each symbol a frame holds the last quote of the batch and, before it, four staircases: the successive
new lows and highs of bid and of ask. Whatever its price, the first tick to cross a standing trigger is the
last quote or stands on a staircase, so folding frames gives exactly what folding every tick gives
(tests/property/test_frames.py).

Ticks are numbered by their offset in the ticks' topic. A frame says which range of offsets it is made of, and which
epoch of the ticks' owner made it, so that a cell takes each tick once (frame_fold.py). Times of receipt never go back
as offsets go up. Offsets and times inside a frame are told as distances, to be short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from exness_streams.domain.market_states import Markets
from exness_streams.domain.money import ZERO, canonical
from exness_streams.domain.quotes import Quote, follows

DAY_REFRESH_MS = 10_000
"""Figures of 24 hours that stand still are told again after this long: a cell keeps none over a restart."""

REFRESH_MS = 1_000
"""A market that stands still is framed again after this long, so that its quote does not look old."""


class Step(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One new extreme of a staircase and its tick.

    sequence: 0 in a frame that is numbered by offsets alone. offset: from the frame's `from`. before_ms: how long
    before the frame's time the tick was received.
    """

    sequence: int
    price: Decimal
    offset: int = 0
    before_ms: int = 0


class SymbolFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a batch of ticks did to one symbol. The staircases end before `last`, which is checked after them.

    offset, before_ms: of the tick of `last`, as a Step's.
    """

    symbol: str
    last: Quote
    bid_lows: tuple[Step, ...] = ()
    bid_highs: tuple[Step, ...] = ()
    ask_lows: tuple[Step, ...] = ()
    ask_highs: tuple[Step, ...] = ()
    offset: int = 0
    before_ms: int = 0


class OldBook(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A tick that tells a book that came before it. offset: the tick's, from the frame's `from`. age_ms: above 0."""

    offset: int
    age_ms: int


class DayFigures(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last 24 hours of a symbol as the exchange tells them, None: not told.

    first, high, low: of trades, quote currency. volume: base asset. quote_volume: quote currency.
    """

    symbol: str
    first: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: Decimal | None
    quote_volume: Decimal | None


class PriceFrame(msgspec.Struct, frozen=True, omit_defaults=True, tag="PriceFrame", forbid_unknown_fields=True):
    """One record of the journal: the market moved. Goes to every partition.

    source: where the prices come from, None when unknown. It is told, and changes nothing.
    sequence_max: a sequence above it was of the future (µs) when this was made; -1: not told, as by 0.1.0, and in a
    frame that is numbered by offsets alone.
    days: of symbols whose figures have changed, or were told long ago. They are told, and change nothing.
    epoch: of the ticks' owner, above 0; 0: made by one that had none, and so says nothing of what follows either.
    from_offset, to_offset: the ticks this is made of, `to` not included. Ticks that move nothing have no symbol here.
    restarts: how often the ticks' topic was begun anew, so that its offsets are from 0 again.
    gap: the ticks before `from` that a cell has not seen are trimmed: nobody will ever see them.
    settings: a digest of the settings that decide, as their owner has them. It is told, and changes nothing.
    books: of the symbols' last ticks, those whose book had come before. markets: None: not told in this one. Both since
    rules.MARKET_STATES.
    """

    time_ms: int
    symbols: tuple[SymbolFrame, ...]
    source: str | None = None
    sequence_max: int = -1
    days: tuple[DayFigures, ...] = ()
    epoch: int = 0
    from_offset: int = msgspec.field(default=-1, name="from")
    to_offset: int = msgspec.field(default=-1, name="to")
    restarts: int = 0
    gap: bool = False
    settings: str | None = None
    books: tuple[OldBook, ...] = ()
    markets: Markets | None = None


class Range(NamedTuple):
    """The ticks of a frame by their offsets, `end` not included, and the frame's time."""

    begin: int
    end: int
    time_ms: int
    gap: bool


class RangeKeeper:
    """Sees that each frame begins where the one before it ended, and that time does not go back."""

    def __init__(self, begin: int) -> None:
        self._begin = self._end = begin
        self._time_ms = 0
        self._gap = False

    @property
    def begin(self) -> int:
        """Where the next frame begins."""
        return self._begin

    def take(self, offset: int, received_ms: int) -> int | None:
        """When a tick counts as received; None when its offset was there already."""
        if offset < self._end:
            return None
        self._end = offset + 1
        if received_ms > self._time_ms:
            self._time_ms = received_ms
        return self._time_ms

    def skip_to(self, offset: int) -> None:
        """The ticks before `offset` that were not taken are trimmed. ValueError when there are some to be cut first."""
        if self._end != self._begin:
            raise ValueError(
                f"ticks {self._begin} to {self._end} have to be framed before those up to {offset} are left"
            )
        if offset > self._end:
            self._begin = self._end = offset
            self._gap = True

    def open(self, time_ms: int, end: int | None) -> Range:
        """The range of a frame that is cut now."""
        self._end = max(self._end, self._end if end is None else end)
        self._time_ms = max(self._time_ms, time_ms)
        return Range(self._begin, self._end, self._time_ms, self._gap)

    def close(self) -> None:
        """The frame is made: the next begins at its end."""
        self._begin, self._gap = self._end, False


class _Batch:
    """The ticks of one symbol since the last cut. Steps have the offset and the time of receipt themselves."""

    __slots__ = (
        "ask_high",
        "ask_highs",
        "ask_low",
        "ask_lows",
        "bid_high",
        "bid_highs",
        "bid_low",
        "bid_lows",
        "book_age_ms",
        "last",
        "moved",
        "offset",
        "received_ms",
    )

    def __init__(self) -> None:
        self.last: Quote | None = None
        self.moved = False
        self.offset = self.received_ms = self.book_age_ms = 0
        self.bid_low = self.bid_high = self.ask_low = self.ask_high = ZERO  # until the first step
        self.bid_lows: list[Step] = []
        self.bid_highs: list[Step] = []
        self.ask_lows: list[Step] = []
        self.ask_highs: list[Step] = []

    def add(self, quote: Quote, offset: int, received_ms: int, book_age_ms: int) -> None:
        bid, ask, sequence = quote.bid, quote.ask, quote.sequence
        if bid is not None:
            if bid < self.bid_low or not self.bid_lows:
                self.bid_low = bid
                self.bid_lows.append(Step(sequence, bid, offset, received_ms))
            if bid > self.bid_high or not self.bid_highs:
                self.bid_high = bid
                self.bid_highs.append(Step(sequence, bid, offset, received_ms))
        if ask is not None:
            if ask < self.ask_low or not self.ask_lows:
                self.ask_low = ask
                self.ask_lows.append(Step(sequence, ask, offset, received_ms))
            if ask > self.ask_high or not self.ask_highs:
                self.ask_high = ask
                self.ask_highs.append(Step(sequence, ask, offset, received_ms))
        self.last, self.offset, self.received_ms, self.book_age_ms = quote, offset, received_ms, book_age_ms

    def frame(self, symbol: str, last: Quote, told: Range, *, with_sequences: bool) -> SymbolFrame:
        def before(steps: Iterable[Step]) -> tuple[Step, ...]:
            return tuple(
                Step(
                    step.sequence if with_sequences else 0,
                    canonical(step.price),
                    step.offset - told.begin,
                    told.time_ms - step.before_ms,
                )
                for step in steps
                if step.offset != self.offset or step.sequence != last.sequence
            )

        return SymbolFrame(
            symbol,
            canonical_quote(last),
            before(self.bid_lows),
            before(self.bid_highs),
            before(self.ask_lows),
            before(self.ask_highs),
            self.offset - told.begin,
            told.time_ms - self.received_ms,
        )


class FrameBuilder:
    """Turns ticks into frames.

    With `begin` and `epoch` its frames are numbered: they begin at that offset, and each where the one before it
    ended, also over ticks that moved nothing; every add() has an offset and a time of receipt then.
    by_offset: False while a cell may go by rules in which the sequence decides (rules.FRAMES_BY_OFFSET): ticks at or
    before one already seen of their symbol are dropped, by sequence. True: every tick counts, in the order of offsets.
    It may be set between a cut() and the next add().
    tells_books: whether frames say how old books are (rules.MARKET_STATES); likewise.
    """

    def __init__(self, begin: int | None = None, *, epoch: int = 0, restarts: int = 0, by_offset: bool = False) -> None:
        """ValueError when it has one of begin and epoch, or is to go by offset without them."""
        if (begin is None) != (epoch == 0) or (by_offset and begin is None):
            raise ValueError("a builder of numbered frames needs the first offset and an epoch above 0")
        self.by_offset = by_offset
        self.tells_books = False
        self._range = None if begin is None else RangeKeeper(begin)
        self._epoch, self._restarts = epoch, restarts
        self._framed: dict[str, Quote] = {}
        self._framed_ms: dict[str, int] = {}
        self._batches: dict[str, _Batch] = {}
        self._days: dict[str, DayFigures] = {}
        self._framed_days: dict[str, tuple[DayFigures, int]] = {}

    def add(
        self,
        symbol: str,
        quote: Quote,
        sequence_max: int = -1,
        day: DayFigures | None = None,
        *,
        offset: int = 0,
        received_ms: int = 0,
        book_age_ms: int = 0,
    ) -> bool:
        """Take one tick (a quote with both sides merged) into the batch. day: what it tells of 24 hours.

        False when the batch has to be cut before it: it takes the place of ticks with sequences of the future, above
        sequence_max. Never by offset, where a tick of an offset that was taken is passed over.
        received_ms: by this machine's clock; one before the former tick's, or before the last cut's time, counts as
        that.
        book_age_ms: how long before the tick its bid and ask were received.
        """
        framed = self._framed.get(symbol)
        batch = self._batches.get(symbol)
        if self.by_offset:
            follows_now = True
        elif batch is None:
            follows_now = framed is None or follows(quote.sequence, framed.sequence, sequence_max)
        else:
            last = batch.last
            follows_now = last is None or quote.sequence > last.sequence
            if last is not None and not follows_now and follows(quote.sequence, last.sequence, sequence_max):
                return False
        if self._range is not None:
            taken_ms = self._range.take(offset, received_ms)
            if taken_ms is None:
                return True
            received_ms = taken_ms
        if not follows_now:
            return True
        if batch is None:
            batch = self._batches[symbol] = _Batch()
        if not batch.moved:
            batch.moved = framed is None or (
                quote.bid != framed.bid or quote.ask != framed.ask or quote.price != framed.price
            )
        batch.add(quote, offset, received_ms, book_age_ms)
        if day is not None:
            self._days[symbol] = day
        return True

    def skip_to(self, offset: int) -> None:
        """The next frame begins here, with the flag `gap`: the ticks before it that were not taken are trimmed.

        ValueError when ticks were taken since the last frame, or the frames are not numbered.
        """
        if self._range is None:
            raise ValueError("frames without numbers have no gaps")
        self._range.skip_to(offset)

    def cut(
        self,
        time_ms: int,
        source: str | None = None,
        sequence_max: int = -1,
        *,
        end: int | None = None,
        settings: str | None = None,
        always: bool = False,
    ) -> PriceFrame | None:
        """The frame of what came since the last cut; None when no quote moved and none needs refreshing.

        time_ms: cells take it that no tick to come was received before it, and what expires by then is over.
        end: the offset after the last tick read, those put aside included; None: after the last one added.
        always: make a frame also when there is nothing to tell, so that cells see time go on.
        """
        # Without numbers all are at the same place and time, which distances of 0 tell.
        told = Range(0, 0, 0, gap=False) if self._range is None else self._range.open(time_ms, end)
        frames, books = [], []
        for symbol, batch in self._batches.items():
            last = batch.last
            framed = self._framed.get(symbol)
            if last is None or not (batch.moved or framed is None or self._is_due(symbol, batch, last, framed)):
                continue
            frames.append(batch.frame(symbol, last, told, with_sequences=not self.by_offset))
            self._framed[symbol], self._framed_ms[symbol] = last, batch.received_ms
            if self.tells_books and batch.book_age_ms > 0:
                books.append(OldBook(batch.offset - told.begin, batch.book_age_ms))
        self._batches.clear()
        if not frames and not always:
            return None
        frames.sort(key=lambda frame: frame.symbol)
        days = tuple(self._cut_days(time_ms))
        if self._range is None:
            return PriceFrame(time_ms, tuple(frames), source, sequence_max, days)
        self._range.close()
        return PriceFrame(
            told.time_ms,
            tuple(frames),
            source,
            -1 if self.by_offset else sequence_max,
            days,
            self._epoch,
            told.begin,
            told.end,
            self._restarts,
            told.gap,
            settings,
            tuple(sorted(books, key=lambda book: book.offset)),
        )

    def _is_due(self, symbol: str, batch: _Batch, last: Quote, framed: Quote) -> bool:
        """Whether a quote that stands still is told again; at once when the clock was put back."""
        if not -REFRESH_MS < last.time_ms - framed.time_ms < REFRESH_MS:
            return True
        return batch.received_ms - self._framed_ms[symbol] >= REFRESH_MS

    def _cut_days(self, time_ms: int) -> Iterator[DayFigures]:
        """What is new of 24 hours; once in a while all, for cells that have come since."""
        for symbol, day in sorted(self._days.items()):
            known, told_ms = self._framed_days.get(symbol, (None, 0))
            if day != known or not 0 <= time_ms - told_ms < DAY_REFRESH_MS:
                self._framed_days[symbol] = day, time_ms
                yield day
        self._days.clear()


def canonical_quote(quote: Quote) -> Quote:
    """The quote with each number in its shortest form."""
    return Quote(
        quote.sequence,
        quote.time_ms,
        canonical(quote.price),
        None if quote.bid is None else canonical(quote.bid),
        None if quote.ask is None else canonical(quote.ask),
        None if quote.volume is None else canonical(quote.volume),
    )
