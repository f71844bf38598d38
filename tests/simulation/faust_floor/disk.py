"""RocksDB's part: what faust.stores.rocksdb and CellTable ask of a handle, in memory that outlives the processes.

A write is whole or not there, and there as soon as it returns: RocksDB's own log outlives the process that wrote it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol.loop import process


class Files:
    """Of one partition of a table."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.holder: tuple[Any, Any] | None = None
        """Which process has them open, by which handle."""

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.entries:
            insort(self.keys, key)
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        if self.entries.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]


DISKS: dict[str, Files] = {}
"""By path; a life begins with none."""


class WriteBatch:
    """rocksdict's."""

    def __init__(self, raw_mode: bool = False) -> None:
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self.changes.append((key, None))


class _Place:
    """rocksdict's iterator."""

    def __init__(self, files: Files) -> None:
        self._entries, self._keys, self._at = dict(files.entries), list(files.keys), 0

    def seek_to_first(self) -> None:
        self._at = 0

    def seek(self, key: bytes) -> None:
        self._at = bisect_left(self._keys, key)

    def seek_for_prev(self, key: bytes) -> None:
        at = bisect_left(self._keys, key)
        self._at = at if at < len(self._keys) and self._keys[at] == key else at - 1

    def valid(self) -> bool:
        return 0 <= self._at < len(self._keys)

    def key(self) -> bytes:
        return self._keys[self._at]

    def value(self) -> bytes:
        return self._entries[self._keys[self._at]]

    def next(self) -> None:
        self._at += 1

    def prev(self) -> None:
        self._at -= 1

    def status(self) -> None:
        pass


class Handle:
    """An open table, locked as RocksDB locks it: by its path, until it is closed or its process is gone."""

    def __init__(self, path: str, **_: Any) -> None:
        files = DISKS.setdefault(path, Files())
        here = process.get()
        here = getattr(here, "owner", here)
        if files.holder is not None and not files.holder[0].is_dead:
            whose = "lock hold by current process" if files.holder[0] is here else "Resource temporarily unavailable"
            raise Exception(f"IO error: While lock file: {path}/LOCK: {whose}")
        files.holder = here, self
        self._files: Files | None = files
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / "CURRENT").touch()

    @property
    def files(self) -> Files:
        if self._files is None:
            raise Exception("DB instance already closed")
        return self._files

    def close(self) -> None:
        if self._files is not None:
            self._files.holder = None
            self._files = None

    def __del__(self) -> None:
        files = getattr(self, "_files", None)
        if files is not None and files.holder is not None and files.holder[1] is self:
            files.holder = None

    def set_read_options(self, _: Any) -> None:
        pass

    def get(self, key: bytes) -> bytes | None:
        return self.files.entries.get(key)

    def key_may_exist(self, key: bytes) -> bool:
        return key in self.files.entries

    def put(self, key: bytes, value: bytes) -> None:
        self.files.put(key, value)

    __setitem__ = put

    def delete(self, key: bytes) -> None:
        self.files.delete(key)

    def write(self, batch: WriteBatch) -> None:
        files = self.files
        for key, value in batch.changes:
            if value is None:
                files.delete(key)
            else:
                files.put(key, value)

    def iter(self) -> _Place:
        return _Place(self.files)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, self.files.entries[key]) for key in self.files.keys])
