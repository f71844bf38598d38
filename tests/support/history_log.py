"""A log of one account's events, and a process that makes histories of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from account_events import closed
from event_loop import turns
from leased_log import LeasedLog
from log_table import LogTable

from exness_streams.domain.codec import encode
from exness_streams.domain.events import Event
from exness_streams.engine.ahead import Bounds
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.history_committer import BOUNDS
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

CHANGELOG = "history-changelog"


class Read(NamedTuple):
    offset: int
    value: bytes | None


def batch(*events: Event, offset: int = 0) -> list[Read]:
    return [Read(offset + n, encode(event)) for n, event in enumerate(events)]


class Log(LeasedLog):
    """A log, and the table that follows it. Whoever commits is told what `fails` says, before or after the fact."""

    def __init__(self) -> None:
        super().__init__()
        self.changelog: list[LogRecord] = []
        self.next_offset: int | None = None
        self.transactions: list[list[LogRecord]] = []
        self.fails: LogFault | None = None
        self.proceed = asyncio.Event()
        self.proceed.set()
        self.begun = asyncio.Event()

    async def commit(self, partition: int, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        self.begun.set()
        await self.proceed.wait()
        if self.fails is not None and self.fails.written is False:
            raise self.fails
        assert all(record.topic == CHANGELOG for record in records)
        first = len(self.changelog)
        self.changelog += records
        self.transactions.append(list(records))
        self.next_offset = next_offset
        if self.fails is not None:
            raise self.fails
        return list(range(first, len(self.changelog)))

    def committed(self, partition: int) -> int | None:
        return self.next_offset


def worker(log: Log, *, start: int = 0, end: int = 1_000, pace_s: float = 0.0, bounds: Bounds = BOUNDS) -> HistoryHost:
    """A process that has just taken partition 0 over."""
    table: Any = LogTable(CHANGELOG, log.changelog)
    log.fence_now(0)
    host = HistoryHost(table, log, pace_s=pace_s, bounds=bounds)
    host.load(0, events_start=start, events_end=end)
    return host


async def take(host: HistoryHost, events: Sequence[Read]) -> None:
    """Fold a batch, and see it committed; or raise what run() does."""
    await host.fold(0, events)
    watching = asyncio.ensure_future(host.run())
    try:
        while not watching.done() and next(host.progress())[1] <= events[-1].offset:
            await turns(1)
        if watching.done():
            watching.result()
    finally:
        watching.cancel()


async def hurry(host: HistoryHost) -> None:
    """End the pace, and see all committed that is folded."""
    while host.uncommitted(0):
        host._partitions[0].wanted.set()
        await turns(1)


def of(account_id: str, *sequences: int) -> list[Event]:
    """Closes of an account."""
    return [closed(sequence, account_id=account_id) for sequence in sequences]


def trade_ids(host: HistoryHost, account_id: str = "demo") -> list[str]:
    """Those that are shown."""
    head = host.head(0, account_id)
    return [trade.trade_id for _, trade in host.trades(0, account_id, head.trades_from, head.trades.end)]


def table_of(host: HistoryHost) -> LogTable:
    """What is committed."""
    table: Any = host.table
    assert isinstance(table, LogTable)
    return table


async def restarted(log: Log, *, start: int = 0, end: int = 5, kept: bool = False) -> HistoryHost:
    """A process that begins with no table (kept: with one that was proven before) and mends what it finds."""
    table: Any = LogTable(CHANGELOG, log.changelog)
    if kept:
        table.prove(0)
    host = HistoryHost(table, log, pace_s=0.0)
    log.fence_now(0)
    await host.mend(0, events_start=start, events_end=end)
    host.load(0, events_start=start, events_end=end)
    return host
