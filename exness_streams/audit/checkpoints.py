"""Checkpoints: a cell's entries at one offset of the journal, so that what came before may be trimmed.

A file is `<partition>-<offset>.jsonl.gz`: a header line, then one `[key, value]` line an entry. It counts by what it
says inside, and only when that is whole and agrees with its name; never by the file's own time.
"""

from __future__ import annotations

import fcntl
import gzip
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

import msgspec

from exness_streams.domain import rules
from exness_streams.domain.codec import META_KEY, Meta
from exness_streams.domain.state_hash import bytes_hash, state_hash
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import Snapshot
from exness_streams.transport.table_store import rename_beside

log = logging.getLogger(__name__)

SUFFIX = ".jsonl.gz"
UNFINISHED = ".tmp"


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint holds: the state before the journal record `offset` of `partition`.

    last_record: the digest of the record before `offset`, which tells this journal from another; "" is unknown, as in
    those of release 0.1.0. form: what state_hash is over, see FORMS. meta: what the cell says of itself at `offset`,
    its rules among it; None in those of 0.1.0, which were made by the first rules.
    """

    partition: int
    offset: int
    entries: int
    state_hash: str
    time_ms: int
    last_record: str = ""
    form: int = 1
    meta: Meta | None = None


FORMS = {1: bytes_hash, 2: state_hash}
"""How the state hash in a header is made: over the bytes of the entries as 0.1.0 does, or over what they mean.

The first is written while the first rules are in force, so that the release before can still go back to them.
"""


_header_decoder = msgspec.json.Decoder(Header)
_entry_decoder = msgspec.json.Decoder(tuple[str, str])


def committed_entries(snapshot: Snapshot, group: str, partition: int) -> tuple[int, dict[bytes, bytes]]:
    """A cell as the log has it: the journal offset up to which it is folded, and its entries."""
    changelog = changelog_of(group)
    offset = snapshot.committed(group, (JOURNAL_TOPIC, partition)) or 0
    entries: dict[bytes, bytes] = {}
    if changelog in snapshot.topics():
        for record in snapshot.records((changelog, partition)):
            if record.key is None:
                continue
            if record.value is None:
                entries.pop(record.key, None)
            else:
                entries[record.key] = record.value
    return offset, entries


def changelog_of(group: str) -> str:
    """The topic that holds the cells' entries."""
    return f"{group}-accounts-changelog"


def candles_changelog_of(group: str) -> str:
    """The topic that holds the candles, and with them the state of the ticks' owner."""
    return f"{group}-candles-changelog"


def record_digest(value: bytes | None) -> str:
    """A journal record's digest, for `Header.last_record`."""
    return sha256(value or b"").hexdigest()


def write_checkpoint(
    directory: Path,
    partition: int,
    offset: int,
    entries: dict[bytes, bytes],
    last_record: str = "",
    meta: Meta | None = None,
) -> Header:
    """Write one durably: whole under its name, or not at all. Its header says what an entry's Meta would.

    It is read back before it gets its name, so that it never takes the place of a better one. OSError, ValueError.
    """
    entries = {key: value for key, value in entries.items() if key != META_KEY}
    directory.mkdir(parents=True, exist_ok=True)
    form = 1 if meta is None or meta.rules == rules.FIRST else 2
    figure, now_ms = FORMS[form](entries.items()), int(time.time() * 1000)
    header = Header(partition, offset, len(entries), figure, now_ms, last_record, form, meta)
    with _alone_in(directory) as folder:
        for left in directory.glob(f"{partition}-*{UNFINISHED}"):  # by a kill: nobody else writes now
            with suppress(OSError):
                left.unlink()
        unfinished = checkpoint_path(directory, partition, offset).with_suffix(UNFINISHED)
        try:
            with unfinished.open("wb") as raw:
                with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as file:
                    file.write(msgspec.json.encode(header) + b"\n")
                    for key, value in sorted(entries.items()):
                        file.write(msgspec.json.encode((key.decode(), value.decode())) + b"\n")
                raw.flush()
                os.fsync(raw.fileno())
            if _read(unfinished) != (header, entries):
                raise ValueError(f"the checkpoint written to {unfinished} is read back otherwise: look at the disk")
            unfinished.replace(checkpoint_path(directory, partition, offset))
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
        os.fsync(folder)
    return header


