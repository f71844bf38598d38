"""The embedded log's one writer: whatever waits goes into one SQLite transaction and one fsync."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from exness_streams.transport.embedded import sqlite_file
from exness_streams.transport.embedded.gil_pause import Relief
from exness_streams.transport.embedded.partition import LogState, Partition, call_in_loop
from exness_streams.transport.embedded.sqlite_file import Record
from exness_streams.transport.embedded.watch import LogWatch
from exness_streams.transport.faults import LogClosed, LogFault

GROUP_RECORDS_MAX = 8_192

Waiter = asyncio.Future[Any] | concurrent.futures.Future[Any]


class Append(NamedTuple):
    partition: Partition
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class Commit(NamedTuple):
    group: str
    partition: Partition
    offset: int


class Statement(NamedTuple):
    sql: str
    parameters: Sequence[Any]


@dataclass(slots=True, eq=False)
class Write:
    """What one caller wants written: all of it or nothing.

    on_durable: called after the fsync, before the waiter is told, under the state's lock. result: from the
    appends' offsets, what the waiter is given.
    """

    waiter: Waiter | None
    appends: Sequence[Append] = ()
    commits: Sequence[Commit] = ()
    statements: Sequence[Statement] = ()
    on_durable: Callable[[], None] | None = None
    result: Callable[[list[int]], Any] = list


@dataclass(slots=True, eq=False)
class Checkpoint:
    """Copy the WAL into the database between two groups. mode: RESTART or TRUNCATE."""

    waiter: Waiter | None
    mode: str


@dataclass(slots=True, eq=False)
class Look:
    """Look at the log's files between two groups."""

    waiter: Waiter | None


Work = Write | Checkpoint | Look


