"""Histories of accounts: built from `trading-events`, each event taken exactly once.

The commit protocol is the cells': changed entries and the input's offset in one transaction, then RocksDB. Events
repeat nothing and skip nothing within an account, so its sequence proves that none was taken twice or lost.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from exness_streams.domain import records, trades
from exness_streams.domain.trades import BalancePoint, EventGap, HistoryHead, Trade
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.observer import Observer
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.cell_log import CellLog
from exness_streams.transport.faults import CellReleased, LogFault
from exness_streams.transport.table import CellTable

SLICE_EVENTS_MAX = 200
"""Events of one transaction: a few milliseconds' work, after which others get the event loop."""

PACE_S = 0.05
"""Time between the transactions of a partition while nobody waits: orders need the log more."""

CLOSE_S_MAX = 3.0
"""How long a stop waits for the transactions under way."""

READ_MAX = 200
"""Entries read in one go."""


class HistoryFault(Exception):
    """Histories can't go on from the events there are. str() is one line: what is wrong, and the way out."""


class NotOwned(LookupError):
    """The partition is another worker's, or not loaded yet."""


class ReadRecord(Protocol):
    """A record as the transport's batches hold it."""

    offset: int
    value: bytes | None


class _Partition:
    """Histories of one partition's accounts. may_begin_late: the topic's beginning is gone."""

    def __init__(self, number: int, next_offset: int, events_end: int, *, may_begin_late: bool) -> None:
        self.number = number
        self.next_offset = next_offset
        self.events_end = events_end
        self.may_begin_late = may_begin_late
        self.committed_at_s = -math.inf
        self.wanted = Wakeup()
        self.busy = asyncio.Lock()
        self.waiting: defaultdict[str, list[tuple[int, asyncio.Future[bool]]]] = defaultdict(list)

    def tell(self, account_id: str, sequence: int) -> None:
        """An account's history has come up to a sequence."""
        for awaited, reached in self.waiting.get(account_id, ()):
            if awaited <= sequence and not reached.done():
                reached.set_result(True)

    def give_up(self) -> None:
        """Its readers have waited for nothing: it is another worker's now."""
        for waiters in self.waiting.values():
            for _, reached in waiters:
                if not reached.done():
                    reached.set_result(False)
        self.wanted.set()


