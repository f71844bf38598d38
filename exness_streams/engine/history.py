"""Histories of accounts: built from `trading-events`, each event taken exactly once.

The commit protocol is the cells': changed entries and the input's offset in one transaction, then RocksDB. Events
repeat nothing and skip nothing within an account, so its sequence proves that none is taken twice, and tells how many
are lost. Those are counted, and stop nobody (docs/decisions/0030).

Events are folded as they come, are there to be read at once, and are committed at a pace (history_committer.py). What
the cells of this process tell is shown before the topic has it (told_events.py). Whoever takes the partition over
folds it all again, to the same effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import msgspec
from async_timeout import timeout

from exness_streams.domain import account_history, codec
from exness_streams.domain.account_history import BalancePoint, EntryKey, HistoryHead, Trade
from exness_streams.domain.events import Event
from exness_streams.engine.ahead import Bounds
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.event_sink import EventSink
from exness_streams.engine.history_committer import BOUNDS, PACE_S, HistoryCommitter
from exness_streams.engine.history_losses import HistoryLosses
from exness_streams.engine.history_mending import HistoryMending
from exness_streams.engine.history_partition import SLICE_EVENTS_MAX, HistoryPartition, Slice
from exness_streams.engine.losses import meta_of
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.faults import CellReleased
from exness_streams.transport.leases import CellLog, Lease
from exness_streams.transport.table import CellTable

READ_MAX = 200
"""Entries read in one go."""


class NotOwned(LookupError):
    """The partition is another worker's, or not loaded yet."""


class NotWhole(NotOwned):
    """The partition's histories are being built anew."""


class ReadRecord(Protocol):
    """A record as the transport's batches hold it."""

    offset: int
    value: bytes | None


