"""Price frames: a batch of ticks without the ticks that can change nothing.

For each symbol a frame holds the last quote of the batch and, before it, four staircases: the successive
new lows and highs of bid and of ask. Whatever its price, the first tick to cross a standing trigger is the
last quote or stands on a staircase, so folding frames gives exactly what folding every tick gives
(tests/property/test_frames.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from exness_streams.domain.money import canonical
from exness_streams.domain.quotes import Quote, follows

DAY_REFRESH_MS = 10_000
"""Figures of 24 hours that stand still are told again after this long: a cell keeps none over a restart."""

REFRESH_MS = 1_000
"""A market that stands still is framed again after this long, so that its quote does not look old."""


class Step(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One new extreme of a staircase and the sequence number of its tick."""

    sequence: int
    price: Decimal


class SymbolFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a batch of ticks did to one symbol. The staircases end before `last`, which is checked after them."""

    symbol: str
    last: Quote
    bid_lows: tuple[Step, ...] = ()
    bid_highs: tuple[Step, ...] = ()
    ask_lows: tuple[Step, ...] = ()
    ask_highs: tuple[Step, ...] = ()


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
    sequence_max: a sequence above it was of the future (µs) when this was made; -1: not told, as by 0.1.0.
    days: of symbols whose figures have changed, or were told long ago. They are told, and change nothing.
    """

    time_ms: int
    symbols: tuple[SymbolFrame, ...]
    source: str | None = None
    sequence_max: int = -1
    days: tuple[DayFigures, ...] = ()


class _Batch:
    """The ticks of one symbol since the last cut."""

    __slots__ = ("ask_highs", "ask_lows", "bid_highs", "bid_lows", "last", "moved")

    def __init__(self) -> None:
        self.last: Quote | None = None
        self.moved = False
        self.bid_lows: list[Step] = []
        self.bid_highs: list[Step] = []
        self.ask_lows: list[Step] = []
        self.ask_highs: list[Step] = []

    def add(self, quote: Quote) -> None:
        bid, ask, sequence = quote.bid, quote.ask, quote.sequence
        if bid is not None:
            if not self.bid_lows or bid < self.bid_lows[-1].price:
                self.bid_lows.append(Step(sequence, bid))
            if not self.bid_highs or bid > self.bid_highs[-1].price:
                self.bid_highs.append(Step(sequence, bid))
        if ask is not None:
            if not self.ask_lows or ask < self.ask_lows[-1].price:
                self.ask_lows.append(Step(sequence, ask))
            if not self.ask_highs or ask > self.ask_highs[-1].price:
                self.ask_highs.append(Step(sequence, ask))
        self.last = quote

    def frame(self, symbol: str, last: Quote) -> SymbolFrame:
        staircases = (self.bid_lows, self.bid_highs, self.ask_lows, self.ask_highs)
        return SymbolFrame(symbol, _canonical_quote(last), *(_before(last, steps) for steps in staircases))


class FrameBuilder:
    """Turns ticks into frames. Ticks at or before one already seen of their symbol are dropped."""

    def __init__(self) -> None:
        self._framed: dict[str, Quote] = {}
        self._batches: dict[str, _Batch] = {}
        self._days: dict[str, DayFigures] = {}
        self._framed_days: dict[str, tuple[DayFigures, int]] = {}

    def add(self, symbol: str, quote: Quote, sequence_max: int = -1, day: DayFigures | None = None) -> bool:
        """Take one tick (a quote with both sides merged) into the batch. day: what it tells of 24 hours.

        False when the batch has to be cut before it: it takes the place of ticks with sequences of the future, above
        sequence_max.
        """
        framed = self._framed.get(symbol)
        batch = self._batches.get(symbol)
        if batch is None:
            if framed is not None and not follows(quote.sequence, framed.sequence, sequence_max):
                return True
            batch = self._batches[symbol] = _Batch()
        elif batch.last is not None and quote.sequence <= batch.last.sequence:
            return not follows(quote.sequence, batch.last.sequence, sequence_max)
        if not batch.moved:
            batch.moved = framed is None or (
                quote.bid != framed.bid or quote.ask != framed.ask or quote.price != framed.price
            )
        batch.add(quote)
        if day is not None:
            self._days[symbol] = day
        return True

    def cut(self, time_ms: int, source: str | None = None, sequence_max: int = -1) -> PriceFrame | None:
        """The frame of what came since the last cut; None when no quote moved and none needs refreshing."""
        frames = []
        for symbol, batch in self._batches.items():
            last = batch.last
            framed = self._framed.get(symbol)
            if last is None or not (batch.moved or framed is None or _is_due(last, framed)):
                continue
            frames.append(batch.frame(symbol, last))
            self._framed[symbol] = last
        self._batches.clear()
        if not frames:
            return None
        frames.sort(key=lambda frame: frame.symbol)
        return PriceFrame(time_ms, tuple(frames), source, sequence_max, tuple(self._cut_days(time_ms)))

    def _cut_days(self, time_ms: int) -> Iterator[DayFigures]:
        """What is new of 24 hours; once in a while all, for cells that have come since."""
        for symbol, day in sorted(self._days.items()):
            known, told_ms = self._framed_days.get(symbol, (None, 0))
            if day != known or not 0 <= time_ms - told_ms < DAY_REFRESH_MS:
                self._framed_days[symbol] = day, time_ms
                yield day
        self._days.clear()


def _is_due(last: Quote, framed: Quote) -> bool:
    """Whether a quote that stands still is told again; at once when the clock was put back."""
    return not -REFRESH_MS < last.time_ms - framed.time_ms < REFRESH_MS


def _before(last: Quote, steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(Step(s.sequence, canonical(s.price)) for s in steps if s.sequence != last.sequence)


def _canonical_quote(quote: Quote) -> Quote:
    return Quote(
        quote.sequence,
        quote.time_ms,
        canonical(quote.price),
        None if quote.bid is None else canonical(quote.bid),
        None if quote.ask is None else canonical(quote.ask),
        None if quote.volume is None else canonical(quote.volume),
    )
