"""The market agent's work: ticks in, price frames out to every cell; and every tick into its candle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from exness_streams.domain import codec
from exness_streams.domain.candles import CandleFold
from exness_streams.domain.frames import DayFigures, FrameBuilder, PriceFrame
from exness_streams.domain.instruments import Catalogue, mark_up
from exness_streams.domain.money import canonical
from exness_streams.domain.quotes import Quote, bounded_ms, sequence_bound
from exness_streams.domain.ticks import TickFault
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.market_data.ticks import TickRecord, read_tick
from exness_streams.messages import MARKET_UPDATES_TOPIC, PLAIN_TOPICS, MarketDataMessage, Topics
from exness_streams.transport.interfaces import FrameLog, LogRecord

log = logging.getLogger(__name__)

BACKLOG_TICKS = 1_000
"""A batch this large is a backlog: the next is taken at once, without the pace."""

SLICE_TICKS_MAX = 1_000


class OffsetTickRecord(TickRecord, Protocol):
    """A record of the ticks' topic, and where it stands."""

    @property
    def offset(self) -> int: ...


class Candles(Protocol):
    """Who keeps candles (engine/candles.py)."""

    @property
    def fold(self) -> CandleFold:
        """Takes the ticks."""

    def framed(self, fold: CandleFold, next_offset: int) -> None:
        """The ticks before an offset are in `fold`, and framed."""


class NoCandles:
    """Keeps none."""

    fold = CandleFold(())

    def framed(self, fold: CandleFold, next_offset: int) -> None:
        """Nothing."""


def epoch_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def _day_of(tick: MarketDataMessage) -> DayFigures | None:
    """What a tick tells of 24 hours; most tell nothing."""
    prices = tick.open24h, tick.high24h, tick.low24h
    if tick.quote_volume24h is None and prices == (None, None, None):
        return None
    figures = (*prices, tick.volume, tick.quote_volume24h)
    return DayFigures(tick.symbol, *(None if figure is None else canonical(figure) for figure in figures))