class HistoryHost:
    """The histories of the accounts that this process owns."""

    def __init__(self, table: CellTable, cell_log: CellLog, *, pace_s: float = PACE_S) -> None:
        self.table = table
        self._cell_log = cell_log
        self._commits = TableCommits(table, cell_log)
        self._pace_s = pace_s
        self._partitions: dict[int, _Partition] = {}
        self.observer = Observer()

    # -- partitions

    def load(self, partition: int, *, events_start: int, events_end: int) -> None:
        """Take a partition over. HistoryFault when its events do not continue what was committed."""
        committed = self._cell_log.committed(partition)
        if committed is not None and committed > events_end:
            raise HistoryFault(
                f"partition {partition} of {EVENTS_TOPIC} ends at {events_end}, but histories were built from it up to "
                f"{committed}: the topic was recreated or cut. Restore it, or start with an empty data directory"
            )
        if committed is not None and committed < events_start:
            raise HistoryFault(
                f"partition {partition} of {EVENTS_TOPIC} begins at {events_start}, but the next event needed is "
                f"{committed}: {events_start - committed} offsets are gone. Restore them from a backup"
            )
        next_offset = events_start if committed is None else committed
        self._partitions[partition] = _Partition(partition, next_offset, events_end, may_begin_late=events_start > 0)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that are another's now."""
        for partition in partitions:
            dropped = self._partitions.pop(partition, None)
            if dropped is not None:
                dropped.give_up()

    async def close(self) -> None:
        """Give all up once the transactions under way are over: a table that is touched later opens anew."""
        owned = list(self._partitions.values())
        self.drop(list(self._partitions))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(one.busy.acquire() for one in owned)), CLOSE_S_MAX)

    def progress(self) -> Iterator[tuple[int, int, int]]:
        """(partition, offset of the next event, end of the topic when it was loaded) of each one owned here."""
        for partition in list(self._partitions.values()):
            yield partition.number, partition.next_offset, partition.events_end

    # -- events in

    async def fold(self, partition: int, batch: Sequence[ReadRecord]) -> None:
        """Take a batch of events and commit. HistoryFault when one is missing, LogFault when the log fails."""
        owned = self._partitions.get(partition)
        if owned is None:
            return  # revoked while the batch waited: its next owner takes it
        self.observer.batch(EVENTS_TOPIC, len(batch))
        pause_s = owned.committed_at_s + self._pace_s - time.monotonic()
        if pause_s > 0 and len(batch) < SLICE_EVENTS_MAX and not owned.waiting:
            await owned.wanted.wait(pause_s)  # what arrives meanwhile is the next batch
        for first in range(0, len(batch), SLICE_EVENTS_MAX):
            if self._partitions.get(partition) is not owned:
                return
            try:
                async with owned.busy:
                    await self._fold_slice(owned, batch[first : first + SLICE_EVENTS_MAX])
            except LogFault as fault:
                # As for cells: the next owner takes the batch again, to the same effect.
                if isinstance(fault, CellReleased) or self._partitions.get(partition) is not owned:
                    return
                raise

    async def _fold_slice(self, owned: _Partition, batch: Sequence[ReadRecord]) -> None:
        entries: dict[bytes, bytes | None] = {}
        heads: dict[str, HistoryHead] = {}
        for record in batch:
            if record.offset >= owned.next_offset:
                self._fold_event(owned, record, heads, entries)
        next_offset = max(owned.next_offset, batch[-1].offset + 1)
        await self._commits.commit(owned.number, entries, [], next_offset, self.observer)
        owned.next_offset, owned.committed_at_s = next_offset, time.monotonic()
        for account_id, head in heads.items():
            owned.tell(account_id, head.sequence)

    def _fold_event(
        self,
        owned: _Partition,
        record: ReadRecord,
        heads: dict[str, HistoryHead],
        entries: dict[bytes, bytes | None],
    ) -> None:
        assert record.value is not None, "an event is no tombstone"
        where = f"record {record.offset} of partition {owned.number} of {EVENTS_TOPIC}"
        try:
            event = records.decode_event(record.value)
            head = heads.get(event.account_id) or self._head(owned.number, event.account_id)
            heads[event.account_id] = trades.fold_event(head, event, entries, may_begin_late=owned.may_begin_late)
        except EventGap as gap:
            raise HistoryFault(f"{where}: {gap}; those between are lost. Restore the log from a backup") from gap
        except (ValueError, msgspec.MsgspecError) as error:
            raise HistoryFault(f"{where} can't be read as an event: {error}") from error

    # -- histories out

    async def wait_for(self, partition: int, account_id: str, sequence: int, timeout_s: float) -> bool:
        """Whether an account's history has come up to an event's sequence, at the latest after `timeout_s`.

        NotOwned when the partition is not owned here.
        """
        owned = self._owned(partition)
        if self._head(partition, account_id).sequence >= sequence:
            return True
        reached: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = sequence, reached
        owned.waiting[account_id].append(waiter)
        owned.wanted.set()
        try:
            return await asyncio.wait_for(reached, timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            with suppress(ValueError):
                owned.waiting[account_id].remove(waiter)
            if not owned.waiting[account_id]:
                del owned.waiting[account_id]

    def head(self, partition: int, account_id: str) -> HistoryHead:
        """How far an account's history has come. NotOwned when the partition is not owned here."""
        return self._head(self._owned(partition).number, account_id)

    def trades(self, partition: int, account_id: str, first: int, end: int) -> list[tuple[int, Trade]]:
        """The trades numbered first <= number < end, newest first; those removed meanwhile are missing.

        Ask for READ_MAX at most: it blocks. NotOwned when the partition is not owned here.
        """
        found = self._entries(partition, (trades.trade_key(account_id, number) for number in range(first, end)))
        return [
            (number, trades.decode_trade(value))
            for number, value in zip(range(end - 1, first - 1, -1), reversed(found), strict=True)
            if value is not None
        ]

    def points(self, partition: int, account_id: str, first: int, end: int) -> list[BalancePoint]:
        """The balance points numbered first <= number < end, oldest first, as `trades`."""
        found = self._entries(partition, (trades.point_key(account_id, number) for number in range(first, end)))
        return [trades.decode_point(value) for value in found if value is not None]

    def _owned(self, partition: int) -> _Partition:
        owned = self._partitions.get(partition)
        if owned is None:
            raise NotOwned(f"partition {partition} of {EVENTS_TOPIC} is not this worker's")
        return owned

    def _entries(self, partition: int, keys: Iterable[bytes]) -> list[bytes | None]:
        number = self._owned(partition).number
        return [self.table.entry(number, key) for key in keys]

    def _head(self, partition: int, account_id: str) -> HistoryHead:
        stored = self.table.entry(partition, trades.head_key(account_id))
        return HistoryHead() if stored is None else trades.decode_head(stored)
