"""Faults of the Faust layer, put in by hand: does this floor find them? Each takes the place of one rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from faust.tables.recovery import Recovery as FaustRecovery
from mode.utils.queues import ThrowableQueue

from exness_streams.engine.cells import CellHost
from exness_streams.engine.fresh_cells import FreshCells
from exness_streams.transport import batching, recovery
from exness_streams.transport.batching import BatchingConsumer
from exness_streams.transport.kafka import commits, faust_driver
from exness_streams.transport.kafka.commits import KafkaCellLog
from exness_streams.transport.kafka.consumer_thread import Call
from exness_streams.transport.leases import Lease
from exness_streams.transport.recovery import Recovery
from exness_streams.transport.table_store import TableStore

Patch = tuple[Any, str, Any]


def folded_again() -> list[Patch]:
    """A cell that stayed as it is folds what is delivered to it again."""
    whole = CellHost._fold_slice

    def fold_slice(self: CellHost, owned: Any, batch: Any) -> None:
        owned.cell.next_offset = min(owned.cell.next_offset, batch[0].offset)
        whole(self, owned, batch)

    return [(CellHost, "_fold_slice", fold_slice)]


def older_over_newer() -> list[Patch]:
    """Recovery writes what it reads, whatever the table holds already."""
    whole = TableStore.apply_changelog_batch

    def apply(self: Any, *args: Any, **named: Any) -> None:
        self.persisted_offset = lambda tp: None
        try:
            whole(self, *args, **named)
        finally:
            del self.persisted_offset

    return [(TableStore, "apply_changelog_batch", apply)]


def reads_while_quiesced() -> list[Patch]:
    """A worker shows what it has while partitions are given out anew, and when nobody has confirmed them for long."""
    return [(FreshCells, "cell", lambda self, partition: self._cells.cell(partition))]


def reads_of_the_silent() -> list[Patch]:
    """A worker that nobody has confirmed for long shows what it has."""

    def cell(self: Any, partition: int) -> Any:
        return self._cells.cell(partition) if self._cells.holds_lease(partition) else None

    return [(FreshCells, "cell", cell)]


def offset_before_fence() -> list[Patch]:
    """How far a cell is committed is read first, and then its former owner is fenced."""

    async def fence(self: Any, partitions: Iterable[int]) -> Mapping[int, Lease]:
        wanted = sorted(set(partitions))
        await self.release(wanted)
        committed = await commits.committed_offsets(self._cluster, self._group, self.topic, wanted) if wanted else {}
        for partition in wanted:
            producer = await self._start_producer(partition)
            lease = self._lease_of(partition, committed.get(partition), producer)
            self._fenced[partition] = commits._Fenced(lease, producer)
        return {partition: self._fenced[partition].lease for partition in wanted}

    return [(KafkaCellLog, "fence", fence)]


def fenced_once() -> list[Patch]:
    """A partition that is assigned again is not fenced again, and it is not asked how far it is committed."""

    async def take_over(self: Any, partitions: Iterable[int]) -> None:
        assigned = set(partitions)
        await self.release(self._fenced.keys() - assigned)
        for partition, fenced in list(self._fenced.items()):
            before = fenced.lease
            before.end()
            lease = self._lease_of(partition, before.committed, fenced.producer)
            self._fenced[partition] = commits._Fenced(lease, fenced.producer)
        await self.fence(assigned - self._fenced.keys())

    return [(KafkaCellLog, "take_over", take_over)]


def read_before_the_seek() -> list[Patch]:
    """Sources are read as soon as Faust resumes them, which is before it seeks."""
    whole = BatchingConsumer._fetchable

    def fetchable(self: Any, active: set[Any]) -> set[Any]:
        self._sources_released = True
        return whole(self, active)

    return [(BatchingConsumer, "_fetchable", fetchable)]


def batches_survive() -> list[Patch]:
    """What was fetched before a seek is given out after it."""
    return [(BatchingConsumer, "_forget_batches", lambda self, tps=None: self.wakeup.set())]


def broken_off_recovery() -> list[Patch]:
    """A recovery that another rebalance breaks off is taken for a complete one."""
    return [
        (Recovery, "on_recovery_completed", FaustRecovery.on_recovery_completed),
        (Recovery, "is_current", property(lambda self: True)),
    ]


def cleared_changelogs() -> list[Patch]:
    """The queue of changelogs is emptied when the flow goes on, as Faust has it."""

    def queue(app: Any, maxsize: int = 0) -> Any:
        return ThrowableQueue(maxsize, flow_control=app.flow_control, clear_on_resume=True)

    return [(recovery, "ChangelogQueue", queue)]


def ends_with_markers() -> list[Patch]:
    """Recovery waits for the end of a changelog, where a transaction's marker may be."""

    async def ends(cluster: Any, tps: Iterable[Any]) -> Mapping[Any, int]:
        consumer = AIOKafkaConsumer(isolation_level="read_committed")
        found: Mapping[Any, int] = await consumer.end_offsets(list(tps))
        return found

    return [(faust_driver, "data_ends", ends)]


def done_later() -> list[Patch]:
    """What the consumer's thread was asked to do is done whenever its turn comes, though nobody waits for it."""
    return [(Call, "give_up", lambda self: None)]


def spins_once_crashed() -> list[Patch]:
    """A consumer that has crashed goes round without a pause until it is stopped, as Faust's own."""
    return [(batching, "CRASHED_ROUND_S", 0.0)]


FAULTS: dict[str, Callable[[], list[Patch]]] = {
    "a cell that stayed folds again": folded_again,
    "recovery puts older values over newer ones": older_over_newer,
    "reads while partitions are given out anew": reads_while_quiesced,
    "reads of a worker that was not confirmed": reads_of_the_silent,
    "the offset is read before the fence": offset_before_fence,
    "fenced at the first assignment only": fenced_once,
    "sources are read before the seek": read_before_the_seek,
    "batches survive a seek": batches_survive,
    "a recovery that was broken off counts": broken_off_recovery,
    "changelogs are cleared when the flow goes on": cleared_changelogs,
    "recovery waits for a marker": ends_with_markers,
    "what was given up is done later": done_later,
    "a crashed consumer spins": spins_once_crashed,
}


def put_in(name: str) -> None:
    """For good: each life is a process of its own."""
    for owner, attribute, value in FAULTS[name]():
        setattr(owner, attribute, value)
