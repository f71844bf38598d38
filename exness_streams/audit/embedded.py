"""The audit on the embedded log: fold the journal again, from the start or a checkpoint, and compare every entry.

audit/kafka.py is its counterpart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from exness_streams.audit.beginnings import Reach, Tell, begin_replay, checkpoints_within
from exness_streams.audit.checkpoints import (
    Header,
    changelog_of,
    committed_entries,
    record_digest,
    write_checkpoint,
)
from exness_streams.audit.replay import Replay, put
from exness_streams.audit.tables import check_readable, stored_entries, take_offset
from exness_streams.domain import codec, rules
from exness_streams.domain.canonical_entries import is_same
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.repairs import Unreadable, covering
from exness_streams.domain.state_hash import state_hash
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader, Snapshot

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int], None]
"""Called with (records folded, records in all)."""

PROGRESS_RECORDS = 1_000


class CellAudit(NamedTuple):
    """What the audit of one cell found.

    began_at, ended_at: journal offsets. replayed_hash, table_hash: equal when all is well.
    differences: one line each. table: what was compared with.
    """

    partition: int
    began_at: int
    ended_at: int
    accounts: int
    replayed_hash: str
    table_hash: str
    differences: list[str]
    table: str

    @property
    def is_clean(self) -> bool:
        """Whether replay and table agree and money is conserved."""
        return not self.differences and self.replayed_hash == self.table_hash


def audit_all(
    log_dir: Path,
    tables_dir: Path,
    checkpoints_dir: Path,
    group: str,
    on_progress: OnProgress = lambda done, total: None,
    tell: Tell = log.warning,
) -> list[CellAudit]:
    """Audit every cell. LogFault when the log can't be read, ValueError when a table can't, or the journal can't be
    replayed."""
    check_readable(tables_dir)
    return [audit for audit, _ in _audited(log_dir, tables_dir, checkpoints_dir, group, on_progress, tell)]


class CheckpointRefused(Exception):
    """A cell differs from its journal: what it holds is not made the beginning of later audits. str() is one line."""


def checkpoint_all(
    log_dir: Path,
    tables_dir: Path,
    directory: Path,
    group: str,
    on_progress: OnProgress = lambda done, total: None,
    tell: Tell = log.warning,
) -> list[Header]:
    """Audit every cell, and write what the replay gives as its checkpoint. Nothing is written when one differs.

    CheckpointRefused, LogFault, and ValueError when the journal can't be replayed.
    """
    proven: list[Replay] = []
    for audit, replay in _audited(log_dir, tables_dir, directory, group, on_progress, tell):
        if not audit.is_clean:
            # Without what differs: /readyz says this to everybody, and entries are people's accounts.
            raise CheckpointRefused(
                f"cell {audit.partition} differs from its journal: no checkpoint is written and nothing of the journal "
                "is trimmed; `exness-streams audit` shows what differs"
            )
        proven.append(replay)
    return [
        write_checkpoint(
            directory, replay.partition, replay.next_offset, replay.entries, replay.last_record, replay.meta
        )
        for replay in proven
    ]


def _audited(
    log_dir: Path, tables_dir: Path, checkpoints_dir: Path, group: str, on_progress: OnProgress, tell: Tell
) -> Iterator[tuple[CellAudit, Replay]]:
    """The audit of every cell, in turn, and its replay."""
    # RocksDB is opened before the log is looked at: the changelog then has all that RocksDB lacks.
    reader = LogReader(log_dir)
    with reader.snapshot() as snapshot:
        count = snapshot.topics().get(JOURNAL_TOPIC, 0)
    stored = {partition: stored_entries(tables_dir, partition) for partition in range(count)}
    with reader.snapshot() as snapshot:
        for partition in range(count):
            yield _audit_cell(snapshot, group, partition, stored[partition], checkpoints_dir, on_progress, tell)


def _audit_cell(
    snapshot: Snapshot,
    group: str,
    partition: int,
    stored: dict[bytes, bytes] | None,
    checkpoints_dir: Path,
    on_progress: OnProgress,
    tell: Tell,
) -> tuple[CellAudit, Replay]:
    end, committed = committed_entries(snapshot, group, partition)
    replay = _replay(snapshot, partition, end, checkpoints_dir, on_progress, tell)
    if stored is None:
        table, name = committed, "the log's table (no local one is there)"
    else:
        table, name = _caught_up(stored, snapshot, group, partition), "the local table and the log's"
    found = compared(replay, end, table, name)
    if table is not committed:
        found.differences.extend(compared(replay, end, committed, name).differences)
    return found, replay


def compared(replay: Replay, ended_at: int, table: dict[bytes, bytes], name: str) -> CellAudit:
    """What a replay up to `ended_at` and a table of that name have in common, and whether money is conserved.

    What the table says of itself (its Meta) is compared with what was found; a table of 0.1.0 says nothing.
    """
    meta, table = _meta_apart(table)
    differences = _differences(replay.entries, table)
    accounts = taken = access = access_taken = 0
    for key, value in replay.entries.items():
        if key.startswith(codec.ROW_PREFIX):
            accounts += 1
            row = codec.decode_row(value)
            taken += row.applied_offset + 1
            with money_arithmetic():
                if not row.is_conserved:
                    differences.append(f"account {row.account_id}: money is not conserved")
        elif key.startswith(codec.ACCESS_PREFIX):
            access += 1
            access_taken += codec.decode_access_row(value).applied_offset + 1
    if meta is not None and ((meta.accounts, meta.taken) != (accounts, taken) or meta.next_offset < ended_at):
        differences.append(
            f"the table says that it stands at record {meta.next_offset} with {meta.accounts} accounts, which have "
            f"taken {meta.taken}; replay gives {ended_at}, {accounts} and {taken}"
        )
    if meta is not None and (meta.access, meta.access_taken) != (access, access_taken):
        differences.append(
            f"the table says that {meta.access} accounts have sessions or keys, which have taken {meta.access_taken}; "
            f"replay gives {access} and {access_taken}"
        )
    if meta is not None:
        differences.extend(_otherwise(meta, replay.meta))
    return CellAudit(
        replay.partition,
        replay.began_at,
        ended_at,
        accounts,
        state_hash(replay.entries.items()),
        state_hash(table.items()),
        differences,
        name,
    )


_COUNTED = frozenset({"partition", "next_offset", "accounts", "taken", "rebuilt_to", "access", "access_taken"})


def _otherwise(table: codec.Meta, replay: codec.Meta) -> list[str]:
    """Where a table and a replay differ in what only the Meta tells, and which nobody can count again.

    Not when they stand at different records. Under the first rules a release wrote what it knew of.
    """
    if table.next_offset != replay.next_offset or table.rules == replay.rules == rules.FIRST:
        return []
    return [
        f"the table says that its {name} is {getattr(table, name)}; replay gives {getattr(replay, name)}"
        for name in codec.Meta.__struct_fields__
        if name not in _COUNTED and getattr(table, name) != getattr(replay, name)
    ]


def _meta_apart(table: dict[bytes, bytes]) -> tuple[codec.Meta | None, dict[bytes, bytes]]:
    stored = table.get(codec.META_KEY)
    entries = {key: value for key, value in table.items() if key != codec.META_KEY}
    return None if stored is None else codec.decode_meta(stored), entries


def _replay(
    snapshot: Snapshot, partition: int, end: int, checkpoints_dir: Path, on_progress: OnProgress, tell: Tell
) -> Replay:
    tp = (JOURNAL_TOPIC, partition)
    reach = reach_of(snapshot, partition, end, checkpoints_dir) if snapshot.start(tp) else Reach(0, end, {})
    replay = begin_replay(checkpoints_dir, partition, reach, tell)
    began_at = replay.began_at
    for record in snapshot.records(tp, began_at):
        if record.offset >= end:
            break
        try:
            replay.fold(record.offset, record.value)
        except Unreadable as fault:
            later = (one.value for one in snapshot.records(tp, fault.end))
            repair = replay.known_repair(fault) or covering(later, fault.first)
            if repair is None:
                raise
            replay.give_up(fault, repair, tell)
        if record.offset % PROGRESS_RECORDS == 0:
            on_progress(record.offset - began_at, end - began_at)
    replay.apply()
    on_progress(end - began_at, end - began_at)
    check_reached(replay, end)
    return replay


def check_reached(replay: Replay, end: int) -> None:
    """ValueError when the journal ended before `end`."""
    if replay.next_offset != end:
        raise ValueError(
            f"partition {replay.partition}: the journal ends at {replay.next_offset}, but was folded up to {end}"
        )


def reach_of(snapshot: Snapshot, partition: int, end: int, directory: Path) -> Reach:
    """What the journal up to `end` has, for the checkpoints in a directory."""
    tp = (JOURNAL_TOPIC, partition)
    start = snapshot.start(tp)
    digests = {}
    for offset, _ in checkpoints_within(directory, partition, start + 1, end):
        for record in snapshot.records(tp, offset - 1):
            digests[record.offset] = record_digest(record.value)
            break
    return Reach(start, end, digests)


def _caught_up(stored: dict[bytes, bytes], snapshot: Snapshot, group: str, partition: int) -> dict[bytes, bytes]:
    """The local table as a start would make it: with the changelog's records that came after it."""
    entries, tp = dict(stored), (changelog_of(group), partition)
    offset = take_offset(entries, snapshot, tp)
    for record in snapshot.records(tp, offset + 1):
        if record.key is None:
            continue
        put(entries, record.key, record.value)
    return entries


def _differences(replayed: dict[bytes, bytes], table: dict[bytes, bytes]) -> list[str]:
    return [
        f"{key.decode()}: replay gives {_shown(replayed.get(key))}, table has {_shown(table.get(key))}"
        for key in sorted(replayed.keys() | table.keys())
        if not is_same(key, replayed.get(key), table.get(key))
    ]


def _shown(value: bytes | None) -> str:
    return "nothing" if value is None else value.decode(errors="replace")[:200]