class Group:
    """The writes of one transaction, as rows, and what will be visible once it is durable."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self.writes = writes
        self.records: list[tuple[Any, ...]] = []
        self.latest: dict[tuple[int, bytes | None], tuple[Any, ...]] = {}
        self.committed: dict[tuple[str, int], int] = {}
        self.fresh: dict[Partition, list[Record]] = {}
        self.results: list[Any] = [write.result(self._add(write)) for write in writes]

    def _add(self, write: Write) -> list[int]:
        offsets = []
        for partition, key, value, timestamp_ms in write.appends:
            offset = partition.next_offset
            partition.next_offset = offset + 1
            offsets.append(offset)
            row = (partition.id, offset, timestamp_ms, key, value)
            if partition.topic.compact:
                self.latest[partition.id, key] = row
            else:
                self.records.append(row)
            self.fresh.setdefault(partition, []).append(Record(offset, timestamp_ms, key, value))
        for group, partition, offset in write.commits:
            self.committed[group, partition.id] = offset
        return offsets

    def execute(self, db: sqlite3.Connection) -> None:
        for write in self.writes:
            for statement in write.statements:
                db.execute(statement.sql, statement.parameters)
        sqlite_file.insert_rows(db, sqlite_file.INSERT_RECORDS, self.records)
        sqlite_file.insert_rows(
            db, sqlite_file.UPSERT_LATEST, list(self.latest.values()), sqlite_file.UPSERT_LATEST_END
        )
        commits = [(*key, offset) for key, offset in self.committed.items()]
        sqlite_file.insert_rows(db, sqlite_file.UPSERT_COMMITS, commits, sqlite_file.UPSERT_COMMITS_END)

    def has_statements(self) -> bool:
        return bool(self.fresh or self.committed) or any(write.statements for write in self.writes)


class Writer(threading.Thread):
    """Owns the writing connection. The first failure is for good: everything later fails with it."""

    def __init__(
        self, db: sqlite3.Connection, directory: Path, state: LogState, relief: Relief, watch: LogWatch
    ) -> None:
        super().__init__(name="log-writer", daemon=True)
        self._watch = watch
        self._relief = relief
        self._db = db
        self._directory = directory
        self._state = state
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._closed = False

    def submit(self, work: Work) -> None:
        """Queue it; the waiter is told in the order of submission, by its own loop."""
        with self._state.lock:
            if not self._closed:
                if isinstance(work, Write) and isinstance(work.waiter, asyncio.Future):
                    self._relief.owe(work.waiter.get_loop())
                self._queue.put(work)
                return
        _tell([(work.waiter, LogClosed(f"the log in {self._directory} is closed"))])

    def close(self) -> None:
        """Write what waits, then end."""
        with self._state.lock:
            self._closed = True
            self._queue.put(None)
        self.join()
        self._db.close()

    def report(self, error: Exception, *, written: bool | None = False) -> LogFault:
        """Take an error as the log's fault, unless it has one; every waiter for data or fault is woken."""
        fault = sqlite_file.fault_of(error, self._directory, written=written)
        with self._state.lock:
            if self._state.fault is None:
                self._state.fault = fault
            data_waiters = self._state.take_data_waiters()
            fault_waiters = self._state.take_fault_waiters()
        _tell([(waiter, None) for waiter in data_waiters])
        for waiter in fault_waiters:
            call_in_loop(waiter.get_loop(), _give, waiter, self._state.fault)
        return fault

    def run(self) -> None:
        closing = False
        while not closing:
            work = self._next_work()
            closing = work[-1] is None
            writes = [item for item in work if isinstance(item, Write)]
            if self._state.fault is None:
                self._write(writes)
            else:
                _refuse(writes, self._state.fault, written=False)
            self._relief.done(sum(isinstance(write.waiter, asyncio.Future) for write in writes))
            for item in work:
                if isinstance(item, Checkpoint):
                    self._checkpoint(item)
                elif isinstance(item, Look):
                    self._look(item)

    def _next_work(self) -> list[Work | None]:
        """All that waits, up to a group's size; ends with None when the writer is closed."""
        item = self._queue.get()
        work: list[Work | None] = [item]
        records = 0
        while item is not None and records < GROUP_RECORDS_MAX:
            records += len(item.appends) if isinstance(item, Write) else 0
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            work.append(item)
        return work

    def _write(self, writes: Sequence[Write]) -> None:
        written: bool | None = False
        try:
            group = Group(writes)
            if group.has_statements():
                self._watch.before_commit()
                self._db.execute("BEGIN IMMEDIATE")
                group.execute(self._db)
                self._relief.fsync()
                written = None  # from here on a failure leaves the outcome to be found out
                self._db.execute("COMMIT")
                self._watch.after_commit()
            self._publish(group)
        except Exception as error:
            self._roll_back()
            _refuse(writes, self.report(error, written=written), written=written)

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            # Nothing is lost by it: what has no commit frame in the WAL does not survive the connection.
            return

    def _publish(self, group: Group) -> None:
        with self._state.lock:
            for partition, records in group.fresh.items():
                partition.publish(records)
            self._state.committed.update(group.committed)
            for write in group.writes:
                if write.on_durable is not None:
                    write.on_durable()
            data_waiters = self._state.take_data_waiters() if group.fresh else []
        told: list[tuple[Waiter | None, Any]] = [
            (write.waiter, result) for write, result in zip(group.writes, group.results, strict=True)
        ]
        told += [(waiter, None) for waiter in data_waiters]
        _tell(told)

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        # A reader in a long snapshot would make this wait; without a busy time-out it gives up at once.
        result: LogFault | None = self._state.fault
        try:
            self._db.execute("PRAGMA busy_timeout = 0")
            with self._watch.copying():
                self._db.execute(f"PRAGMA wal_checkpoint({checkpoint.mode})")
            self._watch.restarted()
            self._db.execute(f"PRAGMA busy_timeout = {sqlite_file.BUSY_TIMEOUT_MS}")
        except (sqlite3.Error, LogFault) as error:
            result = self.report(error)
        _tell([(checkpoint.waiter, result)])

    def _look(self, look: Look) -> None:
        result: LogFault | None = self._state.fault
        if result is None:
            try:
                self._watch.look()
            except LogFault as error:
                result = self.report(error)
        _tell([(look.waiter, result)])


def _refuse(writes: Sequence[Write], fault: LogFault, *, written: bool | None) -> None:
    _tell([(write.waiter, fault.for_waiter(written)) for write in writes])


def _tell(results: Iterable[tuple[Waiter | None, Any]]) -> None:
    """Resolve waiters, each in its own loop, with one callback a loop; a LogFault is raised in them."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for waiter, result in results:
        if isinstance(waiter, asyncio.Future):
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, result))
        elif waiter is not None:
            _resolve([(waiter, result)])
    for loop, resolved in by_loop.items():
        call_in_loop(loop, _resolve, resolved)


def _give(waiter: asyncio.Future[Any], result: object) -> None:
    if not waiter.done():
        waiter.set_result(result)


def _resolve(results: Sequence[tuple[Waiter, Any]]) -> None:
    for waiter, result in results:
        if waiter.done():  # its waiter was cancelled
            continue
        if isinstance(result, LogFault):
            waiter.set_exception(result)
            # The log's fault is reported once, by whoever watches it; a thousand appends that nobody awaits
            # must not each report an exception that was never retrieved.
            waiter.exception()
        else:
            waiter.set_result(result)
