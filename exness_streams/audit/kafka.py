"""The audit on Kafka, and checkpoints there; both may run beside workers.

The cut. A cell commits its entries to the changelog, its events and the journal's next offset in one transaction,
but the brokers make that visible topic by topic, so the group's offset and the changelog may be read one
transaction apart. Hence the order in which they are read:

1. the group's offset N: what the journal had before it was folded and committed;
2. the changelog's decided end: behind every transaction that had begun by then, so behind those of 1, and
   between two transactions, so that none is torn;
3. the journal's end M: whatever the changelog has up to 2 was folded from records before it.

The changelog up to 2 is therefore the state at one offset from N to M. The replay goes on from N, record by record,
until it gives exactly that state. When it never does, the audit has failed, and the nearest is shown.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from exness_streams.audit.beginnings import Reach, Tell, begin_replay, checkpoints_within
from exness_streams.audit.checkpoints import (
    Header,
    changelog_of,
    record_digest,
    remove_left_behind,
    write_checkpoint,
)
from exness_streams.audit.embedded import (
    PROGRESS_RECORDS,
    CellAudit,
    OnProgress,
    check_reached,
    compared,
)
from exness_streams.audit.replay import Replay, StateSearch, put
from exness_streams.domain.codec import META_KEY, JournalRepaired, decode_meta
from exness_streams.domain.repairs import Unreadable, gives_up, repair_of
from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.reader import KafkaReader, kafka_reader
from exness_streams.transport.kafka.topics import KafkaCluster

log = logging.getLogger(__name__)

SETTLE_S_MAX = 15.0
POLL_S = 0.1
TABLE = "the changelog"


class CellDiffers(ValueError):
    """A cell of which no checkpoint can be made. str() is one line."""


class _Cut(NamedTuple):
    """A cell's entries as the changelog had them, which belong to an offset from folded_min to folded_max."""

    journal_start: int
    folded_min: int
    folded_max: int
    entries: dict[bytes, bytes]


async def audit_cluster(
    cluster: KafkaCluster,
    group: str,
    checkpoints_dir: Path,
    on_progress: OnProgress = lambda done, total: None,
    tell: Tell = log.warning,
) -> list[CellAudit]:
    """Audit every cell. LogFault when Kafka can't be read, ValueError when the journal can't be replayed."""
    async with kafka_reader(cluster) as reader:
        auditor = _Auditor(reader, cluster.topics.journal, group, checkpoints_dir, on_progress, tell)
        return [(await auditor.audit(partition))[0] for partition in range(await cell_count(reader, cluster))]


async def checkpoint_cluster(
    cluster: KafkaCluster,
    group: str,
    checkpoints_dir: Path,
    on_progress: OnProgress = lambda done, total: None,
    tell: Tell = log.warning,
) -> list[Header]:
    """Audit every cell from its newest checkpoint on, and write another; those that the journal has left behind go.

    Raises as audit_cluster; CellDiffers for a cell whose audit fails (those before it have theirs).
    """
    written: list[Header] = []
    async with kafka_reader(cluster) as reader:
        auditor = _Auditor(reader, cluster.topics.journal, group, checkpoints_dir, on_progress, tell, from_newest=True)
        for partition in range(await cell_count(reader, cluster)):
            found, replay = await auditor.audit(partition)
            if not found.is_clean:
                raise CellDiffers(
                    f"cell {partition} gets no checkpoint because its table and journal differ: "
                    "`exness-streams audit --kafka` shows where"
                )
            at, entries, meta = found.ended_at, replay.entries, replay.meta
            written.append(write_checkpoint(checkpoints_dir, partition, at, entries, replay.last_record, meta))
            start, _ = await reader.bounds(cluster.topics.journal, partition)
            remove_left_behind(checkpoints_dir, partition, start, found.ended_at, tell)
    return written


async def cell_count(reader: KafkaReader, cluster: KafkaCluster) -> int:
    """How many partitions the journal has. LogFault when there is none."""
    count = await reader.partition_count(cluster.topics.journal)
    if not count:
        raise LogFault(
            f"there is no topic {cluster.topics.journal} at {', '.join(cluster.addresses)}: start an engine worker "
            "once, or correct KAFKA_BROKERS, EXNESS_TOPIC_PREFIX"
        )
    return count


async def committed_state(reader: KafkaReader, group: str, partition: int) -> dict[bytes, bytes]:
    """A cell's entries, as the changelog has them between two transactions. LogFault."""
    changelog, entries = changelog_of(group), dict[bytes, bytes]()
    if await reader.partition_count(changelog) > partition:
        end = await reader.decided_end(changelog, partition)
        start, _ = await reader.bounds(changelog, partition)

        def take(record: Any) -> bool:
            put(entries, record.key, record.value)
            return False

        await reader.read(changelog, partition, start, end, take)
    return entries


