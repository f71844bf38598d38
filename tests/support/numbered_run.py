"""A random history through numbered frames, as after the change of rules: staircases, raw frames and takeovers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import cycle
from typing import NamedTuple

from history_run import Run
from naive_reference import Reference
from naive_rules import Effect
from naive_view import NaiveRun, Ticks, effects_of, tick_of
from random_histories import SYMBOLS, Move, quote_of

from exness_streams.domain.codec import META_KEY, Meta, encode
from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.quotes import Quote
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder
from exness_streams.domain.rules import ORDERS_AT_MARKET

RULES = 2
"""The first with numbered frames."""


class Received(NamedTuple):
    """What a frame, or some raw ones that follow each other, told of ticks that no cell had seen, and its time."""

    time_ms: int
    ticks: list[tuple[str, Quote, int]]
    is_raw: bool


class KeptTick(NamedTuple):
    offset: int
    symbol: str
    quote: Quote
    received_ms: int


class NumberedRun(Run):
    """Time passes with every tick. choices: what becomes of each batch, over and over.

    0: a staircase frame, made even when nothing has moved. 1: none when nothing has. n from 2: the ticks' owner is
    another now, and sends ticks from n - 2 before this batch on, raw, some in a frame. After each frame it comes again,
    and so does one of a former owner; neither does anything.
    """

    def __init__(
        self, cut_every: int = 1_000, choices: Sequence[int] = (0,), raw_ticks: int = 3, by_rules: int = RULES
    ) -> None:
        super().__init__(cut_every)
        self.cell.load(0, [], [], meta=Meta(0, 0, rules=by_rules))
        self.ignored: list[IgnoredFrame] = []
        self._choices = cycle(choices)
        self._raw_ticks = raw_ticks
        self._epoch = 1
        self._builder = FrameBuilder(0, epoch=1, by_offset=True)
        self._kept: list[KeptTick] = []
        self._end = 0
        self._received_ms = 0
        self._sent: list[PriceFrame | RawFrame] = []

    def _feed(self, batch: list[Move]) -> None:
        choice = next(self._choices)
        first = len(self._kept)
        for move in batch:
            self._now_ms += 1
            self._received_ms = max(self._received_ms, self._now_ms)
            # Sequences go back and forth: they order nothing any more. Some offsets are of what is no tick.
            quote = quote_of(move, len(self._kept) ^ 3)
            self._kept.append(KeptTick(self._end, SYMBOLS[move.symbol], quote, self._received_ms))
            self._end += 1 + (len(self._kept) % 5 == 0)
        news = self._kept[first:]
        if choice >= 2:
            self._take_over(first, choice - 2, news)
        else:
            self._staircases(news, always=choice == 0)
        self._received_ms = max(self._received_ms, self._now_ms)

    def _staircases(self, news: list[KeptTick], *, always: bool) -> None:
        for tick in news:
            assert self._builder.add(tick.symbol, tick.quote, offset=tick.offset, received_ms=tick.received_ms)
        frame = self._builder.cut(self._now_ms, end=self._end, always=always)
        if frame is None:
            self.inputs.append(Ticks(None, [(tick.symbol, tick.quote) for tick in news]))
            return
        self.inputs.append(Received(frame.time_ms, [(*tick[1:],) for tick in news], is_raw=False))  # type: ignore[misc]
        self._send(frame)

    def _take_over(self, first: int, back: int, news: list[KeptTick]) -> None:
        begin = min(self._kept[max(0, first - back)].offset, max(0, self.cell.meta.ticks_end))
        self._epoch += 1
        builder = RawFrameBuilder(begin, epoch=self._epoch)
        frames: list[RawFrame | None] = []
        taken = [tick for tick in self._kept if tick.offset >= begin]
        for nth, tick in enumerate(taken, 1):
            builder.add(tick.symbol, tick.quote, offset=tick.offset, received_ms=tick.received_ms)
            if nth % self._raw_ticks == 0 and nth < len(taken):
                frames.append(builder.cut(tick.received_ms))
        frames.append(builder.cut(self._now_ms, end=self._end))
        made = [frame for frame in frames if frame is not None]
        self.inputs.append(Received(made[-1].time_ms, [(*tick[1:],) for tick in news], is_raw=True))  # type: ignore[misc]
        for frame in made:
            self._send(frame)
        self._builder = FrameBuilder(self._end, epoch=self._epoch, by_offset=True)

    def _send(self, frame: PriceFrame | RawFrame) -> None:
        ignored = self.apply(frame).ignored
        assert ignored in (None, IgnoredFrame.REPEATED)
        self._sent.append(frame)
        again = self.apply(frame)
        assert not again.events
        assert again.ignored is (IgnoredFrame.REPEATED if frame.from_offset < frame.to_offset else None)
        late = self._sent[len(self._sent) // 2]
        if late.epoch < self._epoch:
            assert self.apply(late) == ([], None, None, IgnoredFrame.OLD_EPOCH)
            self.ignored.append(IgnoredFrame.OLD_EPOCH)

    def commit(self) -> None:
        self.store[META_KEY] = encode(self.cell.meta)
        super().commit()


def naive_run(run: NumberedRun, starting_balance: Decimal, open_max: int, exposure_max: Decimal) -> NaiveRun:
    """What a run was given, through the reference: tick by tick, each after the orders that were over when it came."""
    reference = Reference(
        Fraction(starting_balance),
        open_max,
        Fraction(exposure_max),
        third_rules=run.cell.rules >= ORDERS_AT_MARKET,
    )
    effects: list[Effect | str] = []
    births = 0
    for item in run.inputs:
        if isinstance(item, Received):
            effects.extend(_received(reference, item))
        elif isinstance(item, Ticks):
            effects.extend(reference.frame(tick_of(symbol, quote) for symbol, quote in item.ticks))
        else:
            effects.extend(effects_of(run, reference, item, births))
            births += 1
    return NaiveRun(reference, effects)


def _received(reference: Reference, told: Received) -> Iterator[Effect]:
    ticks = [(tick_of(symbol, quote), received_ms) for symbol, quote, received_ms in told.ticks]
    if not told.is_raw:
        yield from reference.received(ticks, told.time_ms)
        return
    for tick in ticks:
        yield from reference.received([tick], tick[1])
    yield from reference.received([], told.time_ms)
