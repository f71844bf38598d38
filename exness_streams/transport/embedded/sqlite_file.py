"""The embedded log's file: its tables, its statements, and its errors in words. No threads, no state."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

from exness_streams.transport.embedded import lives
from exness_streams.transport.faults import DATA_DIR_VARIABLE, LogDamaged, LogFault, LogFull, Misconfigured

TP = tuple[str, int]
"""Topic and partition. Faust's TP is one of these."""

FILE_NAME = "log.sqlite"
FORMAT = 1
WAL_BYTES_KEPT = 64 << 20
BUSY_TIMEOUT_MS = 5_000

# `records` holds append-only topics, `latest` compacted ones: there a newer record replaces the older one of
# its key as it is written, so nothing has to compact later. A topic's last record is never deleted, so a
# partition's end is always its greatest offset + 1, durable without a row of its own.
SCHEMA = """
CREATE TABLE format (version INTEGER NOT NULL);
CREATE TABLE topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, compact INTEGER NOT NULL, retention_ms INTEGER
);
CREATE TABLE partitions (
    tp INTEGER PRIMARY KEY, topic INTEGER NOT NULL, number INTEGER NOT NULL, start INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE records (
    tp INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, key BLOB, value BLOB,
    PRIMARY KEY (tp, offset)
) WITHOUT ROWID;
CREATE TABLE latest (
    tp INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, key BLOB NOT NULL,
    value BLOB, PRIMARY KEY (tp, key)
) WITHOUT ROWID;
CREATE INDEX latest_by_offset ON latest (tp, offset);
CREATE INDEX tombstones ON latest (tp, timestamp_ms) WHERE value IS NULL;
CREATE TABLE commits (
    consumer_group TEXT NOT NULL, tp INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, tp)
) WITHOUT ROWID;
"""

# sqlite3 gives the GIL away around every step of a statement, and beside a busy event loop each return of it
# may cost a whole switch interval (5 ms; measured: 2,300 rows/s read instead of 1.2 M). So rows go in many a
# statement, and come out many a row (READ_BLOCK).
ROWS_PER_STATEMENT = (512, 64, 8, 1)

INSERT_RECORDS = "INSERT INTO records (tp, offset, timestamp_ms, key, value) VALUES "
UPSERT_LATEST = "INSERT INTO latest (tp, offset, timestamp_ms, key, value) VALUES "
UPSERT_LATEST_END = (
    " ON CONFLICT (tp, key) DO UPDATE SET"
    " offset = excluded.offset, timestamp_ms = excluded.timestamp_ms, value = excluded.value"
)
UPSERT_COMMITS = "INSERT INTO commits (consumer_group, tp, offset) VALUES "
UPSERT_COMMITS_END = " ON CONFLICT (consumer_group, tp) DO UPDATE SET offset = excluded.offset"

# One row for a whole block of records. The texts are the columns' bytes, one after another (the connection's
# text_factory is bytes, and a cast changes no byte); a length of -1 is a NULL.
READ_BLOCK = """
SELECT group_concat(offset), group_concat(timestamp_ms),
    group_concat(coalesce(length(key), -1)), group_concat(coalesce(length(value), -1)),
    group_concat(CAST(key AS TEXT), ''), group_concat(CAST(value AS TEXT), '')
FROM (
    SELECT offset, timestamp_ms, key, value FROM {table}
    WHERE tp = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?
)
"""


class Record(NamedTuple):
    """A record read. key or value None: none was written (a value of None is a tombstone)."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class TopicTerms(NamedTuple):
    """How a topic is kept. retention_ms None: for ever."""

    id: int
    name: str
    compact: bool
    retention_ms: int | None


class PartitionRow(NamedTuple):
    """One partition as the file has it; end is the next offset to be written."""

    id: int
    topic: TopicTerms
    number: int
    start: int
    end: int


def connect(directory: Path) -> sqlite3.Connection:
    """A connection for any one thread at a time, in autocommit; text comes out as bytes."""
    db = sqlite3.connect(
        directory / FILE_NAME,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    db.text_factory = bytes
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def prepare(db: sqlite3.Connection, directory: Path) -> None:
    """Make the tables of a new file, or check that an old one's are known."""
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != b"wal":
        raise Misconfigured(
            f"the file system of {directory} cannot hold the log (SQLite has no WAL there): choose a local "
            f"directory through {DATA_DIR_VARIABLE}"
        )
    db.execute("PRAGMA cache_size = -16384")
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        made = f"BEGIN IMMEDIATE; {SCHEMA} INSERT INTO format VALUES ({FORMAT}); COMMIT;"  # nosec B608 - our own
        db.executescript(made)
    check_format(db, directory)
    for schema in (lives.SCHEMA, lives.SCHEMA_PURGED):  # version 0.1.0 had none, and passes over them
        db.execute(schema)