class _Auditor:
    def __init__(
        self,
        reader: KafkaReader,
        journal: str,
        group: str,
        checkpoints_dir: Path,
        on_progress: OnProgress,
        tell: Tell,
        *,
        from_newest: bool = False,
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._group = group
        self._checkpoints_dir = checkpoints_dir
        self._on_progress = on_progress
        self._tell = tell
        self._from_newest = from_newest

    async def audit(self, partition: int) -> tuple[CellAudit, Replay]:
        """What was found of a cell, and its replay: at the offset that the audit ended at."""
        cut = await self._cut(partition)
        reach = await self._reach(partition, cut)
        replay = begin_replay(self._checkpoints_dir, partition, reach, self._tell, newest_first=self._from_newest)
        ended_at = await self._replay(replay, cut)
        found = compared(replay, ended_at, cut.entries, TABLE)
        if found.is_clean and not await self._is_committed(partition, ended_at):
            found.differences.append(
                f"the table is that of journal record {ended_at}, but the group's offset stays before it"
            )
        return found, replay

    async def _reach(self, partition: int, cut: _Cut) -> Reach:
        digests: dict[int, str] = {}

        def take(record: Any) -> bool:
            digests[record.offset] = record_digest(record.value)
            return True

        start, end = cut.journal_start, cut.folded_min
        if start or self._from_newest:
            for offset, _ in checkpoints_within(self._checkpoints_dir, partition, start + 1, end):
                await self._reader.read(self._journal, partition, offset - 1, offset, take)
        return Reach(start, end, digests)

    async def _cut(self, partition: int) -> _Cut:
        reader = self._reader
        folded_min = await reader.group_offset(self._group, self._journal, partition) or 0
        entries = await committed_state(reader, self._group, partition)
        journal_start, folded_max = await reader.bounds(self._journal, partition)
        return _Cut(journal_start, folded_min, folded_max, entries)

    async def _replay(self, replay: Replay, cut: _Cut) -> int:
        """Replay to where the cut is, or comes nearest. Returns the offset."""
        first, last = replay.began_at, cut.folded_max

        # Whoever reads all that is committed meets each record: offsets between are marks, or were rolled back.
        def fold(record: Any) -> bool:
            replay.pass_over(record.offset)
            replay.fold(record.offset, record.value)
            if record.offset % PROGRESS_RECORDS == 0:
                self._on_progress(record.offset - first, last - first)
            return False

        # A table that says where it stands was folded up to there, even where a record changed no entry of it.
        meta = cut.entries.get(META_KEY)
        at_least = cut.folded_min if meta is None else max(cut.folded_min, min(decode_meta(meta).next_offset, last))
        await self._read(replay, first, min(at_least, last), fold)
        replay.pass_over(min(at_least, last))
        check_reached(replay, at_least)
        search = StateSearch(replay, {key: value for key, value in cut.entries.items() if key != META_KEY})

        def look(record: Any) -> bool:
            replay.pass_over(record.offset)
            search.fold(record.offset, record.value)
            return search.is_found

        if not search.is_found:
            await self._read(replay, at_least, last, look)
            search.rewind()
        self._on_progress(last - first, last - first)
        return search.offset

    async def _read(self, replay: Replay, first: int, end: int, take: Callable[[Any], bool]) -> None:
        """The journal's records; those that can't be read are passed over where an operator has given them up."""
        while first < end:
            fault = await self._read_on(replay.partition, first, end, take)
            if fault is None:
                return
            repair = replay.known_repair(fault) or await self._repair(fault)
            if repair is None:
                raise fault
            replay.give_up(fault, repair, self._tell)
            first = fault.end

    async def _repair(self, fault: Unreadable) -> JournalRepaired | None:
        given_up = gives_up(fault.first)
        return repair_of(await self._reader.first_value(self._journal, fault.partition, fault.end, given_up))

    async def _read_on(self, partition: int, first: int, end: int, take: Callable[[Any], bool]) -> Unreadable | None:
        try:
            await self._reader.read(self._journal, partition, first, end, take)
        except Unreadable as fault:
            return fault
        return None

    async def _is_committed(self, partition: int, offset: int) -> bool:
        """Whether the group has committed an offset; what the changelog has already, it has in a moment."""
        deadline_s = time.monotonic() + SETTLE_S_MAX
        while (await self._reader.group_offset(self._group, self._journal, partition) or 0) < offset:
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(POLL_S)
        return True
