"""The embedded log's upkeep: checkpoints of the WAL, retention, old tombstones.

Its thread only looks, on a connection of its own; what it finds to delete goes to the writer in small pieces,
each folded into the next group.
"""

from __future__ import annotations

import concurrent.futures
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exness_streams.transport.embedded import lives, sqlite_file
from exness_streams.transport.embedded.partition import LogState, Partition
from exness_streams.transport.embedded.watch import LogWatch
from exness_streams.transport.embedded.writer import Checkpoint, Look, Statement, Waiter, Work, Write, Writer
from exness_streams.transport.faults import LogFault

DELETED_ROWS_MAX = 512
TOMBSTONE_AGE_MS_MAX = 24 * 3600 * 1000
WAL_BYTES_MAX = 64 << 20
WAL_BYTES_IDLE_MAX = 1 << 20


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def trim_write(partition: Partition, before_offset: int, waiter: Waiter | None = None) -> Write:
    """Move a partition's start up to `before_offset`, not past its last record; the waiter gets the start."""
    start = max(partition.start, min(before_offset, partition.end - 1))

    def on_durable() -> None:
        partition.start = max(partition.start, start)

    return Write(
        waiter,
        statements=[Statement("UPDATE partitions SET start = max(start, ?) WHERE tp = ?", (start, partition.id))],
        on_durable=on_durable,
        result=lambda _: start,
    )


def _purged(partition: Partition, offset: int) -> None:
    partition.purged = max(partition.purged, offset)


class Upkeep(threading.Thread):
    """Runs `round` every `interval_s` seconds until closed."""

    def __init__(
        self,
        db: sqlite3.Connection,
        directory: Path,
        state: LogState,
        writer: Writer,
        watch: LogWatch,
        interval_s: float,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        super().__init__(name="log-upkeep", daemon=True)
        self._db = db
        self._db.execute("PRAGMA busy_timeout = 0")
        self._wal = directory / f"{sqlite_file.FILE_NAME}-wal"
        self._state = state
        self._writer = writer
        self._watch = watch
        self._interval_s = interval_s
        self._clock_ms = clock_ms
        self._stopping = threading.Event()
        self._round_lock = threading.Lock()
        self._wal_bytes_seen = 0
        self._written_seen = 0

    def run(self) -> None:
        while not self._stopping.wait(self._interval_s) and self._state.fault is None:
            self.round()

    def close(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join()
        self._db.close()

    def round(self) -> None:
        """Look at the files; expire, purge and delete what is due; checkpoint. A failure becomes the log's fault."""
        with self._round_lock:
            self._round()

    def _round(self) -> None:
        with self._state.lock:
            partitions = list(self._state.partitions.values())
        try:
            self._wait_for(Look(None))
            for partition in partitions:
                self._expire(partition)
                self._purge_tombstones(partition)
                self._delete_trimmed(partition)
            self._checkpoint(sum(partition.end for partition in partitions))
        except LogFault:
            return  # the writer's own, and known to it
        except Exception as error:
            self._writer.report(error)

    def _expire(self, partition: Partition) -> None:
        """Trim what is older than the topic's retention, up to the first record that is not."""
        retention_ms = self._state.topics[partition.topic.name].retention_ms
        if retention_ms is None or partition.end - partition.start < 2:
            return
        table = sqlite_file.table_of(partition.topic.compact)
        later = f"SELECT offset FROM {table} WHERE tp = ? AND offset >= ? AND timestamp_ms >= ?"  # nosec B608 - own names
        row = self._db.execute(
            f"{later} ORDER BY offset LIMIT 1", (partition.id, partition.start, self._clock_ms() - retention_ms)
        ).fetchone()
        before_offset = row[0] if row else partition.end - 1
        if before_offset > partition.start:
            self._wait_for(trim_write(partition, before_offset))

    def _purge_tombstones(self, partition: Partition) -> None:
        """Delete tombstones older than a day, as Kafka does, but never a partition's last record."""
        if not partition.topic.compact:
            return
        old = "tp = ? AND value IS NULL AND timestamp_ms < ? AND offset < ?"
        parameters = (partition.id, self._clock_ms() - TOMBSTONE_AGE_MS_MAX, partition.end - 1)
        while not self._stopping.is_set():
            which = f"SELECT key, offset FROM latest WHERE {old} LIMIT {DELETED_ROWS_MAX}"  # nosec B608 - names of our own
            keys = self._db.execute(which, parameters).fetchall()
            if not keys:
                return
            # The condition again: since it was read, the writer may have given the key a new value.
            marks = ", ".join("?" * len(keys))
            sql = f"DELETE FROM latest WHERE {old} AND key IN ({marks})"  # nosec B608 - names of our own
            purged = partial(_purged, partition, max(offset for _, offset in keys))
            statements = [
                Statement(sql, (*parameters, *(key for key, _ in keys))),
                Statement(lives.PURGE, (partition.id, purged.args[1])),
            ]
            self._wait_for(Write(None, statements=statements, on_durable=purged))

    def _delete_trimmed(self, partition: Partition) -> None:
        """Free the space of the records below the partition's start."""
        table = sqlite_file.table_of(partition.topic.compact)
        while partition.start and not self._stopping.is_set():
            first = f"SELECT offset FROM {table} WHERE tp = ? AND offset < ? ORDER BY offset LIMIT ?"  # nosec B608 - own
            last_of = f"SELECT max(offset) FROM ({first})"  # nosec B608 - own
            parameters = (partition.id, partition.start, DELETED_ROWS_MAX)
            (last,) = self._db.execute(last_of, parameters).fetchone()
            if last is None:
                return
            sql = f"DELETE FROM {table} WHERE tp = ? AND offset <= ?"  # nosec B608 - names of our own
            self._wait_for(Write(None, statements=[Statement(sql, (partition.id, last))]))

    def _wait_for(self, work: Work) -> None:
        done: concurrent.futures.Future[object] = concurrent.futures.Future()
        work.waiter = done
        self._writer.submit(work)
        done.result()

    def _checkpoint(self, written: int) -> None:
        """Copy the WAL into the database beside the writer; have the writer restart the file when it is long.

        written: grows with every record, so that an idle log is recognized.
        """
        idle = written == self._written_seen
        self._written_seen = written
        wal_bytes = self._wal.stat().st_size if self._wal.exists() else 0
        if wal_bytes and not (idle and wal_bytes == self._wal_bytes_seen):
            with self._watch.copying():
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._wal_bytes_seen = wal_bytes
        if wal_bytes > WAL_BYTES_MAX:
            self._wait_for(Checkpoint(None, "RESTART"))
        elif idle and wal_bytes > WAL_BYTES_IDLE_MAX:
            self._wait_for(Checkpoint(None, "TRUNCATE"))
