"""`exness-streams repair`: the way out of a journal with records that are lost or can't be read, without a backup.

What is given up is said by a record in the journal, with who gave it up and why (domain/repairs.py). Whoever folds the
journal from then on passes over the same records, so that the audit still proves everything else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError

from exness_streams.audit.checkpoints import committed_entries, write_checkpoint
from exness_streams.audit.kafka import cell_count, committed_state
from exness_streams.domain import codec, rules
from exness_streams.domain.codec import META_KEY, JournalRepaired, Meta, decode_meta
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.repairs import Unreadable, covers, given_up_to, read_record, repair_of
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.embedded.reader import LogReader, Snapshot
from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.reader import KafkaReader, kafka_reader
from exness_streams.transport.kafka.topics import KafkaCluster

SHOWN_BYTES = 120

Records = Mapping[int, Sequence[JournalRepaired]]
"""What is to be written, by partition."""


class Loss(NamedTuple):
    """Records from `first` to before `end` that a cell can't fold. why: in words that follow their numbers.

    is_later: a later release may know them. is_beginning: the journal begins behind them.
    """

    first: int
    end: int
    why: str
    is_later: bool = False
    is_beginning: bool = False


class Found(NamedTuple):
    """What is wrong with one cell's journal. beyond_repair: what is not mended here, in one line, or "".

    entries: the cell's, as committed at `meta`; they are asked for where the journal's beginning is gone.
    """

    partition: int
    losses: list[Loss]
    beyond_repair: str
    meta: Meta
    entries: dict[bytes, bytes]


class LossSearch:
    """Reads a cell's journal from where its table stands, and keeps what the cell could not fold."""

    def __init__(self, meta: Meta, journal_start: int) -> None:
        self._partition, self._rules = meta.partition, meta.rules
        self._losses: list[Loss] = []
        self._repairs: list[JournalRepaired] = []
        if meta.next_offset < journal_start:
            is_one = journal_start - meta.next_offset == 1
            why = (
                "is gone from the journal's beginning, and was never folded"
                if is_one
                else "are gone from the journal's beginning, and were never folded"
            )
            self._losses.append(Loss(meta.next_offset, journal_start, why, is_beginning=True))

    def take(self, offset: int, value: bytes | None) -> None:
        """The next record."""
        repair = repair_of(value)
        if repair is not None:
            self._repairs.append(repair)
            return
        try:
            record = read_record(self._partition, self._rules, offset, value)
        except Unreadable as fault:
            size = 0 if value is None else len(value)
            shown = "" if not value else f": {in_one_line(value, SHOWN_BYTES)}"
            why = f"can't be read ({fault.why}); {size} bytes{shown}"
            self._losses.append(Loss(fault.first, fault.end, why, fault.is_later))
            return
        if isinstance(record, codec.RulesChanged):
            self._rules = rules.after_change(self._partition, self._rules, record.rules)

    @property
    def losses(self) -> list[Loss]:
        """Those that nobody has given up yet."""
        return [loss for loss in self._losses if not any(_is_given_up(loss, repair) for repair in self._repairs)]


def _is_given_up(loss: Loss, repair: JournalRepaired) -> bool:
    return covers(repair, loss.first) and repair.end >= loss.end


def repairs_for(losses: Iterable[Loss], operator: str, reason: str) -> list[JournalRepaired]:
    """The records that give up these: one for each run of them."""
    now_ms, made = time.time_ns() // 1_000_000, list[JournalRepaired]()
    for loss in sorted(losses):
        if made and made[-1].end == loss.first:
            made[-1] = JournalRepaired(now_ms, made[-1].first, loss.end, operator, reason)
        else:
            made.append(JournalRepaired(now_ms, loss.first, loss.end, operator, reason))
    return made


def _beyond_repair(meta: Meta, journal_end: int) -> str:
    if meta.next_offset <= journal_end:
        return ""
    return (
        f"its journal ends at record {journal_end}, but its table was built from it up to {meta.next_offset}: the "
        "journal was made anew or cut, and only a backup brings it back (docs/operations.md, Lost state)"
    )


def _stands_at(partition: int, offset: int | None, stored: bytes | None) -> Meta:
    meta = Meta(partition, 0) if stored is None else decode_meta(stored)
    return meta if meta.next_offset >= (offset or 0) else Meta(partition, offset or 0, rules=meta.rules)


# -- the embedded log


def find_embedded(log_dir: Path, group: str) -> list[Found]:
    """Of every cell, what its journal lacks. LogFault."""
    with LogReader(log_dir).snapshot() as snapshot:
        return [_find_in(snapshot, group, one) for one in range(snapshot.topics().get(JOURNAL_TOPIC, 0))]


def _find_in(snapshot: Snapshot, group: str, partition: int) -> Found:
    offset, entries = committed_entries(snapshot, group, partition)
    meta, tp = _stands_at(partition, offset, entries.get(META_KEY)), (JOURNAL_TOPIC, partition)
    search = LossSearch(meta, snapshot.start(tp))
    for record in snapshot.records(tp, meta.next_offset):
        search.take(record.offset, record.value)
    return Found(partition, search.losses, _beyond_repair(meta, snapshot.end(tp)), meta, entries)


async def repair_embedded(log_dir: Path, checkpoints_dir: Path, found: Sequence[Found], records: Records) -> None:
    """Write the records. LogFault: LogLocked while the platform runs."""
    log = EmbeddedLog.open(log_dir)
    try:
        for partition, repairs in records.items():
            for repair in repairs:
                await log.append(JOURNAL_TOPIC, partition, None, codec.encode(repair))
    finally:
        log.close()
    _write_beginnings(checkpoints_dir, found)


# -- Kafka


async def find_in_cluster(cluster: KafkaCluster, group: str) -> list[Found]:
    """Of every cell, what its journal lacks. LogFault."""
    async with kafka_reader(cluster) as reader:
        cells = range(await cell_count(reader, cluster))
        return [await _find_of(reader, cluster.topics.journal, group, one) for one in cells]


async def _find_of(reader: KafkaReader, journal: str, group: str, partition: int) -> Found:
    offset = await reader.group_offset(group, journal, partition)
    entries = await committed_state(reader, group, partition)
    meta = _stands_at(partition, offset, entries.get(META_KEY))
    start, end = await reader.bounds(journal, partition)
    search = LossSearch(meta, start)

    def take(record: Any) -> bool:
        search.take(record.offset, record.value)
        return False

    await reader.read(journal, partition, max(start, meta.next_offset), end, take)
    return Found(partition, search.losses, _beyond_repair(meta, end), meta, entries)


async def repair_cluster(
    cluster: KafkaCluster, checkpoints_dir: Path, found: Sequence[Found], records: Records
) -> None:
    """Write the records; workers may run, or end again and again, meanwhile. LogFault."""
    async with cluster.producer() as producer:
        try:
            for partition, repairs in records.items():
                for repair in repairs:
                    await producer.send_and_wait(cluster.topics.journal, codec.encode(repair), partition=partition)
        except KafkaError as error:
            raise LogFault(f"Kafka did not take the repair: {error}. Run this again") from error
    _write_beginnings(checkpoints_dir, found)


# -- both


def _write_beginnings(directory: Path, found: Iterable[Found]) -> None:
    """Where a journal's beginning is gone, audits begin at the table as it was: nothing else is left of that time."""
    for cell in found:
        gone = next((loss for loss in cell.losses if loss.is_beginning), None)
        if gone is not None:
            meta = given_up_to(cell.meta, gone.end)
            write_checkpoint(directory, cell.partition, gone.end, cell.entries, meta=meta)