class Framer:
    """Turns batches of ticks into frames; one for each partition of the ticks' topic.

    catalogue: whose spread rates the quotes are marked up with, so that the journal holds what orders fill at.
    clock_ms: ms since the epoch; no tick's time is taken to be later. It is read here, before the journal, since what
    folds the journal may not look at a clock.
    """

    def __init__(
        self,
        frame_log: FrameLog,
        cells: int,
        pace_ms: int,
        catalogue: Catalogue | None = None,
        candles: Candles | None = None,
        *,
        topics: Topics = PLAIN_TOPICS,
        metrics: WorkMetrics | None = None,
        clock_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._frame_log = frame_log
        self._topics = topics
        self._candles = NoCandles() if candles is None else candles
        self._cells = range(cells)
        self._pace_s = pace_ms / 1000
        self._spread_rates = {terms.symbol: terms.spread_rate for terms in catalogue or () if terms.spread_rate}
        self._symbols = None if catalogue is None else frozenset(terms.symbol for terms in catalogue)
        self._clock_ms = clock_ms
        self._now_ms = clock_ms()
        self._builder = FrameBuilder()
        self._framing = asyncio.Lock()
        self.next_offsets: dict[int, int] = {}
        self._source: str | None = None
        self._metrics = metrics or WorkMetrics()
        self.counters: Counter[str] = Counter()
        self.faults: Counter[TickFault] = Counter()

    async def frame(self, partition: int, batch: Sequence[OffsetTickRecord]) -> None:
        """Write the frames of a batch; returns when the next batch may be taken."""
        begun_s = time.monotonic()
        builder = self._builder
        async with self._framing:  # what a former holder has begun to write is framed, and known to be
            framed = await self._frame(builder, partition, batch)
        if framed and len(batch) < BACKLOG_TICKS:
            await asyncio.sleep(max(0.0, self._pace_s - (time.monotonic() - begun_s)))

    def drop(self) -> None:
        """The ticks are another worker's now. Those that are not framed yet are that one's, too."""
        self._builder = FrameBuilder()
        self.next_offsets.clear()

    async def _frame(self, builder: FrameBuilder, partition: int, batch: Sequence[OffsetTickRecord]) -> bool:
        """Whether there was anything to frame. builder: another one by now, when the partition was lost meanwhile."""
        # Taken once: should the partition be lost and come back meanwhile, its candles are another object.
        fold = self._candles.fold
        if self._builder is not builder:
            return False
        framed_end, replay_end = self._frame_log.framed_end(partition), self._frame_log.replay_end(partition)
        frames: list[PriceFrame] = []
        for first in range(0, len(batch), SLICE_TICKS_MAX):
            frames += self._frames(batch[first : first + SLICE_TICKS_MAX], fold, framed_end, replay_end)
            if first + SLICE_TICKS_MAX < len(batch):
                await asyncio.sleep(0)
                if self._builder is not builder:
                    return False
        frames += self._cut()
        self._metrics.batch(MARKET_UPDATES_TOPIC, len(batch))
        next_offset = batch[-1].offset + 1
        if frames:
            encoded = [codec.encode(frame) for frame in frames]
            written = [LogRecord(self._topics.journal, None, value, cell) for value in encoded for cell in self._cells]
            await self._frame_log.append(written, partition, next_offset)
            self.counters["frames"] += len(frames)
        if self._builder is builder:
            self.next_offsets[partition] = next_offset
            self._candles.framed(fold, next_offset)
        return bool(frames)

    def _frames(
        self, batch: Sequence[OffsetTickRecord], fold: CandleFold, framed_end: int, replay_end: int
    ) -> Iterator[PriceFrame]:
        add, rates, known = self._builder.add, self._spread_rates, self._symbols
        keep = fold.add
        self._now_ms = now_ms = self._clock_ms()
        sequence_max = sequence_bound(now_ms)
        framed = 0
        for record in batch:
            tick, fault = read_tick(record)
            if tick is not None and known is not None and tick.symbol not in known:
                tick, fault = None, TickFault.UNKNOWN_SYMBOL
            if fault is not None:
                self._note(record, fault, ignored=tick is None)
            if tick is None:
                continue
            time_ms = bounded_ms(tick.timestamp, now_ms)
            keep(tick.symbol, tick.sequence, time_ms, tick.price, now_ms)
            if record.offset < framed_end:
                continue  # read again for the candles alone
            if time_ms != tick.timestamp:
                self._note_ahead(record)
            quote = Quote(tick.sequence, time_ms, tick.price, tick.bid, tick.ask, tick.volume)
            if tick.symbol in rates:
                quote = mark_up(quote, rates[tick.symbol])
            day = _day_of(tick)
            if not add(tick.symbol, quote, sequence_max, day):
                yield from self._cut()
                add(tick.symbol, quote, sequence_max, day)
            framed += 1
            self._source = tick.source or self._source
            if record.offset < replay_end:
                # It may have been framed before, in another batch: alone, no frame straddles what cells have seen.
                yield from self._cut()
        self.counters["ticks"] += framed

    def _note(self, record: OffsetTickRecord, fault: TickFault, *, ignored: bool) -> None:
        if not self.faults[fault]:
            what = "is ignored" if ignored else "counts without bid and ask"
            log.warning(
                "tick %d of %s %s (%s); further ones are only counted",
                record.offset,
                self._topics.market_updates,
                what,
                fault.value,
            )
        self.faults[fault] += 1
        self.counters["malformed"] += ignored

    def _note_ahead(self, record: OffsetTickRecord) -> None:
        if not self.counters["ahead"]:
            log.warning(
                "tick %d of %s has a time in the future by this machine's clock and is taken as of now; further "
                "ones are only counted",
                record.offset,
                self._topics.market_updates,
            )
        self.counters["ahead"] += 1

    def _cut(self) -> Iterator[PriceFrame]:
        frame = self._builder.cut(self._clock_ms(), self._source, sequence_bound(self._now_ms))
        if frame is not None:
            yield frame