def check_format(db: sqlite3.Connection, directory: Path) -> None:
    """Raises Misconfigured when the file was written by a newer version of this program."""
    (version,) = db.execute("SELECT version FROM format").fetchone()
    if version > FORMAT:
        raise Misconfigured(
            f"the log in {directory} was written by a newer version (its format is {version}, this program "
            f"knows {FORMAT}): run that version, or choose another directory through {DATA_DIR_VARIABLE}"
        )


def table_of(compact: bool) -> str:
    return "latest" if compact else "records"


def load_topics(db: sqlite3.Connection) -> dict[int, TopicTerms]:
    rows = db.execute("SELECT id, name, compact, retention_ms FROM topics")
    return {row[0]: TopicTerms(row[0], row[1].decode(), bool(row[2]), row[3]) for row in rows}


def load_partitions(db: sqlite3.Connection) -> list[PartitionRow]:
    topics = load_topics(db)
    rows = db.execute("SELECT tp, topic, number, start FROM partitions ORDER BY topic, number").fetchall()
    return [
        PartitionRow(tp, topics[topic], number, start, load_end(db, topics[topic].compact, tp))
        for tp, topic, number, start in rows
    ]


def load_end(db: sqlite3.Connection, compact: bool, tp: int) -> int:
    sql = f"SELECT max(offset) FROM {table_of(compact)} WHERE tp = ?"  # nosec B608 - names of our own
    (last,) = db.execute(sql, (tp,)).fetchone()
    return 0 if last is None else int(last) + 1


def load_commits(db: sqlite3.Connection) -> dict[tuple[str, int], int]:
    """(consumer group, partition id) -> next offset to read."""
    rows = db.execute("SELECT consumer_group, tp, offset FROM commits")
    return {(group.decode(), tp): offset for group, tp, offset in rows}


def insert_rows(db: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Execute `head (?, ...), (?, ...) tail` over all rows, in as few statements as possible."""
    first = 0
    for size in ROWS_PER_STATEMENT:
        while len(rows) - first >= size:
            marks = "(" + ", ".join("?" * len(rows[first])) + ")"
            part = rows[first : first + size]
            db.execute(head + ", ".join([marks] * size) + tail, tuple(chain.from_iterable(part)))
            first += size


def read_block(db: sqlite3.Connection, table: str, tp: int, first: int, end: int, records_max: int) -> list[Record]:
    """At most `records_max` records with first <= offset < end, in order of offset."""
    row = db.execute(READ_BLOCK.format(table=table), (tp, first, end, records_max)).fetchone()
    if row[0] is None:
        return []
    offsets, timestamps, key_sizes, value_sizes = ([int(n) for n in text.split(b",")] for text in row[:4])
    keys, values = row[4] or b"", row[5] or b""
    return list(map(Record, offsets, timestamps, _cut(keys, key_sizes), _cut(values, value_sizes)))


def _cut(joined: bytes, sizes: Sequence[int]) -> Iterator[bytes | None]:
    ends = accumulate(max(size, 0) for size in sizes)
    return (None if size < 0 else joined[end - size : end] for size, end in zip(sizes, ends, strict=True))


def fault_of(error: Exception, directory: Path, *, written: bool | None = False) -> LogFault:
    """What an exception of SQLite or of the file system means for the operator."""
    text = str(error)
    if isinstance(error, LogFault):
        return error.for_waiter(written)
    if "full" in text or ("disk I/O" in text and _bytes_free(directory) < 1 << 20):
        return LogFull(
            f"the disk holding the log in {directory} is full ({_bytes_free(directory) >> 20} MiB free): "
            "free some space and start again; nothing acknowledged was lost",
            written=written,
        )
    if "malformed" in text or "not a database" in text or "no such table" in text:
        return damaged(directory, text, written=written)
    if isinstance(error, OSError) or "readonly" in text or "unable to open" in text:
        kind = Misconfigured if isinstance(error, PermissionError) or not _is_ours(directory) else LogFault
        return kind(
            f"cannot write in {directory} ({text}): make it a directory that this user may write to, or "
            f"choose another through {DATA_DIR_VARIABLE}",
            written=written,
        )
    return LogFault(
        f"the log in {directory} failed ({type(error).__name__}: {text}): look at the disk and start again; "
        "nothing acknowledged was lost",
        written=written,
    )


def damaged(directory: Path, what: str, *, written: bool | None = False) -> LogDamaged:
    return LogDamaged(
        f"the log in {directory} is damaged ({what}): restore a backup of that directory, or move it away to "
        "begin with an empty log",
        written=written,
    )


def _is_ours(directory: Path) -> bool:
    """Whether this user may write there: else each start fails in the same way."""
    file = directory / FILE_NAME
    return os.access(directory, os.W_OK) and (not file.exists() or os.access(file, os.R_OK | os.W_OK))


def _bytes_free(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return 0
