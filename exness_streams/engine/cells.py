"""The cells of this process: loaded when their partitions are assigned, folded batch by batch, committed.

Clients are answered at the fold; the log and RocksDB follow (committer.py; docs/architecture.md, The path of an order).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from exness_streams.domain.cell import Cell, Folded, Reply
from exness_streams.domain.events import Event
from exness_streams.domain.frame_fold import is_of_owner
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.repairs import Unreadable, read_record
from exness_streams.engine.ahead import Ahead, Bounds
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.committer import Committer
from exness_streams.engine.event_sink import EventSink
from exness_streams.engine.frame_drops import FrameDrops
from exness_streams.engine.frame_times import FrameTimes
from exness_streams.engine.journal_faults import (
    JournalFault,
    JournalGap,
    check_bounds,
    check_next,
    earlier,
    fault_of,
)
from exness_streams.engine.loaded_cell import CellLoading
from exness_streams.engine.losses import meta_of
from exness_streams.engine.owned_cell import OwnedCell, Progress
from exness_streams.engine.passed_over import PassedOver, nothing_written
from exness_streams.engine.seen_market import SeenMarket
from exness_streams.engine.work_metrics import WorkMetrics
from exness_streams.messages import JOURNAL_TOPIC, PLAIN_TOPICS, Topics
from exness_streams.transport.faults import CellReleased
from exness_streams.transport.leases import CellLog, Lease
from exness_streams.transport.table import CellTable

SLICE_RECORDS_MAX = 500
"""Records folded in one go: a few milliseconds, after which others get the event loop."""


class ReadRecord(Protocol):
    """A record as the transport's batches hold it."""

    offset: int
    value: bytes | None


OnReply = Callable[[Reply], None]


