"""The audit: fold the journal again, from the start or a checkpoint, and compare every entry with the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import rocksdict

from exness_streams.domain import records
from exness_streams.domain.cell import Cell
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.state_hash import state_hash
from exness_streams.engine.checkpoints import changelog_of, committed_entries, find_checkpoints, read_checkpoint
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.log_reader import LogReader, Snapshot

OnProgress = Callable[[int, int], None]
"""Called with (records folded, records in all)."""

_OFFSET_KEY = b"__faust\0offset__"


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
) -> list[CellAudit]:
    """Audit every cell. LogFault when the log can't be read, ValueError when the journal can't be replayed."""
    # RocksDB is opened before the log is looked at: the changelog then has all that RocksDB lacks.
    reader = LogReader(log_dir)
    with reader.snapshot() as snapshot:
        count = snapshot.topics().get(JOURNAL_TOPIC, 0)
    stored = {partition: _stored_entries(tables_dir, partition) for partition in range(count)}
    with reader.snapshot() as snapshot:
        return [
            _audit_cell(snapshot, group, partition, stored[partition], checkpoints_dir, on_progress)
            for partition in range(count)
        ]


def _audit_cell(
    snapshot: Snapshot,
    group: str,
    partition: int,
    stored: dict[bytes, bytes] | None,
    checkpoints_dir: Path,
    on_progress: OnProgress,
) -> CellAudit:
    end, committed = committed_entries(snapshot, group, partition)
    began_at, replayed = _replay(snapshot, partition, end, checkpoints_dir, on_progress)
    if stored is None:
        table, name = committed, "the log's table (no local one is there)"
    else:
        table, name = _caught_up(stored, snapshot, group, partition), "the local table and the log's"
    differences = _differences(replayed, table)
    if table is not committed:
        differences += _differences(replayed, committed)
    accounts = 0
    for key, value in replayed.items():
        if key.startswith(records.ROW_PREFIX):
            accounts += 1
            row = records.decode_row(value)
            with money_arithmetic():
                if not row.is_conserved:
                    differences.append(f"account {row.account_id}: money is not conserved")
    return CellAudit(
        partition,
        began_at,
        end,
        accounts,
        state_hash(replayed.items()),
        state_hash(table.items()),
        differences,
        name,
    )


def _replay(
    snapshot: Snapshot, partition: int, end: int, checkpoints_dir: Path, on_progress: OnProgress
) -> tuple[int, dict[bytes, bytes]]:
    tp = (JOURNAL_TOPIC, partition)
    began_at, entries = _starting_point(snapshot.start(tp), end, partition, checkpoints_dir)
    cell = Cell(partition, entries.get)
    rows = [records.decode_row(v) for k, v in entries.items() if k.startswith(records.ROW_PREFIX)]
    quotes = {
        key.removeprefix(records.QUOTE_PREFIX).decode(): records.decode_quote(value)
        for key, value in entries.items()
        if key.startswith(records.QUOTE_PREFIX)
    }
    cell.load(began_at, rows, quotes.items())
    for record in snapshot.records(tp, began_at):
        if record.offset >= end:
            break
        assert record.value is not None, "the journal holds no tombstones"
        cell.fold(record.offset, records.decode_record(record.value))
        if len(cell.pending) > 1_000:
            _apply(cell, entries)
        if record.offset % 1_000 == 0:
            on_progress(record.offset - began_at, end - began_at)
    _apply(cell, entries)
    on_progress(end - began_at, end - began_at)
    if cell.next_offset != end:
        raise ValueError(f"partition {partition}: the journal ends at {cell.next_offset}, but was folded up to {end}")
    return began_at, entries


def _starting_point(start: int, end: int, partition: int, checkpoints_dir: Path) -> tuple[int, dict[bytes, bytes]]:
    if start == 0:
        return 0, {}
    for offset, path in find_checkpoints(checkpoints_dir, partition):
        if start <= offset <= end:
            return offset, read_checkpoint(path)[1]
    raise ValueError(
        f"partition {partition}: the journal begins at record {start} and no checkpoint stands between it and {end}, "
        "so there is nothing to replay from"
    )


def _apply(cell: Cell, entries: dict[bytes, bytes]) -> None:
    for key, value in cell.pending.items():
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value
    cell.committed()


def _stored_entries(tables_dir: Path, partition: int) -> dict[bytes, bytes] | None:
    """The local RocksDB table; None where there is none."""
    found = sorted(tables_dir.glob(f"**/accounts-{partition}.db"))
    if not found:
        return None
    options = rocksdict.Options(raw_mode=True)
    try:
        table = rocksdict.Rdict(str(found[-1]), options=options, access_type=rocksdict.AccessType.read_only())
        try:
            return dict(table.items())
        finally:
            table.close()
    except Exception as error:  # rocksdict has no exception of its own
        raise ValueError(
            f"the table {found[-1]} can't be read ({error}): remove the tables directory; the next start rebuilds it"
        ) from error


def _caught_up(stored: dict[bytes, bytes], snapshot: Snapshot, group: str, partition: int) -> dict[bytes, bytes]:
    """The local table as a start would make it: with the changelog's records that came after it."""
    entries = dict(stored)
    offset = int(entries.pop(_OFFSET_KEY, b"-1"))
    for record in snapshot.records((changelog_of(group), partition), offset + 1):
        if record.key is None:
            continue
        if record.value is None:
            entries.pop(record.key, None)
        else:
            entries[record.key] = record.value
    return entries


def _differences(replayed: dict[bytes, bytes], table: dict[bytes, bytes]) -> list[str]:
    return [
        f"{key.decode()}: replay gives {_shown(replayed.get(key))}, table has {_shown(table.get(key))}"
        for key in sorted(replayed.keys() | table.keys())
        if replayed.get(key) != table.get(key)
    ]


def _shown(value: bytes | None) -> str:
    return "nothing" if value is None else value.decode(errors="replace")[:200]
