"""The local tables as an audit finds them, also beside a running platform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rocksdict

from exness_streams.transport.embedded.reader import Snapshot
from exness_streams.transport.table import LIFE_KEY, OWN_KEYS, TOO_OLD
from exness_streams.transport.table_store import NOT_ITS_FAULT, entries_from, one_line, seen_from_outside

OFFSET_KEY = b"__faust\0offset__"
"""Faust's, beside the entries: the last changelog record that is in them."""

TABLES = ("accounts", "history", "candles")


def stored_entries(tables_dir: Path, partition: int) -> dict[bytes, bytes] | None:
    """The local table of a cell, with OFFSET_KEY and LIFE_KEY; None where there is none. ValueError."""
    path = _path_of(tables_dir, "accounts", partition)
    if path is None:
        return None
    with _opened(path) as table:
        return {key: value for key, value in entries_from(table) if key == LIFE_KEY or key not in OWN_KEYS}


def check_readable(tables_dir: Path) -> None:
    """ValueError for the first table that a start would put aside since it can't be read."""
    for name in TABLES:
        for path in sorted(tables_dir.glob(f"**/{name}-*.db")):
            with _opened(path):
                pass


def take_offset(entries: dict[bytes, bytes], snapshot: Snapshot, tp: tuple[str, int]) -> int:
    """Take what is no entry out of a table; the changelog record after which it stands, -1 for none.

    ValueError when the table is not of this log: a start puts it aside.
    """
    offset, life = int(entries.pop(OFFSET_KEY, b"-1")), entries.pop(LIFE_KEY, None)
    if offset >= snapshot.end(tp):
        what = f"holds records up to {offset} of {tp[0]}, which ends at {snapshot.end(tp) - 1}"
    elif offset >= 0 and not snapshot.continues(tp, None, offset):
        what = TOO_OLD
    elif life is not None and not snapshot.continues(tp, life, offset):
        what = "was built from another log, or from records that this one lacks since it was restored"
    else:
        return offset
    raise ValueError(f"the table of cell {tp[1]} {what}: the next start puts it aside and rebuilds it from the log")


def _path_of(tables_dir: Path, name: str, partition: int) -> Path | None:
    found = sorted(tables_dir.glob(f"**/{name}-{partition}.db"))
    return found[-1] if found else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    why = seen_from_outside(path)
    if why is not None:
        raise _unreadable(path, why)
    try:
        options = rocksdict.Options(raw_mode=True)
        table = rocksdict.Rdict(str(path), options=options, access_type=rocksdict.AccessType.read_only())
        try:
            yield table
        finally:
            table.close()
    except Exception as error:  # rocksdict has no exception of its own
        raise _unreadable(path, one_line(error)) from error


def _unreadable(path: Path, why: str) -> ValueError:
    if any(words in why for words in NOT_ITS_FAULT):
        return ValueError(f"the table {path} can't be read ({why}): make it readable for this user")
    return ValueError(
        f"the table {path} can't be read ({why}): the next start puts it aside and rebuilds it from the log; to audit "
        "the log alone, move the tables directory away"
    )
