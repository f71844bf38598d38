"""The market agent's work: ticks in, price frames out to every cell; and every tick into its candle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from exness_streams.domain import records
from exness_streams.domain.candles import CandleFold
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.instruments import Catalogue, mark_up
from exness_streams.domain.money import AMOUNT_MAX
from exness_streams.domain.quotes import Quote
from exness_streams.engine.observer import Observer
from exness_streams.messages import JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, market_data_decoder
from exness_streams.transport.cell_log import FrameLog, LogRecord

log = logging.getLogger(__name__)

BACKLOG_TICKS = 1_000
"""A batch this large is a backlog: the next is taken at once, without the pace."""

SLICE_TICKS_MAX = 1_000

PRICE_MIN = Decimal("1e-18")
"""Below it there is no market, only a number that a product with it could turn into 0."""


def is_price(price: Decimal | None) -> bool:
    """Whether a price can be traded on, or is absent. Others could write to the ticks' topic."""
    return price is None or (price.is_finite() and PRICE_MIN <= price <= AMOUNT_MAX)


class TickRecord(Protocol):
    """A record of the ticks' topic."""

    offset: int
    value: bytes | None


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


class Framer:
    """Turns batches of ticks into frames; one for each partition of the ticks' topic.

    catalogue: whose spread rates the quotes are marked up with, so that the journal holds what orders fill at.
    """

    def __init__(
        self,
        frame_log: FrameLog,
        cells: int,
        pace_ms: int,
        catalogue: Catalogue | None = None,
        candles: Candles | None = None,
    ) -> None:
        self._frame_log = frame_log
        self._candles = NoCandles() if candles is None else candles
        self._cells = range(cells)
        self._pace_s = pace_ms / 1000
        self._spread_rates = {terms.symbol: terms.spread_rate for terms in catalogue or () if terms.spread_rate}
        self._builder = FrameBuilder()
        self._framing = asyncio.Lock()
        self.next_offsets: dict[int, int] = {}
        self._source: str | None = None
        self.observer = Observer()
        self.counters: Counter[str] = Counter()

    async def frame(self, partition: int, batch: Sequence[TickRecord]) -> None:
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

    async def _frame(self, builder: FrameBuilder, partition: int, batch: Sequence[TickRecord]) -> bool:
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
        self.observer.batch(MARKET_UPDATES_TOPIC, len(batch))
        next_offset = batch[-1].offset + 1
        if frames:
            encoded = [records.encode(frame) for frame in frames]
            written = [LogRecord(JOURNAL_TOPIC, None, value, cell) for value in encoded for cell in self._cells]
            await self._frame_log.append(written, partition, next_offset)
            self.counters["frames"] += len(frames)
        if self._builder is builder:
            self.next_offsets[partition] = next_offset
            self._candles.framed(fold, next_offset)
        return bool(frames)

    def _frames(
        self, batch: Sequence[TickRecord], fold: CandleFold, framed_end: int, replay_end: int
    ) -> Iterator[PriceFrame]:
        decode, add, rates = market_data_decoder.decode, self._builder.add, self._spread_rates
        keep = fold.add
        framed = 0
        for record in batch:
            try:
                tick = decode(record.value or b"")
                sane = is_price(tick.price) and is_price(tick.bid) and is_price(tick.ask)
            except msgspec.MsgspecError:
                sane = False
            if not sane:
                self._ignore(record)
                continue
            keep(tick.symbol, tick.sequence, tick.timestamp, tick.price)
            if record.offset < framed_end:
                continue  # read again for the candles alone
            quote = Quote(tick.sequence, tick.timestamp, tick.price, tick.bid, tick.ask, tick.volume)
            add(tick.symbol, mark_up(quote, rates[tick.symbol]) if tick.symbol in rates else quote)
            framed += 1
            self._source = tick.source or self._source
            if record.offset < replay_end:
                # It may have been framed before, in another batch: alone, no frame straddles what cells have seen.
                yield from self._cut()
        self.counters["ticks"] += framed

    def _ignore(self, record: TickRecord) -> None:
        if not self.counters["malformed"]:
            log.warning("tick %d of %s is no market update and is ignored", record.offset, MARKET_UPDATES_TOPIC)
        self.counters["malformed"] += 1

    def _cut(self) -> Iterator[PriceFrame]:
        frame = self._builder.cut(int(time.time() * 1000), self._source)
        if frame is not None:
            yield frame
