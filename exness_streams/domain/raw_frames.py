"""Raw frames: a range of ticks of which a cell may have seen some, with every tick in it.

What a former owner of the ticks may have framed in part goes out like this: no staircase could leave out what a cell
has seen. A cell folds the ticks one by one, from where it stands.
"""

from __future__ import annotations

import msgspec

from exness_streams.domain.frames import DayFigures, OldBook, RangeKeeper, canonical_quote
from exness_streams.domain.market_states import Markets
from exness_streams.domain.quotes import Quote

RAW_TICKS_MAX = 500
"""So many ticks are in a raw frame: some 60 kB, and some milliseconds of a cell's time."""


class RawTick(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One tick. offset: from the frame's `from`. before_ms: how long before the frame's time it was received."""

    symbol: str
    offset: int
    before_ms: int
    quote: Quote


class RawFrame(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag="RawFrame"):
    """One record of the journal, for every partition. Fields as in PriceFrame; ticks: in the order of their offsets;
    books: of any of them.

    Releases that know the first rules only can't read it: it is written where every partition goes by rules that
    number ticks by offset (rules.FRAMES_BY_OFFSET).
    """

    time_ms: int
    epoch: int
    from_offset: int = msgspec.field(name="from")
    to_offset: int = msgspec.field(name="to")
    ticks: tuple[RawTick, ...]
    source: str | None = None
    days: tuple[DayFigures, ...] = ()
    restarts: int = 0
    gap: bool = False
    settings: str | None = None
    books: tuple[OldBook, ...] = ()
    markets: Markets | None = None


class RawFrameBuilder:
    """Turns ticks into raw frames, each of which begins where the one before it ended."""

    def __init__(self, begin: int, *, epoch: int, restarts: int = 0) -> None:
        """begin: the offset of the first tick. ValueError when the epoch is not above 0."""
        if epoch <= 0:
            raise ValueError("a builder of raw frames needs an epoch above 0")
        self._range = RangeKeeper(begin)
        self._epoch, self._restarts = epoch, restarts
        self._ticks: list[tuple[str, int, int, Quote]] = []
        self._days: dict[str, DayFigures] = {}
        self._books: list[OldBook] = []
        self.tells_books = False

    @property
    def is_full(self) -> bool:
        """Whether a frame has to be cut before the next tick."""
        return len(self._ticks) >= RAW_TICKS_MAX

    def add(
        self,
        symbol: str,
        quote: Quote,
        day: DayFigures | None = None,
        *,
        offset: int,
        received_ms: int,
        book_age_ms: int = 0,
    ) -> None:
        """Take one tick, unless its offset was there already. ValueError when the frame is full.

        received_ms, book_age_ms, and tells_books: as in FrameBuilder.
        """
        if self.is_full:
            raise ValueError(f"a raw frame holds {RAW_TICKS_MAX} ticks")
        taken_ms = self._range.take(offset, received_ms)
        if taken_ms is None:
            return
        self._ticks.append((symbol, offset, taken_ms, canonical_quote(quote)))
        if self.tells_books and book_age_ms > 0:
            self._books.append(OldBook(offset - self._range.begin, book_age_ms))
        if day is not None:
            self._days[symbol] = day

    def skip_to(self, offset: int) -> None:
        """The next frame begins here, with the flag `gap`: the ticks before it that were not taken are trimmed.

        ValueError when ticks were taken since the last frame.
        """
        self._range.skip_to(offset)

    def cut(
        self, time_ms: int, source: str | None = None, *, end: int | None = None, settings: str | None = None
    ) -> RawFrame | None:
        """The frame of the ticks since the last cut, None when there was none.

        time_ms: no tick to come may have been received before it. While there are ticks waiting, that is the time of
        receipt of the last one taken. end: as in FrameBuilder.cut.
        """
        told = self._range.open(time_ms, end)
        if told.begin == told.end:
            return None
        ticks = tuple(
            RawTick(symbol, offset - told.begin, told.time_ms - received_ms, quote)
            for symbol, offset, received_ms, quote in self._ticks
        )
        days = tuple(day for _, day in sorted(self._days.items()))
        self._ticks.clear()
        books = tuple(self._books)
        self._days.clear()
        self._books.clear()
        self._range.close()
        return RawFrame(
            told.time_ms,
            self._epoch,
            told.begin,
            told.end,
            ticks,
            source,
            days,
            self._restarts,
            told.gap,
            settings,
            books,
        )
