"""What the embedded log keeps in memory: partitions with their newest records, commits, its fault."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from exness_streams.transport.embedded.sqlite_file import TP, Record, TopicTerms
from exness_streams.transport.faults import LogFault

TAIL_BYTES_MAX = 4 << 20
TAIL_RECORDS_MAX = 32_768
TAIL_S = 10.0
"""A live reader is not further behind; what is older would be memory that grows for the first hours."""
TAIL_MARK_S = 1.0
"""How exactly that is known."""
RECORD_OVERHEAD_BYTES = 64


def record_bytes(record: Record) -> int:
    """What a record counts for against limits in bytes."""
    return RECORD_OVERHEAD_BYTES + len(record.key or b"") + len(record.value or b"")


def cut_to_bytes(records: list[Record], bytes_max: int) -> list[Record]:
    """The longest prefix of at most `bytes_max`, but at least one record."""
    total = 0
    for index, record in enumerate(records):
        total += record_bytes(record)
        if total > bytes_max:
            return records[: max(index, 1)]
    return records


class _Mark(NamedTuple):
    """What was published between two moments of the monotonic clock. end: after the last of its records."""

    begun_s: float
    ended_s: float
    end: int


class Partition:
    """One partition: its bounds, and its newest records so that a live reader never touches the disk.

    start, end: offsets a reader may see, start <= offset < end. next_offset: the writer's own, ahead of `end`
    while a group is being written. A compacted partition keeps no tail: newer records replace older ones.
    """

    __slots__ = (
        "_tail",
        "_tail_bytes",
        "_tail_marks",
        "_tail_start",
        "end",
        "id",
        "next_offset",
        "number",
        "purged",
        "read_bytes",
        "start",
        "topic",
    )

    def __init__(self, partition_id: int, topic: TopicTerms, number: int, start: int = 0, end: int = 0) -> None:
        self.id = partition_id
        self.topic = topic
        self.number = number
        self.start = start
        self.end = end
        self.purged = -1  # the newest tombstone that is gone
        self.next_offset = end
        self.read_bytes = 1024  # a record's size as the last read from disk found it: how many to ask for next
        self._tail: list[Record] = []
        self._tail_start = end
        self._tail_bytes = 0
        self._tail_marks: deque[_Mark] = deque()

    @property
    def tp(self) -> TP:
        return self.topic.name, self.number

    def publish(self, records: Sequence[Record]) -> None:
        """Make durable records visible. Caller holds the log's lock."""
        self.end = records[-1].offset + 1
        if self.topic.compact:
            return
        self._tail.extend(records)
        self._tail_bytes += sum(map(record_bytes, records))
        self._forget(time.monotonic())
        if self._tail_bytes > TAIL_BYTES_MAX or len(self._tail) > TAIL_RECORDS_MAX:
            self._shorten_tail()

    def _forget(self, now_s: float) -> None:
        marks = self._tail_marks
        begun_s = marks.pop().begun_s if marks and now_s < marks[-1].begun_s + TAIL_MARK_S else now_s
        marks.append(_Mark(begun_s, now_s, self.end))
        while marks[0].ended_s + TAIL_S <= now_s:
            self._drop(marks.popleft().end - self._tail_start)

    def _shorten_tail(self) -> None:
        # A quarter more than needed, so that moving the list costs little a record.
        dropped, left_bytes = 0, self._tail_bytes
        while left_bytes > TAIL_BYTES_MAX * 3 // 4 or len(self._tail) - dropped > TAIL_RECORDS_MAX * 3 // 4:
            left_bytes -= record_bytes(self._tail[dropped])
            dropped += 1
        self._drop(dropped)

    def _drop(self, count: int) -> None:
        """The oldest so many of the tail; nothing when they are gone already."""
        if count <= 0:
            return
        self._tail_bytes -= sum(map(record_bytes, self._tail[:count]))
        del self._tail[:count]
        self._tail_start += count

    def tail_from(self, offset: int, records_max: int, bytes_max: int) -> list[Record] | None:
        """Visible records from `offset`; None when the tail does not reach so far. Caller holds the lock."""
        offset = max(offset, self.start)
        if offset >= self.end:
            return []
        first = offset - self._tail_start
        if first < 0 or self.topic.compact:
            return None
        found = self._tail[first : first + records_max]
        return found if self._tail_bytes <= bytes_max else cut_to_bytes(found, bytes_max)


class LogState:
    """What all threads of a log share. Every field changes only under `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.topics: dict[str, TopicTerms] = {}
        self.counts: dict[str, int] = {}
        self.partitions: dict[TP, Partition] = {}
        self.committed: dict[tuple[str, int], int] = {}
        self.fault: LogFault | None = None
        self._data_waiters: list[asyncio.Future[None]] = []
        self._fault_waiters: list[asyncio.Future[LogFault]] = []

    def add_topic(self, terms: TopicTerms, partitions: Iterable[Partition]) -> None:
        added = {partition.tp: partition for partition in partitions}
        self.topics[terms.name] = terms
        self.counts[terms.name] = len(added)
        self.partitions.update(added)

    def wait_for_data(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self.lock:
            self._data_waiters.append(waiter)
        return waiter

    def wait_for_fault(self) -> asyncio.Future[LogFault]:
        waiter: asyncio.Future[LogFault] = asyncio.get_running_loop().create_future()
        with self.lock:
            if self.fault is not None:
                waiter.set_result(self.fault)
            else:
                self._fault_waiters.append(waiter)
        return waiter

    def take_data_waiters(self) -> list[asyncio.Future[None]]:
        """Whoever waits for something durable; they wait no more. Caller holds the lock."""
        taken, self._data_waiters = self._data_waiters, []
        return taken

    def take_fault_waiters(self) -> list[asyncio.Future[LogFault]]:
        """Whoever waits for the fault; they wait no more. Caller holds the lock."""
        taken, self._fault_waiters = self._fault_waiters, []
        return taken

    def cancel_waiters(self) -> None:
        """Nothing will happen any more: whoever waits for data or the fault is cancelled."""
        with self.lock:
            waiters: list[asyncio.Future[Any]] = [*self.take_data_waiters(), *self.take_fault_waiters()]
        for waiter in waiters:
            call_in_loop(waiter.get_loop(), waiter.cancel)


def call_in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    """From any thread; nothing happens when the loop is closed, for then nobody is left to be told."""
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
