"""What a worker does once its tables are recovered: each is checked against its topic, and taken over.

Beside its log a table that turns out to lack entries, or to be damaged, is put aside and built anew, once. One that was
just built and lacks entries tells that the log has lost them: that is refused, as it always is on Kafka.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from exness_streams.audit.checkpoints import put_aside_ahead
from exness_streams.domain import rules
from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.engine.candles import CandleHost
from exness_streams.engine.cells import CellHost
from exness_streams.engine.history import HistoryHost
from exness_streams.engine.journal_faults import JournalFault, TableLacks
from exness_streams.engine.losses import RESTORE
from exness_streams.engine.raising import append_changes
from exness_streams.transport.faults import CellReleased, LogFault, TableDamaged
from exness_streams.transport.table import TOO_OLD, CellTable
from exness_streams.transport.table_store import one_line

log = logging.getLogger(__name__)

REBALANCE_LOOK_S = 0.02
READ_RECORDS = 10_000
READ_BYTES = 4 << 20


class Misfit(Exception):
    """A table that was kept here does not hold what it should. why: goes on after "the table ..."."""

    def __init__(self, table: CellTable, partition: int, why: str) -> None:
        super().__init__(why)
        self.table = table
        self.partition = partition
        self.why = why


class Loading:
    """Takes over what was recovered; `load` is called at the end of each recovery."""

    def __init__(
        self, app: Any, cells: CellHost, history: HistoryHost, candles: CandleHost, checkpoints_dir: Path
    ) -> None:
        self._app = app
        self._cells = cells
        self._history = history
        self._candles = candles
        self._checkpoints_dir = checkpoints_dir

    async def load(self) -> None:
        """Take over what is this worker's now. What goes wrong ends the app: Faust drops what a callback raises."""
        app = self._app
        generation = app.consumer_generation_id
        try:
            await self._load_whole(generation)
        except CellReleased:
            # The next rebalance has begun. Recovery would go on as if this one were over: it is held until that
            # one's recovery begins.
            while app.consumer_generation_id == generation and not app.should_stop:  # noqa: ASYNC110 - Faust's, no event
                await asyncio.sleep(REBALANCE_LOOK_S)
        except LogFault as fault:
            await app.crash(fault)
        except Exception as error:
            log.exception("the cells could not be loaded")
            await app.crash(error)

    async def _load_whole(self, generation: int) -> None:
        """CellReleased when what does not fit is what another has committed since the fence. LogFault."""
        try:
            while (misfit := await self._try(generation)) is not None:
                await build_anew(self._app, *misfit)
        except JournalFault as fault:
            if await self._is_lost():
                raise CellReleased(f"partitions are another worker's: {fault}") from fault
            raise

    async def _is_lost(self) -> bool:
        names = self._app.named_topics
        hosts: dict[str, CellHost | HistoryHost] = {names.journal: self._cells, names.events: self._history}
        for tp in sorted(self._app.assignor.assigned_actives()):
            if tp.topic in hosts and await hosts[tp.topic].lease(tp.partition).is_lost():
                return True
        return False

    async def _try(self, generation: int) -> tuple[CellTable, int, str] | None:
        """Which table does not fit, and why; None when all is loaded. No exception: it would hold the table open."""
        try:
            await self._load(generation)
        except Misfit as misfit:
            return misfit.table, misfit.partition, misfit.why
        return None

    def _check_current(self, generation: int) -> None:
        """CellReleased when another rebalance has begun: its recovery is not over, and calls again."""
        if self._app.consumer_generation_id != generation or not self._app.tables.recovery.is_current:
            raise CellReleased("another rebalance has begun")

    async def _load(self, generation: int) -> None:
        app, cells, history, candles = self._app, self._cells, self._history, self._candles
        journals = await _bounds(app, app.named_topics.journal, cells.table)
        told = await _bounds(app, app.named_topics.events, history.table)
        ticked = await _bounds(app, app.named_topics.market_updates, candles.table)
        self._check_current(generation)
        _check_together(app.named_topics.journal, journals, told)
        _check_together(app.named_topics.events, told, journals)
        for table in (cells.table, history.table, candles.table):
            _check_told_all(table)
        for partition, (start, end) in told.items():
            with _whole(history.table, partition):
                await history.mend(partition, events_start=start, events_end=end)
        for partition, (start, end) in ticked.items():
            with _whole(candles.table, partition):
                await candles.mend_offset(partition, ticks_start=start, ticks_end=end)
        for partition, (start, end) in journals.items():
            with _whole(cells.table, partition):
                await cells.mend_offset(partition, journal_start=start)
            await self._begin(partition, start, end)
        self._check_current(generation)
        for partition, (start, end) in told.items():  # from here on in one step
            with _whole(history.table, partition):
                history.load(partition, events_start=start, events_end=end)
        for partition, (start, end) in ticked.items():
            with _whole(candles.table, partition):
                candles.load(partition, ticks_start=start, ticks_end=end)
        for partition, (start, end) in journals.items():
            with _whole(cells.table, partition):
                cells.load(partition, journal_start=start, journal_end=end)
            if cells.table.lineage is not None:
                put_aside_ahead(self._checkpoints_dir, partition, cells.progress(partition).committed)
        cells.loaded()

    async def _begin(self, partition: int, start: int, end: int) -> None:
        """A new journal goes by the newest rules before anything is decided in it. LogFault.

        Frames may be there already: the framer of another worker waits for no cell.
        """
        framers = Framers()
        if end > 0:
            if start > 0 or not self._cells.is_new(partition):
                return
            journal = self._app.named_topics.journal
            await self._app.transport.first_value(journal, partition, 0, framers.are_not_alone)
        if framers.alone:
            await append_changes(self._app, partition, rules.FIRST, framers.epoch)