class CellHost(SeenMarket):
    """Every cell that this process owns."""

    def __init__(
        self,
        table: CellTable,
        cell_log: CellLog,
        on_reply: OnReply,
        *,
        topics: Topics = PLAIN_TOPICS,
        metrics: WorkMetrics | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """bounds: on what is folded ahead of its transactions."""
        self._metrics = metrics = metrics or WorkMetrics()
        self.frame_times = FrameTimes()
        self.frame_drops = FrameDrops()
        self.on_frame: Callable[[PriceFrame | RawFrame], None] = lambda frame: None
        self.table = table
        self._cell_log = cell_log
        self._commits = TableCommits(table, metrics)
        self._loading = CellLoading(table)
        self.passed_over = PassedOver(nothing_written)
        self.committer = Committer(
            self._commits, topics.events, bounds or Bounds(), lambda owned, lease: self._goes_on(owned, lease)
        )
        self.counters = self.committer.counters
        self._on_reply = on_reply
        self._topics = topics
        self._cells: dict[int, OwnedCell] = {}
        self._has_loaded = self._catching_up = False
        self._event_sink = EventSink()
        self.ready = asyncio.Event()
        self.priced = asyncio.Event()

    def tell(self, sink: EventSink) -> None:
        """Let this one hear what the cells fold, from now on. It is one, told before the app starts."""
        self._event_sink = sink

    def take_leases(self) -> list[int]:
        """Partitions were dealt out anew, and are fenced. Cells whose partition came back, and for which nobody has
        committed meanwhile, go on as they are: what they folded ahead of their commit holds. The others are dropped,
        and returned.
        """
        gone = [partition for partition in self._cells if not self._is_kept(partition)]
        self.drop(gone)
        return gone

    def _is_kept(self, partition: int) -> bool:
        """Whether a cell is here that goes on under the newest lease of its partition; it has that lease then."""
        owned = self._cells.get(partition)
        if owned is None:
            return False
        try:
            lease = self._cell_log.lease(partition)
        except CellReleased:
            return False
        if not self._commits.goes_on(owned.lease, lease):
            return False
        if owned.lease is not lease:
            owned.goes_on_with(lease)
        return True

    async def mend_offset(self, partition: int, *, journal_start: int) -> None:
        """Before a cell is loaded: commit the offset that its table stands at, when the group's is lost or older; or
        where the journal begins, when an operator has given up what is gone before that.

        Brokers forget the offsets of a group that was away for long, and operators reset them; the table tells where
        it stands. LogFault.
        """
        if self._is_kept(partition):
            return
        lease, meta = self._cell_log.lease(partition), meta_of(self.table, partition)
        if meta is not None and meta.next_offset > (lease.committed or 0):
            await self._commits.mend_offset(lease, f"partition {partition} of {self._topics.journal}", meta)
        await self.passed_over.begin(lease, self.table, self._commits, journal_start)

    def is_new(self, partition: int) -> bool:
        """Whether nobody has committed anything of a cell, ever."""
        return self._cell_log.lease(partition).committed is None and meta_of(self.table, partition) is None

    def load(self, partition: int, *, journal_start: int, journal_end: int) -> None:
        """Take a cell over from its committed entries.

        JournalFault when the journal does not continue them, TableLacks when they are not all there.
        """
        if self._is_kept(partition):
            kept = self._cells[partition]
            check_bounds(partition, kept.lease.committed or 0, kept.cell.next_offset, journal_start, journal_end)
            kept.ready_at, self._catching_up = journal_end, True
            self.committer.soon(kept)
            return
        if partition in self._cells:
            self.drop([partition])  # who followed it would miss what was folded in between
        lease = self._cell_log.lease(partition)
        ahead = Ahead(self.committer.room, partial(self.table.entry, partition))
        cell = self._loading.load(
            partition, ahead.entry, lease.committed, journal_start=journal_start, journal_end=journal_end
        )
        self._commits.begin(lease)
        self._cells[partition] = OwnedCell(cell, lease, ahead, journal_end, cell.next_offset)
        self._catching_up = True

    def loaded(self) -> None:
        """All cells are loaded, or there are none for this worker: `ready` is set once they have caught up."""
        self._has_loaded = True
        self._look_whether_caught_up()

    def _look_whether_caught_up(self) -> None:
        if self.is_ready:
            self._catching_up = False
            self.ready.set()
            self._metrics.caught_up()

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget cells that are another's now. What is under way for them ends without effect."""
        for partition in partitions:
            dropped = self._cells.pop(partition, None)
            if dropped is not None:
                dropped.ahead.give_up()
            self.frame_times.forget([partition])
            self.frame_drops.forget([partition])
            self._event_sink.dropped(partition)

    @property
    def lag(self) -> int:
        """Records that were in the journal when the cells were loaded and are not folded yet."""
        return sum(owned.lag for owned in self._cells.values())

    @property
    def is_ready(self) -> bool:
        """Whether every cell has folded all that was acknowledged before it was loaded. A worker may have none."""
        return self._has_loaded and self.lag == 0

    def cell(self, partition: int) -> Cell | None:
        """The cell of a partition, None when it is not owned here."""
        owned = self._cells.get(partition)
        return None if owned is None else owned.cell

    def all_cells(self) -> list[Cell]:
        """Those that are owned here."""
        return [owned.cell for owned in self._cells.values()]

    def is_caught_up(self, partition: int) -> bool:
        """Whether the cell of a partition is here, and has folded all that was in its journal when it was loaded."""
        owned = self._cells.get(partition)
        return owned is not None and owned.lag == 0

    @property
    def partitions(self) -> list[int]:
        """The cells owned here."""
        return sorted(self._cells)

    def progress(self, partition: int) -> Progress:
        """How far an owned cell has come. KeyError when it is not owned here."""
        return self._cells[partition].progress

    def frame_age_s(self) -> float | None:
        """Since the last frame came to a cell; None before the first."""
        return next((self.frame_times.age_s(partition) for partition in self._cells), None)

    @property
    def triggers_standing(self) -> int:
        """Triggers in all indexes."""
        return sum(len(owned.cell.triggers) for owned in self._cells.values())

    def standing(self) -> set[str]:
        """The symbols in which positions or orders stand in the cells here."""
        return {symbol for owned in self._cells.values() for symbol in owned.cell.standing.symbols}

    def lease(self, partition: int) -> Lease:
        """The newest of a partition. CellReleased."""
        return self._cell_log.lease(partition)

    def holds_lease(self, partition: int) -> bool:
        """Whether a cell is here under a lease that is held: not while partitions are dealt out anew."""
        return partition in self._cells and self._cells[partition].lease.is_held

    async def run(self) -> None:
        """Watch the transactions. Ends only by raising what ended one: LogFault, or a defect."""
        await self.committer.run()

    async def settle(self) -> None:
        """Return once all that is due is committed, or nobody here commits it."""
        await self.committer.settle(list(self._cells.values()))

    async def close(self) -> None:
        """Fold no more, and commit what was folded."""
        await self.committer.close(self._cells.values())

    def ahead_of(self, partition: int) -> tuple[int, int]:
        """(records, bytes) of a cell that are folded and not committed; 0 when it is not owned here."""
        owned = self._cells.get(partition)
        return (0, 0) if owned is None else (owned.ahead.records, owned.ahead.size)

    async def fold(self, partition: int, batch: Sequence[ReadRecord]) -> None:
        """Fold a batch of the journal and answer; the transactions follow. JournalFault at a gap. What ends a
        transaction, run() raises.

        Waits while too much runs ahead of the transactions. Records that were folded are passed over. Each wait may end
        in a world where the cell is another's, or is loaded anew: then the rest is folded by whoever has it now.
        """
        owned = self._cells.get(partition)
        if owned is None:
            return  # revoked while the batch waited: its next owner folds it
        lease = owned.lease
        self._metrics.batch(JOURNAL_TOPIC, len(batch))
        async with owned.busy:
            for first in range(0, len(batch), SLICE_RECORDS_MAX):
                if first:
                    await asyncio.sleep(0)
                if not await self.committer.wait_for_room(owned, lease):
                    return
                if not await self._fold_over_holes(owned, lease, batch[first : first + SLICE_RECORDS_MAX]):
                    return
                self.committer.soon(owned)

    async def _fold_over_holes(self, owned: OwnedCell, lease: Lease, batch: Sequence[ReadRecord]) -> bool:
        """False when the cell is another's. JournalFault."""
        while True:
            try:
                self._fold_slice(owned, batch)
                return True
            except (JournalGap, Unreadable) as fault:  # noqa: PERF203 - there are hardly ever any
                # Reading begins at what is committed by now: by whom?
                if await lease.is_lost():
                    return False
                go_on = await self.passed_over.way_on(fault, lease)
                if not self._goes_on(owned, lease):
                    return False
                if go_on is None:
                    self.drop([lease.partition])
                    raise (fault_of(fault) if isinstance(fault, Unreadable) else fault) from None
                go_on(owned.cell)

    def _goes_on(self, owned: OwnedCell, lease: Lease) -> bool:
        return lease.is_held and owned.lease is lease and self._cells.get(lease.partition) is owned

    def _count(self, records: int) -> None:
        self.counters["records"] += records
        if self._catching_up:
            self._look_whether_caught_up()
        elif not self.priced.is_set() and self.ready.is_set() and self.quotes:
            self.priced.set()  # by a record that came after the start

    def _fold_slice(self, owned: OwnedCell, batch: Sequence[ReadRecord]) -> None:
        cell, events, is_unheard = owned.cell, [], False
        begun = cell.next_offset
        try:
            for record in batch:
                if record.offset < owned.floor:
                    self.drop([cell.partition])
                    raise earlier(cell.partition, owned.floor, record.offset)
                if record.offset < cell.next_offset:
                    continue  # delivered before
                check_next(cell.partition, cell.next_offset, record.offset)
                folded = self._fold_record(cell, record)
                events += folded.events
                if folded.ended is not None:
                    self._event_sink.ended(folded.ended)
                if folded.reply is not None:
                    self._on_reply(folded.reply)
                elif folded.events:
                    is_unheard = True
        finally:  # what comes before a gap was told, and a cell that another has not committed for is kept
            if self._cells.get(cell.partition) is owned:
                self._told(owned, cell.next_offset - begun, events)
                if is_unheard:  # nobody is answered what a price has done: the topic is to have it at once
                    owned.wanted.set()

    def _told(self, owned: OwnedCell, records: int, events: list[Event]) -> None:
        if records and owned.is_due(events):
            owned.hand_over(records, events)
        self._count(records)
        self._event_sink.folded(owned.cell.partition, events)

    def _fold_record(self, cell: Cell, record: ReadRecord) -> Folded:
        decoded = read_record(cell.partition, cell.rules, record.offset, record.value)
        try:
            folded = cell.fold(record.offset, decoded)
            if folded.ignored is not None:
                self.frame_drops.dropped(cell.partition, record.offset, folded.ignored)
            elif isinstance(decoded, PriceFrame | RawFrame):
                self.frame_drops.took(cell.partition)
            if isinstance(decoded, PriceFrame | RawFrame) and is_of_owner(decoded, folded.ignored):
                self.frame_times.came(cell.partition)
                if not self._catching_up:  # older frames tell of settings that were
                    self.on_frame(decoded)
            return folded
        except Exception as error:
            self.drop([cell.partition])  # half changed: nobody goes on with it
            if isinstance(error, ValueError | msgspec.MsgspecError):
                raise JournalFault(
                    f"record {record.offset} of partition {cell.partition} of the journal can't be folded: {error}"
                ) from error
            raise
