"""The embedded log: durable topics in one directory, for one process. SQLite beneath, no Faust.

Appends and transactions are grouped: what waits shares one fsync. A record is visible (`end`, reads) only
once it is durable. Offsets of a partition count from 0 without a gap; in a compacted topic replaced records
leave gaps, but no offset is used twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar

from exness_streams.transport.embedded import lives, sqlite_file
from exness_streams.transport.embedded.directory_lock import DirectoryLock
from exness_streams.transport.embedded.gil_pause import Relief
from exness_streams.transport.embedded.partition import LogState, Partition, cut_to_bytes, record_bytes
from exness_streams.transport.embedded.reader import LogReader, Snapshot
from exness_streams.transport.embedded.sqlite_file import TP, Record, TopicTerms
from exness_streams.transport.embedded.upkeep import Upkeep, now_ms, trim_write
from exness_streams.transport.embedded.watch import LogWatch
from exness_streams.transport.embedded.writer import Append, Commit, Statement, Write, Writer
from exness_streams.transport.faults import DATA_DIR_VARIABLE, LogClosed, LogFault, Misconfigured
from exness_streams.transport.interfaces import LogRecord

__all__ = ["TP", "EmbeddedLog", "LogReader", "Record", "Snapshot"]


class EmbeddedLog:
    """Use `open`. Its methods are for the event loop's thread, unless said otherwise."""

    _opened: ClassVar[dict[Path, EmbeddedLog]] = {}
    _opened_lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def open(cls, directory: Path) -> EmbeddedLog:
        """The log in `directory`, made when missing; one instance per directory and process.

        Every `open` needs its `close`. Raises LogLocked when another process has it, LogFault when it cannot
        be opened.
        """
        with cls._opened_lock:
            log = cls._opened.get(directory.resolve())
            if log is None:
                log = cls._opened[directory.resolve()] = cls(directory)
            log._holders += 1
            return log

    def __init__(
        self,
        directory: Path,
        *,
        upkeep_interval_s: float = 1.0,
        clock_ms: Callable[[], int] = now_ms,
        pages_max: int | None = None,
    ) -> None:
        """Open without sharing. pages_max: a full disk, for tests (SQLite pages of 4 KiB)."""
        self.directory = directory.resolve()
        self._named = directory.absolute()
        self._holders = 0
        self._clock_ms = clock_ms
        self._state = LogState()
        self._relief = Relief()
        self._lock = DirectoryLock(self.directory)
        try:
            self._start(upkeep_interval_s, pages_max)
        except (sqlite3.Error, OSError) as error:
            self._lock.release()
            raise sqlite_file.fault_of(error, self.directory) from error
        except LogFault:
            self._lock.release()
            raise

    def _start(self, upkeep_interval_s: float, pages_max: int | None) -> None:
        with ExitStack() as opened:
            writing, upkeep, self._reading = (
                opened.enter_context(closing(sqlite_file.connect(self.directory))) for _ in range(3)
            )
            sqlite_file.prepare(writing, self.directory)
            self._load(writing)
            if pages_max is not None:
                writing.execute(f"PRAGMA max_page_count = {pages_max}")
            watch = LogWatch(self._named)
            opened.pop_all()
        self._writer = Writer(writing, self.directory, self._state, self._relief, watch)
        self._upkeep = Upkeep(
            upkeep, self.directory, self._state, self._writer, watch, upkeep_interval_s, self._clock_ms
        )
        self._reader = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="log-reader")
        self._closed = False
        self._writer.start()
        self._upkeep.start()

    def _load(self, db: sqlite3.Connection) -> None:
        by_topic: dict[TopicTerms, list[Partition]] = {terms: [] for terms in sqlite_file.load_topics(db).values()}
        purged = lives.load_purged(db)
        for row in sqlite_file.load_partitions(db):
            partition = Partition(row.id, row.topic, row.number, row.start, row.end)
            partition.purged = purged.get(row.id, -1)
            by_topic[row.topic].append(partition)
        for terms, partitions in by_topic.items():
            self._state.add_topic(terms, partitions)
        self._state.committed = sqlite_file.load_commits(db)
        self._lives = lives.load(db)
        self._life: lives.Life | None = None

    def close(self) -> None:
        """Give it up; the last holder's close drains the writer and lets other processes in."""
        with self._opened_lock:
            self._holders -= 1
            if self._holders > 0 or self._closed:
                return
            self._closed = True
            if self._opened.get(self.directory) is self:
                del self._opened[self.directory]
            self._upkeep.close()
            self._reader.shutdown(cancel_futures=True)
            self._reading.close()
            self._writer.close()
            self._state.cancel_waiters()
            self._lock.release()

    @property
    def fault(self) -> LogFault | None:
        """Why the log no longer works; set once, for good."""
        return self._state.fault

    # -- topics

    def declare(self, topic: str, partitions: int, *, compact: bool = False, retention_ms: int | None = None) -> None:
        """Make a topic, or give an old one another retention (None: for ever); durable on return.

        compact: keep the newest record of each key. Raises Misconfigured when the topic has another number of
        partitions, or is compacted and should not be, or the reverse.
        """
        known = self._state.topics.get(topic)
        if known is None:
            self._create(topic, partitions, compact, retention_ms)
        elif (count := self._state.counts[topic]) != partitions:
            raise Misconfigured(
                f"topic {topic} in {self.directory} has {count} partition{'s' if count > 1 else ''}, not {partitions}: "
                f"their number is fixed once data exists, so set EXNESS_PARTITIONS={count}, or choose another "
                f"directory through {DATA_DIR_VARIABLE}"
            )
        elif known.compact != compact:
            raise Misconfigured(
                f"topic {topic} in {self.directory} is {'' if known.compact else 'not '}compacted, and that "
                f"cannot be changed: choose another directory through {DATA_DIR_VARIABLE}"
            )
        elif known.retention_ms != retention_ms:
            sql = "UPDATE topics SET retention_ms = ? WHERE id = ?"
            self._write_and_wait([Statement(sql, (retention_ms, known.id))])
            with self._state.lock:
                self._state.topics[topic] = known._replace(retention_ms=retention_ms)

    def _create(self, topic: str, partitions: int, compact: bool, retention_ms: int | None) -> None:
        if partitions < 1:
            raise LogFault(f"topic {topic} needs at least one partition, not {partitions}")
        next_id = max((partition.id for partition in self._state.partitions.values()), default=0) + 1
        terms = TopicTerms(len(self._state.topics) + 1, topic, compact, retention_ms)
        added = [Partition(next_id + number, terms, number) for number in range(partitions)]
        rows = [Statement("INSERT INTO topics VALUES (?, ?, ?, ?)", terms)]
        rows += [
            Statement("INSERT INTO partitions VALUES (?, ?, ?, 0)", (partition.id, terms.id, partition.number))
            for partition in added
        ]
        self._write_and_wait(rows)
        with self._state.lock:
            self._state.add_topic(terms, added)

    def _write_and_wait(self, statements: Sequence[Statement]) -> None:
        done: concurrent.futures.Future[object] = concurrent.futures.Future()
        self._writer.submit(Write(done, statements=statements))
        done.result()

    def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has; None when it was never declared."""
        return self._state.counts.get(topic)

    def topic_terms(self, topic: str) -> TopicTerms | None:
        return self._state.topics.get(topic)

    # -- lives

    @property
    def life(self) -> bytes:
        """The name of the life under way. It begins, durably, when it is first asked for: before what is built from
        the compacted topics is gone on with."""
        if self._life is None:
            ends = {each.id: each.end for each in self._state.partitions.values() if each.topic.compact}
            life = lives.next_life(self._lives, ends)
            forgotten = (life.number - lives.LIVES_KEPT,)
            self._write_and_wait([Statement(lives.INSERT, lives.row_of(life)), Statement(lives.FORGET, forgotten)])
            self._lives.append(life)
            self._life = life
        return self._life.name.encode()

    def continues(self, tp: TP, life: bytes | None, last: int) -> bool:
        """Whether the records up to `last`, as they were in the life of that name, are this log's, and it can still
        tell what was removed since. life: None is any."""
        partition = self._partition(tp)
        if last < partition.purged:
            return False
        return life is None or lives.continues(self._lives, life.decode(errors="replace"), partition.id, last)

    # -- writing

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[int]:
        """Append one record; the future gives its offset once it is durable, or raises LogFault."""
        return self.submit([LogRecord(topic, key, value, partition, timestamp_ms)], result=_only)

    def transact(
        self, group: str, records: Sequence[LogRecord], offsets: Mapping[TP, int]
    ) -> asyncio.Future[list[int]]:
        """Append records (each with its partition) and commit a group's offsets (next to read), or nothing.

        The future gives the records' offsets, in order, once they are durable, or raises LogFault.
        """
        commits = [Commit(group, self._partition(tp), offset) for tp, offset in offsets.items()]
        return self.submit(records, commits)

    def submit(
        self,
        records: Sequence[LogRecord],
        commits: Sequence[Commit] = (),
        result: Callable[[list[int]], Any] = list,
    ) -> asyncio.Future[Any]:
        """`transact`, with `result` making the future's result from the offsets, in the writer's thread."""
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        now = self._clock_ms()
        appends = [
            Append(
                self._writable(record),
                record.key,
                record.value,
                now if record.timestamp_ms is None else record.timestamp_ms,
            )
            for record in records
        ]
        self._writer.submit(Write(waiter, appends, commits, result=result))
        return waiter

    def drained(self) -> asyncio.Future[list[int]]:
        """Done once everything submitted before is durable; raises LogFault when the log failed."""
        return self.submit([])

    def trim(self, tp: TP, before_offset: int) -> asyncio.Future[int]:
        """Drop the records before `before_offset`, but never the last; the future gives the new start.

        The records are gone for readers when the future is done; their space is freed in the background.
        """
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._writer.submit(trim_write(self._partition(tp), before_offset, waiter))
        return waiter

    def tidy(self) -> None:
        """One round of the upkeep now, instead of within a second; blocks until it is done."""
        self._upkeep.round()

    def _writable(self, record: LogRecord) -> Partition:
        if record.partition is None:
            raise LogFault(f"a record for {record.topic} names no partition")
        partition = self._partition((record.topic, record.partition))
        if record.key is None and partition.topic.compact:
            raise LogFault(f"a record for {record.topic} has no key, and that topic is compacted by key")
        return partition

    def _partition(self, tp: TP) -> Partition:
        partition = self._state.partitions.get(tp)
        if partition is None:
            raise LogFault(f"the log in {self.directory} has no partition {tp[1]} of topic {tp[0]}")
        return partition

    # -- reading

    def start(self, tp: TP) -> int:
        """The first offset kept."""
        return self._partition(tp).start

    def end(self, tp: TP) -> int:
        """The next offset: one more than the last durable record's."""
        return self._partition(tp).end

    def committed(self, group: str, tp: TP) -> int | None:
        """The next offset that `group` will read; None when it committed nothing."""
        return self._state.committed.get((group, self._partition(tp).id))

    def read_now(self, tp: TP, offset: int, max_records: int, max_bytes: int) -> list[Record] | None:
        """Records from `offset` (or the start, when later) out of memory; None when they are only on disk.

        At most `max_records`, and `max_bytes` unless the first alone is larger. [] when there is nothing yet.
        """
        partition = self._partition(tp)
        with self._state.lock:
            return partition.tail_from(offset, max_records, max_bytes)

    async def read(self, tp: TP, offset: int, max_records: int, max_bytes: int) -> list[Record]:
        """`read_now`, or from disk. Raises LogFault when the file cannot be read; that ends the log, too."""
        found = self.read_now(tp, offset, max_records, max_bytes)
        if found is not None:
            return found
        if self._closed:
            raise LogClosed(f"the log in {self.directory} is closed")
        loop = asyncio.get_running_loop()
        self._relief.owe(loop)
        try:
            return await loop.run_in_executor(
                self._reader, self._read_disk, self._partition(tp), offset, max_records, max_bytes
            )
        finally:
            self._relief.done(1)

    def _read_disk(self, partition: Partition, offset: int, records_max: int, bytes_max: int) -> list[Record]:
        wanted = max(1, min(records_max, bytes_max // partition.read_bytes))
        try:
            while True:
                first, end = max(offset, partition.start), partition.end
                table = sqlite_file.table_of(partition.topic.compact)
                found = sqlite_file.read_block(self._reading, table, partition.id, first, end, wanted)
                if first >= partition.start:  # not trimmed under our hands
                    break
            if not _is_whole(found, first, partition.topic.compact):
                where = f"partition {partition.number} of {partition.topic.name}"
                raise sqlite_file.damaged(self.directory, f"records are missing in {where}, from {first} on")
        except Exception as error:
            raise self._writer.report(error) from error
        partition.read_bytes = sum(map(record_bytes, found)) // len(found) + 1
        return cut_to_bytes(found, bytes_max)

    # -- waiting

    def wait_for_data(self) -> asyncio.Future[None]:
        """Done when the next record becomes durable, or the log fails. Take it before looking for data."""
        return self._state.wait_for_data()

    def wait_for_fault(self) -> asyncio.Future[LogFault]:
        """Gives the log's fault, once it has one; cancelled when the log is closed."""
        return self._state.wait_for_fault()


def _only(offsets: list[int]) -> int:
    return offsets[0]


def _is_whole(records: Sequence[Record], first: int, compact: bool) -> bool:
    """Whether a read found every record it must find. A compacted partition always has its last record."""
    if not records:
        return False
    return compact or all(record.offset == first + index for index, record in enumerate(records))
