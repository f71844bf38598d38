"""A process that keeps candles on a log in memory, by a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from leased_log import LeasedLog
from log_table import LogTable

from exness_streams.domain.candle_spans import Asked
from exness_streams.domain.candles import Bar, Candle
from exness_streams.domain.money import ZERO
from exness_streams.engine.candle_reader import LIMIT_MAX, CandleReader
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.framer_state import FramerState
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

CHANGELOG = "candles-changelog"
SOL = "SOL_USDC"
NOW_S = 1_790_006_400
"""The beginning of a day."""

BANDS = {SOL: Decimal("0.1"), "BTC_USDC": Decimal(0)}


class Log(LeasedLog):
    """A log of ticks and of candles, whose commits fail as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.changelog: list[LogRecord] = []
        self.next_offset: int | None = None
        self.commits = 0
        self.fails: LogFault | None = None

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        await asyncio.sleep(0)
        if self.fails is not None and self.fails.written is False:
            raise self.fails
        first = len(self.changelog)
        self.changelog += records
        self.next_offset = next_offset
        self.commits += 1
        if self.fails is not None:
            raise self.fails
        return list(range(first, len(self.changelog)))

    def committed(self, partition: int) -> int | None:
        return self.next_offset


class Clock:
    def __init__(self) -> None:
        self.now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


class Worker:
    """A process that has just taken the ticks' partition over. Reads the ticks that are not committed yet."""

    def __init__(
        self, log: Log, clock: Clock | None = None, ticks: Sequence[tuple[int, str]] = (), band: Decimal = ZERO
    ) -> None:
        """band: of the markets that BANDS does not name."""
        table: Any = LogTable(CHANGELOG, log.changelog)
        self.table, self.clock, self.log, self.ticks = table, clock or Clock(), log, ticks
        self.log = log
        log.fence_now(0)
        self.host = CandleHost(table, log, [SOL, "BTC_USDC"], bands=BANDS, band=band, clock_s=self.clock)
        self.host.load(0, ticks_start=0, ticks_end=10_000)
        self.reader = CandleReader(self.host)

    def read(self, end: int) -> None:
        """Frame the ticks (time in seconds from NOW_S, price) up to an offset."""
        for offset in range(self.host.owned.next_offset, end):
            time_s, price = self.ticks[offset]
            self.host.fold.add(SOL, offset + 1, (NOW_S + time_s) * 1000, Decimal(price))
        self.host.framed(self.host.fold, end, FramerState(1, end, end))

    async def shown(self, interval: str = "1m", limit: int = LIMIT_MAX) -> list[Candle]:
        return prices_of(await self.reader.newest(SOL, interval, limit))

    async def tell(self, interval: str, *bars: tuple[int, str, int]) -> None:
        """What the exchange told: (beginning in seconds from NOW_S, all four prices, volume)."""
        told = [(NOW_S + at_s, bar(price, volume)) for at_s, price, volume in bars]
        await self.host.take_told(SOL, interval, told, Asked(NOW_S - 60, NOW_S))


def bar(text: str, volume: int) -> Bar:
    price = Decimal(text)
    return Bar(price, price, price, price, Decimal(volume))


def prices_of(found: Iterable[Candle]) -> list[Candle]:
    """Without what is known of their time: completeness has tests of its own (test_complete_candles.py)."""
    return [one._replace(seen_s=0, known_s=0) for one in found]