class Framers:
    """Whether nobody but framers has written to a journal, and the newest epoch of those that have."""

    def __init__(self) -> None:
        self.alone, self.epoch = True, 0

    def are_not_alone(self, value: bytes | None) -> bool:
        """Look at the next record. Whether it is another's."""
        try:
            record = None if value is None else decode_record(value)
        except (ValueError, msgspec.MsgspecError):
            record = None
        if isinstance(record, PriceFrame | RawFrame):
            self.epoch = max(self.epoch, record.epoch)
        else:
            self.alone = False
        return not self.alone


def _check_together(topic: str, dealt: Container[int], others: Iterable[int]) -> None:
    """LogFault when a cell came without its events, or these without it: the group deals out what there is."""
    for partition in others:
        if partition not in dealt:
            raise LogFault(
                f"partition {partition} of {topic} was not dealt out: the topic was deleted. This worker must start "
                "again, which makes the topic anew and says what is lost with it (docs/operations.md, Lost state)"
            )


def _check_told_all(table: CellTable) -> None:
    """Misfit when tombstones went away while recovery was still to read them: the log's upkeep waits for nobody."""
    if table.lineage is None:
        return
    for partition, began_after in table.kept.items():
        if not table.lineage.continues((table.changelog_name, partition), None, began_after):
            raise Misfit(table, partition, TOO_OLD)


@contextmanager
def _whole(table: CellTable, partition: int) -> Iterator[None]:
    """Misfit when a table that could be built anew turns out not to be whole."""
    try:
        yield
    except TableDamaged as fault:
        if table.lineage is None:
            raise
        raise Misfit(table, partition, f"is damaged ({fault.__cause__})") from None
    except TableLacks as fault:
        if table.lineage is None or partition not in table.kept or partition in table.unproven:
            raise  # built from this log, and not whole since: another would be the same
        raise Misfit(table, partition, fault.lacks) from None
    except (ValueError, msgspec.MsgspecError) as error:
        if table.lineage is None or partition not in table.kept or partition in table.unproven:
            raise
        raise Misfit(table, partition, f"holds what can't be read ({one_line(error)})") from None


async def build_anew(app: Any, table: CellTable, partition: int, why: str) -> None:
    """Put a table aside, and read all of its changelog into another; that lies beside it. LogFault."""
    table.put_aside(partition, why)
    log_here, tp = app.transport.log, (table.changelog_name, partition)
    table.take_doubts(partition, None, log_here.start(tp))
    offset, end = log_here.start(tp), log_here.end(tp)
    while offset < end:
        records = await log_here.read(tp, offset, READ_RECORDS, READ_BYTES)
        table.write(partition, {record.key: record.value for record in records}, records[-1].offset)
        offset = records[-1].offset + 1


async def _bounds(app: Any, topic: str, table: CellTable) -> dict[int, tuple[int, int]]:
    """(start, end) of the partitions of a topic that are this worker's. LogFault when the table has no changelog."""
    assigned = sorted(app.assignor.assigned_actives())
    tps = [tp for tp in assigned if tp.topic == topic]
    missing = {tp.partition for tp in tps} - {tp.partition for tp in assigned if table.is_changelog(tp)}
    if missing:
        where = f"partition {min(missing)} of {table.changelog_name}"
        raise LogFault(f"{where} is not there any more: the topic was deleted. {RESTORE}")
    starts = await app.consumer.earliest_offsets(*tps)
    ends = await app.consumer.highwaters(*tps)
    return {tp.partition: (starts[tp], ends[tp]) for tp in tps}
