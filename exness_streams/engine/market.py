"""The market agent's work: ticks in, price frames out to every cell."""

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
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.money import AMOUNT_MAX, ZERO
from exness_streams.domain.quotes import Quote
from exness_streams.engine.observer import Observer
from exness_streams.messages import JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, market_data_decoder
from exness_streams.transport.cell_log import FrameLog, LogRecord

log = logging.getLogger(__name__)

BACKLOG_TICKS = 1_000
"""A batch this large is a backlog: the next is taken at once, without the pace."""

SLICE_TICKS_MAX = 1_000


def is_price(price: Decimal | None) -> bool:
    """Whether a price can be traded on, or is absent. Others could write to the ticks' topic."""
    return price is None or (price.is_finite() and ZERO < price <= AMOUNT_MAX)


class TickRecord(Protocol):
    """A record of the ticks' topic."""

    offset: int
    value: bytes | None


class Framer:
    """Turns batches of ticks into frames; one for each partition of the ticks' topic."""

    def __init__(self, frame_log: FrameLog, cells: int, pace_ms: int) -> None:
        self._frame_log = frame_log
        self._cells = range(cells)
        self._pace_s = pace_ms / 1000
        self._builder = FrameBuilder()
        self.next_offsets: dict[int, int] = {}
        self.observer = Observer()
        self.counters: Counter[str] = Counter()

    async def frame(self, partition: int, batch: Sequence[TickRecord]) -> None:
        """Write the frames of a batch and move the ticks' offset; returns when the next batch may be taken."""
        begun_s = time.monotonic()
        replay_end = self._frame_log.replay_end(partition)
        frames: list[PriceFrame] = []
        for first in range(0, len(batch), SLICE_TICKS_MAX):
            frames += self._frames(batch[first : first + SLICE_TICKS_MAX], replay_end)
            if first + SLICE_TICKS_MAX < len(batch):
                await asyncio.sleep(0)
        frames += self._cut()
        self.counters["ticks"] += len(batch)
        self.observer.batch(MARKET_UPDATES_TOPIC, len(batch))
        if not frames:
            self.next_offsets[partition] = batch[-1].offset + 1
            return  # nothing moved; the offset moves with the next frame
        self.counters["frames"] += len(frames)
        encoded = [records.encode(frame) for frame in frames]
        await self._frame_log.append(
            [LogRecord(JOURNAL_TOPIC, None, value, cell) for value in encoded for cell in self._cells],
            partition,
            batch[-1].offset + 1,
        )
        self.next_offsets[partition] = batch[-1].offset + 1
        if len(batch) < BACKLOG_TICKS:
            await asyncio.sleep(max(0.0, self._pace_s - (time.monotonic() - begun_s)))

    def _frames(self, batch: Sequence[TickRecord], replay_end: int) -> Iterator[PriceFrame]:
        decode, add = market_data_decoder.decode, self._builder.add
        for record in batch:
            try:
                tick = decode(record.value or b"")
                sane = is_price(tick.price) and is_price(tick.bid) and is_price(tick.ask)
            except msgspec.MsgspecError:
                sane = False
            if not sane:
                self._ignore(record)
                continue
            add(tick.symbol, Quote(tick.sequence, tick.timestamp, tick.price, tick.bid, tick.ask, tick.volume))
            if record.offset < replay_end:
                # It may have been framed before, in another batch: alone, no frame straddles what cells have seen.
                yield from self._cut()

    def _ignore(self, record: TickRecord) -> None:
        if not self.counters["malformed"]:
            log.warning("tick %d of %s is no market update and is ignored", record.offset, MARKET_UPDATES_TOPIC)
        self.counters["malformed"] += 1

    def _cut(self) -> Iterator[PriceFrame]:
        frame = self._builder.cut(int(time.time() * 1000))
        if frame is not None:
            yield frame