@contextmanager
def _alone_in(directory: Path) -> Iterator[int]:
    """One process at a time writes here: the daily checkpoint and one by hand may meet. Gives the open directory."""
    folder = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def checkpoint_path(directory: Path, partition: int, offset: int) -> Path:
    """The file of the checkpoint before a journal record."""
    return directory / f"{partition}-{offset}{SUFFIX}"


def find_checkpoints(directory: Path, partition: int) -> list[tuple[int, Path]]:
    """The checkpoints of a partition as (offset, file) by their names, oldest first. OSError: it can't be listed."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        offset = name.removeprefix(f"{partition}-").removesuffix(SUFFIX)
        if offset.isascii() and offset.isdigit():
            path = checkpoint_path(directory, partition, int(offset))
            if path.name == name:
                found.append((int(offset), path))
    return sorted(found)


def put_aside_ahead(directory: Path, partition: int, folded: int) -> None:
    """Rename the checkpoints of a partition that stand behind all that its journal was folded to: they are of records
    that a log restored from a backup has lost, and will have others in their place. What can't be renamed is said."""
    try:
        ahead = [(offset, path) for offset, path in find_checkpoints(directory, partition) if offset > folded]
        for offset, path in ahead:
            kept = rename_beside(path)
            log.warning(
                "the checkpoint %s stands at record %d of a journal that was folded up to %d, since the log is an "
                "older one, as a backup is: it is kept as %s",
                path,
                offset,
                folded,
                kept.name,
            )
    except OSError as error:  # nothing is traded on them; an audit tells one of another journal by its digest
        log.warning("the checkpoints in %s can't be looked through: %s", directory, error)


def read_checkpoint(path: Path) -> tuple[Header, dict[bytes, bytes]]:
    """A checkpoint's header and entries. ValueError, one line: it can't be read, or is not what was written there."""
    header, entries = _read(path)
    if f"{header.partition}-{header.offset}{SUFFIX}" != path.name:
        raise ValueError(
            f"checkpoint {path} is damaged: it says that it is of partition {header.partition} at record "
            f"{header.offset}"
        )
    return header, entries


def _read(path: Path) -> tuple[Header, dict[bytes, bytes]]:
    try:
        if not S_ISREG(path.stat().st_mode):
            raise ValueError("it is no regular file")
        with gzip.open(path, "rb") as file:
            header = _header_decoder.decode(file.readline())
            entries = {key.encode(): value.encode() for key, value in map(_entry_decoder.decode, file)}
        if header.form not in FORMS:
            raise ValueError(f"it is of form {header.form}, which this release does not know")
        if (len(entries), FORMS[header.form](entries.items())) != (header.entries, header.state_hash):
            raise ValueError("its entries do not give its state hash")
    except PermissionError as error:
        raise ValueError(f"checkpoint {path} can't be read: {error.strerror}") from error
    except (OSError, EOFError, ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"checkpoint {path} is damaged: {error}") from error
    return header, entries


def remove_left_behind(directory: Path, partition: int, start: int, kept: int, tell: Callable[[str], None]) -> None:
    """Remove the checkpoints before the journal's `start`, once the one at `kept` has been read back from its file.

    What can't be removed is told in one line.
    """
    old = [path for offset, path in find_checkpoints(directory, partition) if offset < start]
    if not old:
        return
    try:
        read_checkpoint(checkpoint_path(directory, partition, kept))
    except ValueError as damage:
        tell(f"{damage}; older ones are kept")
        return
    for path in old:
        _remove(path, tell)


def _remove(path: Path, tell: Callable[[str], None]) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        tell(f"the old checkpoint {path} can't be removed: {error.strerror}")
