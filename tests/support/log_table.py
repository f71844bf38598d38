"""The table that follows a fake log: what hosts ask of a CellTable, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from exness_streams.transport.interfaces import LogRecord


class LogTable:
    """Recovered from a changelog, record by record. unproven, trimmed: as CellTable's, set by recovery. As on Kafka."""

    lineage = None

    def __init__(self, changelog_name: str, changelog: Iterable[LogRecord] = ()) -> None:
        self.changelog_name = changelog_name
        self.entries: dict[bytes, bytes] = {}
        self.offset = -1
        self.unproven: set[int] = {0}
        self.trimmed: set[int] = set()
        self.recover(changelog)

    def recover(self, changelog: Iterable[LogRecord]) -> None:
        """What it has not seen yet, as before a partition is loaded."""
        for offset, record in enumerate(changelog):
            if offset > self.offset:
                assert record.key is not None
                self.write(0, {record.key: record.value}, offset)

    def position(self, partition: int) -> int | None:
        return self.offset if self.offset >= 0 else None

    def entry(self, partition: int, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, self.entries[key]) for key in sorted(self.entries) if key.startswith(prefix)])

    def count(self, partition: int, prefix: bytes) -> int:
        return sum(key.startswith(prefix) for key in self.entries)

    def range(self, partition: int, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, self.entries[key]) for key in sorted(self.entries) if first <= key < end])

    def last_key(self, partition: int, first: bytes, end: bytes) -> bytes | None:
        return max((key for key in self.entries if first <= key < end), default=None)

    def prove(self, partition: int) -> None:
        self.unproven.discard(partition)
        self.trimmed.discard(partition)

    def write(self, partition: int, entries: Mapping[bytes, bytes | None], changelog_offset: int) -> None:
        assert changelog_offset > self.offset
        self.offset = changelog_offset
        for key, value in entries.items():
            self.entries.pop(key, None)
            if value is not None:
                self.entries[key] = value