class HistoryHost(EventSink):
    """The histories of the accounts that this process owns. Hears what its cells tell.

    losses: events that are missing, and records of the topic that are none.
    """

    def __init__(
        self,
        table: CellTable,
        cell_log: CellLog,
        *,
        topic: str = EVENTS_TOPIC,
        metrics: WorkMetrics | None = None,
        pace_s: float = PACE_S,
        bounds: Bounds = BOUNDS,
    ) -> None:
        metrics = metrics or WorkMetrics()
        self.table = table
        table.is_view = True
        self._topic = topic
        self._cell_log = cell_log
        self._commits = TableCommits(table, metrics)
        self._partitions: dict[int, HistoryPartition] = {}
        self._committer = HistoryCommitter(self._commits, bounds, self._is_here, pace_s)
        self._metrics = metrics
        self._mending = HistoryMending(table, self._commits, topic)
        self.losses = HistoryLosses(topic)

    # -- partitions

    async def mend(self, partition: int, *, events_start: int, events_end: int) -> None:
        """Before a partition is loaded: what its table lacks is built anew, and it goes on where its topic does.

        LogFault.
        """
        lease = self._cell_log.lease(partition)
        if self._is_kept(partition):
            if events_start <= (lease.committed or 0) <= events_end:
                return
            self.drop([partition])
        await self._mending.mend(lease, start=events_start, end=events_end)
        self.table.prove(partition)

    def load(self, partition: int, *, events_start: int, events_end: int) -> None:
        """Take a partition over, as it was mended."""
        lease = self._cell_log.lease(partition)
        if self._is_kept(partition):
            self._go_on(self._partitions[partition], lease)
            return
        next_offset = events_start if lease.committed is None else lease.committed
        meta = meta_of(self.table, partition) or self._mending.counted(partition)
        meta = msgspec.structs.replace(meta, next_offset=next_offset)
        self.drop([partition])
        self._commits.begin(lease)
        self._partitions[partition] = HistoryPartition(
            meta, lease, events_end, self._committer.room, partial(self.table.entry, partition)
        )

    def _is_kept(self, partition: int) -> bool:
        """Whether the partition came back, and nobody has committed meanwhile: what is folded ahead holds."""
        owned = self._partitions.get(partition)
        return owned is not None and self._commits.goes_on(owned.lease, self._cell_log.lease(partition))

    def _is_here(self, owned: HistoryPartition, lease: Lease) -> bool:
        return lease.is_held and owned.lease is lease and self._partitions.get(owned.number) is owned

    def _go_on(self, owned: HistoryPartition, lease: Lease) -> None:
        owned.lease = lease
        self._committer.soon(owned)

    def drop_lost(self) -> None:
        """Partitions were dealt out anew, and are fenced: forget those that are another's now."""
        self.drop([partition for partition in self._partitions if not self._is_assigned(partition)])

    def _is_assigned(self, partition: int) -> bool:
        try:
            self._cell_log.lease(partition)
        except CellReleased:
            return False
        return True

    def lease(self, partition: int) -> Lease:
        """The newest of a partition. CellReleased."""
        return self._cell_log.lease(partition)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that are another's now. What is under way for them ends without effect."""
        for partition in partitions:
            dropped = self._partitions.pop(partition, None)
            if dropped is not None:
                dropped.give_up()

    async def close(self) -> None:
        """Commit what was folded, and give all up: a table that is touched later opens anew."""
        await self._committer.close(self._partitions.values())
        self.drop(list(self._partitions))

    def progress(self) -> Iterator[tuple[int, int, int]]:
        """(partition, offset of the next event, end of the topic when it was loaded) of each one owned here."""
        for partition in list(self._partitions.values()):
            yield partition.number, partition.next_offset, partition.events_end

    def uncommitted(self, partition: int) -> int:
        """Events that are folded and not committed; 0 when the partition is not owned here."""
        owned = self._partitions.get(partition)
        return 0 if owned is None else owned.ahead.records

    # -- events in

    def folded(self, partition: int, events: Sequence[Event]) -> None:
        """EventSink's: readers see these at once. While histories are built anew there is nothing to show them with."""
        owned = self._partitions.get(partition)
        if owned is not None and owned.is_whole:
            owned.told.tell(events)

    async def fold(self, partition: int, batch: Sequence[ReadRecord]) -> None:
        """Take a batch of events, to be committed soon. Waits only while too many are not committed yet.

        What ends a commit, run() raises.
        """
        owned = self._partitions.get(partition)
        if owned is None:
            return  # revoked while the batch waited: its next owner takes it
        self._metrics.batch(EVENTS_TOPIC, len(batch))
        for first in range(0, len(batch), SLICE_EVENTS_MAX):
            if not await self._committer.wait_for_room(owned, owned.lease):
                return
            if not await self._fold_slice(owned, batch[first : first + SLICE_EVENTS_MAX]):
                return
            self._committer.soon(owned)
            await asyncio.sleep(0)

    async def run(self) -> None:
        """Watch the commits. Ends only by raising what ended one: LogFault, or a defect."""
        await self._committer.run()

    async def _fold_slice(self, owned: HistoryPartition, batch: Sequence[ReadRecord]) -> bool:
        """False when the partition is another's: what seems to be missing is what that one has committed."""
        part = self._sliced(owned, batch)
        if part.missing:
            if await owned.lease.is_lost() or not self._is_here(owned, owned.lease):
                return False
            part = self._sliced(owned, batch)  # another batch may have been folded meanwhile
        owned.add(part, len(batch), max(owned.folded, batch[-1].offset + 1))
        self.losses.count(owned.number, part)
        return True

    def _sliced(self, owned: HistoryPartition, batch: Sequence[ReadRecord]) -> Slice:
        part = Slice()
        for record in batch:
            if record.offset >= owned.folded:
                self._fold_event(owned, record, part)
        return part

    def _fold_event(self, owned: HistoryPartition, record: ReadRecord, part: Slice) -> None:
        try:
            if record.value is None:
                raise ValueError("it has no value")
            event = self._event(owned, record.value)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            part.strange.append((record.offset, error))
            return
        account_id = event.account_id
        head = part.heads.get(account_id) or owned.head(account_id)
        missing = account_history.missing_before(head, event)
        if missing:
            part.missing[account_id] += missing
        folded = account_history.fold_event(head, event, part.entries)
        part.heads[account_id] = folded
        part.accounts += head.sequence == 0
        part.taken += folded.sequence - head.sequence

    def _event(self, owned: HistoryPartition, value: bytes) -> Event:
        """What a cell here has told is at hand already."""
        event_id = codec.event_id_of(value)
        known = None if event_id is None else owned.told.known(event_id)
        return codec.decode_event(value) if known is None else known

    # -- histories out

    async def wait_for(self, partition: int, account_id: str, sequence: int, timeout_s: float) -> bool:
        """Whether an account's history has come up to an event's sequence, at the latest after `timeout_s`.

        NotOwned when the partition is not owned here.
        """
        owned = self._owned(partition)
        with suppress(asyncio.TimeoutError):
            async with timeout(timeout_s):
                while not await self._has_come(owned, account_id, sequence):
                    if self._partitions.get(partition) is not owned:
                        return False  # it was given up, perhaps while there was nothing to be woken from
                    await owned.moved(account_id)
                return True
        return False

    async def _has_come(self, owned: HistoryPartition, account_id: str, sequence: int) -> bool:
        """Whether what the topic has brought, and what was told beyond that, reaches a sequence."""
        reached = -1
        while reached < sequence:
            before, reached = reached, owned.told.fold(account_id, owned.head(account_id)).sequence
            if reached == before:
                return False
            if reached < sequence:
                await asyncio.sleep(0)
        return True

    def head(self, partition: int, account_id: str) -> HistoryHead:
        """How far an account's history has come. NotOwned when the partition is not owned here."""
        owned = self._owned(partition)
        return owned.told.head(account_id, owned.head(account_id))

    def trades(self, partition: int, account_id: str, first: int, end: int) -> list[tuple[int, Trade]]:
        """The trades numbered first <= number < end, newest first; those removed meanwhile are missing.

        Ask for READ_MAX at most: it blocks. NotOwned when the partition is not owned here.
        """
        found = self._entries(partition, account_id, account_history.trade_key, range(first, end))
        return [
            (number, account_history.decode_trade(value))
            for number, value in zip(range(end - 1, first - 1, -1), reversed(found), strict=True)
            if value is not None
        ]

    def points(self, partition: int, account_id: str, first: int, end: int) -> list[BalancePoint]:
        """The balance points numbered first <= number < end, oldest first, as `trades`."""
        found = self._entries(partition, account_id, account_history.point_key, range(first, end))
        return [account_history.decode_point(value) for value in found if value is not None]

    def _owned(self, partition: int) -> HistoryPartition:
        owned = self._partitions.get(partition)
        if owned is None or not owned.lease.is_held:
            raise NotOwned(f"partition {partition} of {self._topic} is not this worker's")
        if not owned.is_whole:
            raise NotWhole(f"histories of partition {partition} are being built anew")
        return owned

    def _entries(self, partition: int, account_id: str, key_of: EntryKey, numbers: range) -> list[bytes | None]:
        owned = self._owned(partition)
        return [owned.entry(account_id, key_of(account_id, number)) for number in numbers]
