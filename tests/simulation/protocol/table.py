"""The tables of a simulated worker: what hosts ask of a CellTable, on a disk that outlives its processes."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping


class Kept:
    """A table's partition as it lies on a disk: entries, and the changelog's record up to which they go (-1: none)."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.offset = -1
        self.is_proven = self.is_trimmed = False

    def put(self, entries: Mapping[bytes, bytes | None], offset: int) -> None:
        for key, value in entries.items():
            if value is None:
                if self.entries.pop(key, None) is not None:
                    del self.keys[bisect_left(self.keys, key)]
            else:
                if key not in self.entries:
                    insort(self.keys, key)
                self.entries[key] = value
        self.offset = offset


class Disk:
    """A worker's directory: by table and partition."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Kept] = {}

    def of(self, table: str, partition: int) -> Kept:
        return self.kept.setdefault((table, partition), Kept())


class SimTable:
    """A CellTable of one process."""

    lineage = None

    def __init__(self, changelog_name: str, disk: Disk) -> None:
        self.changelog_name = changelog_name
        self._disk = disk
        self.unproven: set[int] = set()
        self.trimmed: set[int] = set()
        self.kept: dict[int, int] = {}

    def on_disk(self, partition: int) -> Kept:
        return self._disk.of(self.changelog_name, partition)

    def is_changelog(self, tp: tuple[str, int]) -> bool:
        return tp[0] == self.changelog_name

    def take_doubts(self, partition: int, start: int) -> None:
        """Before recovery goes on with what is here."""
        kept = self.on_disk(partition)
        if kept.offset < 0:
            self.kept.pop(partition, None)
        else:
            self.kept[partition] = kept.offset
        if start > kept.offset + 1:
            kept.is_trimmed, kept.is_proven = True, False
        if not kept.is_proven:
            self.unproven.add(partition)
        if kept.is_trimmed:
            self.trimmed.add(partition)

    def prove(self, partition: int) -> None:
        kept = self.on_disk(partition)
        kept.is_proven, kept.is_trimmed = True, False
        self.unproven.discard(partition)
        self.trimmed.discard(partition)

    def position(self, partition: int) -> int | None:
        offset = self.on_disk(partition).offset
        return None if offset < 0 else offset

    def entry(self, partition: int, key: bytes) -> bytes | None:
        return self.on_disk(partition).entries.get(key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        kept = self.on_disk(partition)
        for key in kept.keys[bisect_left(kept.keys, prefix) :]:
            if not key.startswith(prefix):
                return
            yield key, kept.entries[key]

    def count(self, partition: int, prefix: bytes) -> int:
        return sum(1 for _ in self.scan(partition, prefix))

    def range(self, partition: int, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        kept = self.on_disk(partition)
        for key in kept.keys[bisect_left(kept.keys, first) : bisect_left(kept.keys, end)]:
            yield key, kept.entries[key]

    def last_key(self, partition: int, first: bytes, end: bytes) -> bytes | None:
        keys = self.on_disk(partition).keys
        place = bisect_left(keys, end)
        return keys[place - 1] if place and keys[place - 1] >= first else None

    def write(self, partition: int, entries: Mapping[bytes, bytes | None], changelog_offset: int) -> None:
        self.on_disk(partition).put(entries, changelog_offset)
