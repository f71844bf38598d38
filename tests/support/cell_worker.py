"""A worker with one cell, on a log of one partition; and batches for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from leased_log import LeasedLog
from log_table import LogTable

from exness_streams.domain import codec
from exness_streams.domain.cell import Reply
from exness_streams.domain.commands import Deposit
from exness_streams.domain.events import Event
from exness_streams.domain.frames import PriceFrame
from exness_streams.engine.cells import CellHost
from exness_streams.engine.event_sink import EventSink
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.interfaces import LogRecord

CHANGELOG = "changelog"
SLICE = 5
"""Records of a slice, in these tests."""


@dataclass
class Read:
    """A record as the transport's batches hold it."""

    offset: int
    value: bytes | None


class Log(LeasedLog):
    """One partition's topic, changelog and offset."""

    def __init__(self) -> None:
        super().__init__()
        self.offset: int | None = None
        self.changelog: list[LogRecord] = []
        self.events: list[Event] = []
        self.table = LogTable(CHANGELOG)
        self.gate: asyncio.Event | None = None

    def committed(self, partition: int) -> int | None:
        return self.offset

    async def commit(self, partition: int, written: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        first = len(self.changelog)
        self.changelog += [record for record in written if record.topic == CHANGELOG]
        self.events += [codec.decode_event(r.value) for r in written if r.topic == EVENTS_TOPIC and r.value]
        self.offset = next_offset
        await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        return list(range(first, first + len(written)))

    def recover(self) -> None:
        """What Faust does before a partition is loaded."""
        self.table.recover(self.changelog)


class Told(EventSink):
    """Keeps what the cells tell."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.dropped_cells: list[int] = []

    def dropped(self, partition: int) -> None:
        self.dropped_cells.append(partition)

    def folded(self, partition: int, events: Sequence[Event]) -> None:
        self.events += events


def deposit(offset: int) -> Read:
    command = Deposit(
        command_id=f"c{offset}", account_id="ann", time_ms=1, starting_balance=Decimal(0), quote_age_ms_max=5_000,
        amount=Decimal(1),
    )  # fmt: skip
    return Read(offset, codec.encode(command))


def quiet(offset: int) -> Read:
    return Read(offset, codec.encode(PriceFrame(1, ())))


class Worker:
    """A CellHost with all that it told."""

    def __init__(self, log: Log, table: LogTable | None = None) -> None:
        """table: its own; without one, the log's, which no other worker may have."""
        self.log = log
        self.table = log.table if table is None else table
        self.replies: list[Reply] = []
        self.told = Told()
        kept: Any = self.table
        cell_log: Any = log
        self.host = CellHost(kept, cell_log, self.replies.append)
        self.host.tell(self.told)
        self.load()

    def load(self) -> None:
        """The partition was dealt to it."""
        self.log.fence_now(0)
        self.table.recover(self.log.changelog)
        self.host.load(0, journal_start=0, journal_end=1_000)

    async def fold(self, batch: Sequence[Read]) -> None:
        """A batch came; returns once what is due of it is committed."""
        await self.host.fold(0, batch)
        await self.host.settle()

    @property
    def cash(self) -> Decimal:
        row = codec.decode_row(self.table.entries[codec.row_key("ann")])
        assert row.is_conserved
        return row.cash

    async def is_dealt(self, *partitions: int) -> None:
        """What happens at an assignment, after the revocation: fences, recovery, loading."""
        await self.log.take_over(partitions)
        self.host.take_leases()
        self.table.recover(self.log.changelog)
        for partition in partitions:
            await self.host.mend_offset(partition, journal_start=0)
            self.host.load(partition, journal_start=0, journal_end=1_000)


BATCHES = {
    "nothing to commit, then deposits": [quiet(n) for n in range(SLICE)] + [deposit(n) for n in range(SLICE, 20)],
    "deposits from the first": [deposit(n) for n in range(20)],
    "deposits in between": [quiet(n) if n % 3 else deposit(n) for n in range(20)],
    "one slice": [deposit(n) for n in range(SLICE)],
}
