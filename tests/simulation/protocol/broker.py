"""The simulated brokers: topics, transactions, groups' offsets. As Kafka: markers take offsets, readers read what is
committed, a transactional id's newest epoch alone may write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from exness_streams.transport.interfaces import LogRecord


class Stored(NamedTuple):
    """A record, or (value and key None, is_marker) the end of a transaction."""

    offset: int
    key: bytes | None
    value: bytes | None
    txn: Transaction | None
    is_marker: bool = False


class Transaction:
    """is_open, then is_committed or not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_open = True
        self.is_committed = False
        self.parts: list[PartitionLog] = []
        self.offsets: dict[tuple[str, str, int], int] = {}


class PartitionLog:
    """One partition of a topic."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.records: list[Stored] = []
        self.waiters: list[Callable[[], object]] = []
        self.watched: list[tuple[int, Callable[[], object]]] = []

    def append(self, key: bytes | None, value: bytes | None, txn: Transaction | None, *, marker: bool = False) -> int:
        offset = self.end
        self.records.append(Stored(offset, key, value, txn, marker))
        self.end += 1
        if txn is None or marker:
            self.wake()
        if self.watched:
            self._tell()
        return offset

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter()

    def watch(self, end: int, reached: Callable[[], object]) -> None:
        """reached is called once, when the log has this end."""
        self.watched.append((end, reached))

    def _tell(self) -> None:
        due = [reached for end, reached in self.watched if end <= self.end]
        self.watched = [one for one in self.watched if one[0] > self.end]
        for reached in due:
            reached()

    def read(self, offset: int, limit: int) -> tuple[list[Stored], int]:
        """Committed records from an offset on, and where to read next."""
        found: list[Stored] = []
        position = max(offset, self.start)
        for record in self._from(position):
            if record.txn is not None and record.txn.is_open:
                break
            position = record.offset + 1
            if not record.is_marker and (record.txn is None or record.txn.is_committed):
                found.append(record)
                if len(found) >= limit:
                    break
        return found, position

    def _from(self, offset: int) -> Sequence[Stored]:
        records = self.records
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return records[low:]

    def stable_end(self) -> int:
        """Behind the last record that is decided."""
        return next((r.offset for r in self.records if r.txn is not None and r.txn.is_open), self.end)

    def data_end(self) -> int:
        """Behind the last committed record that is data: recovery waits for that one."""
        for record in reversed(self.records):
            if not record.is_marker and (record.txn is None or record.txn.is_committed):
                return record.offset + 1
        return self.start

    def trim(self, offset: int) -> list[Stored]:
        """What is gone."""
        self.start = max(self.start, offset)
        gone = [record for record in self.records if record.offset < self.start]
        self.records = self.records[len(gone) :]
        return gone

    def compact(self, read_to: int) -> None:
        """Keep the newest value of each key; a tombstone goes once everybody has read it.

        read_to: up to here (not included) all have read who have read anything.
        """
        stable, seen, kept = self.stable_end(), set[bytes](), []
        for record in reversed(self.records):
            committed = record.txn is None or record.txn.is_committed
            if record.offset < stable and not record.is_marker and record.key is not None:
                if not committed or record.key in seen:
                    continue
                seen.add(record.key)
                if record.value is None and record.offset < read_to:
                    continue
            kept.append(record)
        self.records = kept[::-1]


class Fenced(Exception):
    """Another producer has this transactional id now."""


class Broker:
    """All topics. note: told of what is worth a line of the trace."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note = note
        self.logs: defaultdict[tuple[str, int], PartitionLog] = defaultdict(PartitionLog)
        self.offsets: dict[tuple[str, str, int], int] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}

    def start_producer(self, name: str) -> int:
        """Its epoch from now on; what the former owner left open is rolled back."""
        self._epochs[name] = epoch = self._epochs.get(name, 0) + 1
        left = self._open.get(name)
        if left is not None:
            self.end(name, None, commit=False)
            self.note(f"an open transaction of {name} is rolled back")
        return epoch

    def _check(self, name: str, epoch: int | None) -> None:
        if epoch is not None and self._epochs.get(name) != epoch:
            raise Fenced(name)

    def write(
        self,
        name: str,
        epoch: int,
        records: Sequence[LogRecord],
        partition: int,
        offsets: dict[tuple[str, str, int], int],
    ) -> tuple[Transaction, list[int]]:
        """Into the transaction of `name`, begun with it."""
        self._check(name, epoch)
        if name in self._open:
            raise RuntimeError(f"{name} has a transaction already")
        txn = self._open[name] = Transaction(name)
        txn.offsets.update(offsets)
        written = []
        for record in records:
            part = self.logs[record.topic, partition if record.partition is None else record.partition]
            if part not in txn.parts:
                txn.parts.append(part)
            written.append(part.append(record.key, record.value, txn))
        return txn, written

    def end(self, name: str, epoch: int | None, *, commit: bool) -> None:
        """Decide the open transaction."""
        self._check(name, epoch)
        txn = self._open.pop(name)
        txn.is_open, txn.is_committed = False, commit
        for part in txn.parts:
            part.append(None, None, txn, marker=True)
        if commit:
            self.offsets.update(txn.offsets)

    def fence_all(self, names: Iterable[str]) -> None:
        """What is under way in their names is rolled back, and nothing of it comes later."""
        for name in list(names):
            self.start_producer(name)

    def forget_group(self) -> None:
        """Its offsets, after a time in which every transaction was decided."""
        self.fence_all(self._epochs)
        self.offsets.clear()

    def forget_offset(self, of: tuple[str, str, int]) -> None:
        """A group's in a partition that is deleted, also where a transaction is under way with another."""
        self.offsets.pop(of, None)
        for txn in self._open.values():
            txn.offsets.pop(of, None)

    def delete(self, tp: tuple[str, int], group: str) -> None:
        """A topic of one partition, and a group's offset in it."""
        self.fence_all([f"{tp[0]}-{tp[1]}"])
        del self.logs[tp]
        self.offsets.pop((group, *tp), None)

    def expire(self, name: str, txn: Transaction) -> None:
        """Roll back a transaction that took too long; its producer is fenced."""
        if txn.is_open:
            self.note(f"a transaction of {name} took too long")
            self._epochs[name] += 1
            self.end(name, None, commit=False)
