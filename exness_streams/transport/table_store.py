"""The RocksDB files of a table: read so that damage is noticed, and put aside where they can be built anew.

On the embedded log a table is a copy of its changelog, which lies beside it: one that can't be used is renamed, never
removed, and recovery builds another (docs/decisions/0015-tables-are-put-aside.md). On Kafka it may be the last copy:
there it stays where it is, and the worker ends.
"""

from __future__ import annotations

import errno
import gc
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import rocksdict
from faust.stores.rocksdb import Store as RocksStore
from faust.types import TP

from exness_streams.transport.faults import TableDamaged, TableFault

log = logging.getLogger(__name__)

DAMAGED = ".damaged"
"""The file beside a table that says: damage was found while it was in use."""

SEEN_KEY = b"__exness\0seen__"
"""When the newest record in it was written, ms since the epoch. No entry."""

HELD_HERE = "lock hold by current process"
_LOCKED = (HELD_HERE, "While lock file", "Resource temporarily unavailable")
NOT_ITS_FAULT = ("Permission denied", "Operation not permitted", "Read-only file system", "No space left", "Too many")
"""What RocksDB says when the files may be whole: another table would fare no better."""


class TableStore(RocksStore):  # type: ignore[misc]  # faust is untyped here
    """Faust's store of one table. puts_aside: whether its changelog is on this machine, and whole."""

    @property
    def puts_aside(self) -> bool:
        """Whether its changelog is on this machine, in the same hands."""
        return self.table.lineage is not None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._identities: dict[int, tuple[int, int]] = {}
        self._is_closed = False

    async def stop(self) -> None:
        """Close the files, for good: Faust leaves them to the collector, and opens them again for whoever asks late."""
        self._is_closed = True
        for partition in list(self._dbs):
            self._close(partition)
        gc.collect()

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:
        """Faust's, which leaves their handles to the collector, too."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                self._close(tp.partition)
        super().revoke_partitions(table, tps)

    def _open_for_partition(self, partition: int) -> Any:
        """An open handle. TableFault, or RocksDB's own exception while another process has the files."""
        path: Path = self.partition_path(partition)
        if self._is_closed:
            raise TableFault(f"the table {path} is closed: this worker is stopping")
        try:
            known = seen_from_outside(path)
        except OSError as error:
            raise self._cannot_open(path, one_line(error)) from error
        if known is not None and self.puts_aside:
            self.put_aside(partition, known)
        if _mark_of(path).exists():  # of files that somebody has taken away since
            _mark_of(path).unlink()
        try:
            return self._opened(path, partition)
        except Exception as error:  # rocksdict has no exception of its own
            why = one_line(error)
            if any(words in why for words in _LOCKED):
                raise
            if not self.puts_aside or any(words in why for words in NOT_ITS_FAULT):
                raise self._cannot_open(path, why) from error
        self.put_aside(partition, f"can't be opened: {why}")
        try:
            return self._opened(path, partition)
        except Exception as error:
            raise self._cannot_open(path, one_line(error)) from error

    async def _try_open_db_for_partition(self, partition: int, *args: Any, **kwargs: Any) -> Any:
        """Faust's, which tries again for half a minute whatever has "lock" in its words, a path among them."""
        try:
            return self._db_for_partition(partition)
        except TableFault:
            await self.stop()
            raise
        except Exception:  # another process has it, or had it just now
            return await super()._try_open_db_for_partition(partition, *args, **kwargs)

    def _opened(self, path: Path, partition: int) -> Any:
        try:
            handle = super()._open_for_partition(partition)
        except Exception as error:  # rocksdict has no exception of its own
            if HELD_HERE not in one_line(error):
                raise
            gc.collect()  # the handle of a store that was given up lives until it is collected, and its lock with it
            handle = super()._open_for_partition(partition)
        self._identities[partition] = _identity(path)
        return handle

    def look(self) -> None:
        """TableFault when the directory of an open table is not that which was opened."""
        for partition in self._dbs:
            path: Path = self.partition_path(partition)
            try:
                replaced = _identity(path) != self._identities[partition]
            except OSError as error:
                raise self._moved(path, f"is gone ({error.strerror})") from error
            if replaced:
                # RocksDB writes by name: what it has written since is in the other one.
                _note(path, "was replaced by another while it was in use")
                raise self._moved(path, "was replaced by another")

    def _moved(self, path: Path, what: str) -> TableFault:
        return TableFault(
            f"the table {path} {what}, while it was in use: nothing acknowledged is lost; start again: it is rebuilt "
            "from the log"
        )

    def _cannot_open(self, path: Path, why: str) -> TableFault:
        if any(words in why for words in NOT_ITS_FAULT):
            way_out = "make it readable and writable for this user, on a disk with space, and start again"
        else:
            way_out = (
                "stop this worker, move its directory away (do not remove it: it may be the last copy), and start it: "
                "its tables are built anew from their changelogs"
            )
        return TableFault(f"the table {path} can't be opened ({why}): {way_out}")

    def persisted_offset(self, tp: TP) -> int | None:
        """Faust's. TableFault, unless another table can be built."""
        try:
            offset: int | None = super().persisted_offset(tp)
        except TableFault:
            raise
        except Exception as error:
            fault = self.damaged(tp.partition, error)
            if not self.puts_aside or not isinstance(fault, TableDamaged):
                raise fault from error
            self.put_aside(tp.partition, f"is damaged ({one_line(error)})")
            return None
        return offset

    def apply_changelog_batch(
        self, batch: Iterable[Any], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Faust's, in one write: with its own a crash may leave entries that the offset knows nothing of.

        Records that are in the table already change nothing. Recovery may have begun before the newest were written
        here, and would put older values in their place.
        """
        writes: defaultdict[int, Any] = defaultdict(lambda: rocksdict.WriteBatch(raw_mode=True))
        offsets: dict[int, int] = {}
        seen_s: dict[int, float] = {}
        held: dict[int, int | None] = {}
        for event in batch:
            message = event.message
            if message.partition not in held:
                held[message.partition] = self.persisted_offset(message.tp)
            known = held[message.partition]
            if known is not None and message.offset <= known:
                continue
            write = writes[message.partition]
            if message.value is None:
                write.delete(message.key)
            else:
                write.put(message.key, message.value)
            offsets[message.partition] = max(message.offset, offsets.get(message.partition, -1))
            seen_s[message.partition] = message.timestamp
        for partition, write in writes.items():
            write.put(self.offset_key, str(offsets[partition]).encode())
            write.put(SEEN_KEY, b"%d" % int(seen_s[partition] * 1000))
            try:
                self._db_for_partition(partition).write(write)
            except Exception as error:
                raise self.damaged(partition, error) from error

    def put_aside(self, partition: int, why: str) -> Path:
        """Rename the files of a partition, and say so; it is opened anew and empty when it is next asked for.

        why: goes on after "the table ...". Returns where they are. TableFault when they can't be renamed.
        """
        path: Path = self.partition_path(partition)
        self.close_partition(partition)
        try:
            kept = rename_beside(path)
            _mark_of(path).unlink(missing_ok=True)
        except OSError as error:
            raise TableFault(
                f"the table {path} {why}, and can't be put aside ({error.strerror}): move it away by hand, and start "
                "again: it is rebuilt from the log"
            ) from error
        log.warning("the table %s %s: it is kept as %s, and rebuilt from the log", path, why, kept.name)
        return kept

    def close_partition(self, partition: int) -> None:
        """Let go of the files: RocksDB locks them by their path, wherever they are renamed to."""
        self._close(partition)
        gc.collect()  # iterators hold it, too

    def _close(self, partition: int) -> None:
        handle = self._dbs.pop(partition, None)
        if handle is not None:
            with suppress(Exception):  # of damaged files: what could not be written is in the log
                handle.close()

    def damaged(self, partition: int, error: Exception) -> TableFault:
        """What an exception of RocksDB means, while the table is in use. Damage is marked for the next start."""
        if isinstance(error, TableFault):
            return error
        path: Path = self.partition_path(partition)
        why = one_line(error)
        if any(words in why for words in NOT_ITS_FAULT):
            return TableFault(f"the table {path} failed ({why}): see to the disk, and start again")
        if not self.puts_aside:
            return TableDamaged(
                f"the table {path} is damaged ({why}): stop this worker, move its directory away (do not remove it), "
                "and start it: its tables are built anew from their changelogs"
            )
        _note(path, f"was damaged while it was in use: {why}")
        return TableDamaged(
            f"the table {path} is damaged ({why}): nothing acknowledged is lost; start again: it is put aside then, "
            "and rebuilt from the log"
        )


def entries_from(handle: Any, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """The entries of an open table from a key on, in order. Raises what RocksDB raises.

    rocksdict's own items() and keys() end at a damaged block as they do at the end.
    """
    at = handle.iter()
    at.seek(first)
    while at.valid():
        yield at.key(), at.value()
        at.next()
    at.status()


def keys_from(handle: Any, first: bytes = b"") -> Iterator[bytes]:
    """The keys alone, as entries_from."""
    at = handle.iter()
    at.seek(first)
    while at.valid():
        yield at.key()
        at.next()
    at.status()


def last_key_before(handle: Any, end: bytes) -> bytes | None:
    """The greatest key below `end`, None when there is none. Raises what RocksDB raises."""
    at = handle.iter()
    at.seek_for_prev(end)
    while at.valid():
        key: bytes = at.key()
        if key < end:
            return key
        at.prev()
    at.status()
    return None


def one_line(error: BaseException) -> str:
    """RocksDB's words may be of several lines."""
    return " ".join(str(error).split()) or type(error).__name__


def seen_from_outside(path: Path) -> str | None:
    """What RocksDB would not say, or hide: beside a missing CURRENT it begins an empty table, and removes the rest."""
    if path.is_symlink() and not path.exists():
        return "is a link that leads nowhere"
    if not path.exists():
        return None
    if (mark := _mark_of(path)).exists():
        return _read_mark(mark)
    if not path.is_dir():
        return "is no directory"
    try:
        names = {each.name for each in path.iterdir()}
    except OSError:
        return None  # RocksDB says why
    if "CURRENT" not in names and any(name.endswith(".sst") or name.startswith("MANIFEST") for name in names):
        return "has no file CURRENT"
    return None


def clear_the_way(directory: Path, *, beneath: Path) -> None:
    """Put aside what lies where a directory of tables, or one above it from `beneath` on, should be. TableFault."""
    for each in (*reversed(directory.parents), directory):
        if each != beneath and beneath not in each.parents:
            continue
        try:
            if each.is_dir() or not (each.exists() or each.is_symlink()):
                continue
            kept = rename_beside(each)
        except OSError as error:
            raise TableFault(f"{each} is no directory for tables ({error.strerror}): move it away") from error
        log.warning(
            "%s is no directory for tables: it is kept as %s, and they are rebuilt from the log", each, kept.name
        )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _note(path: Path, why: str) -> None:
    """For the next start."""
    try:
        _mark_of(path).write_text(why)
    except OSError as error:
        log.warning("what is wrong with the table %s can't be noted beside it: %s", path, error.strerror)


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + DAMAGED)


def _read_mark(mark: Path) -> str:
    try:
        return one_line(ValueError(mark.read_text(errors="replace")[:500])) or "was damaged while it was in use"
    except OSError:
        return "was damaged while it was in use"


def rename_beside(path: Path) -> Path:
    """Never over an earlier one; where it is now. OSError."""
    if not path.exists() and not path.is_symlink():
        return path
    name = f"{path.name}.put-aside-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}"
    for nth in range(1, 1_000):
        kept = path.with_name(name if nth == 1 else f"{name}-{nth}")
        if not kept.exists() and not kept.is_symlink():
            return path.rename(kept)
    raise OSError(errno.EEXIST, "too many are there already")
