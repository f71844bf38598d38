"""Checkpoints: a cell's entries at one offset of the journal, so that what came before may be trimmed.

A file is `<partition>-<offset>.jsonl.gz`: a header line, then one `[key, value]` line an entry.
"""

from __future__ import annotations

import gzip
import logging
import os
import time
import zlib
from pathlib import Path

import msgspec

from exness_streams.domain.codec import META_KEY
from exness_streams.domain.state_hash import state_hash
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import Snapshot
from exness_streams.transport.table_store import rename_beside

log = logging.getLogger(__name__)

SUFFIX = ".jsonl.gz"


class Header(msgspec.Struct, frozen=True):
    """What a checkpoint holds: the state before the journal record `offset` of `partition`."""

    partition: int
    offset: int
    entries: int
    state_hash: str
    time_ms: int


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


def write_checkpoint(directory: Path, partition: int, offset: int, entries: dict[bytes, bytes]) -> Header:
    """Write one durably: whole under its name, or not at all. Its header says what an entry's Meta would."""
    entries = {key: value for key, value in entries.items() if key != META_KEY}
    directory.mkdir(parents=True, exist_ok=True)
    header = Header(partition, offset, len(entries), state_hash(entries.items()), int(time.time() * 1000))
    path = directory / f"{partition}-{offset}{SUFFIX}"
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as file:
            file.write(msgspec.json.encode(header) + b"\n")
            for key, value in sorted(entries.items()):
                file.write(msgspec.json.encode((key.decode(), value.decode())) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    unfinished.replace(path)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return header


def find_checkpoints(directory: Path, partition: int) -> list[tuple[int, Path]]:
    """The checkpoints of a partition as (offset, file), oldest first."""
    found = []
    for path in directory.glob(f"{partition}-*{SUFFIX}"):
        offset = path.name.removeprefix(f"{partition}-").removesuffix(SUFFIX)
        if offset.isdigit():
            found.append((int(offset), path))
    return sorted(found)


def put_aside_ahead(directory: Path, partition: int, folded: int) -> None:
    """Rename the checkpoints of a partition that stand behind all that its journal was folded to: they are of records
    that a log restored from a backup has lost, and will have others in their place. OSError."""
    for offset, path in find_checkpoints(directory, partition):
        if offset > folded:
            kept = rename_beside(path)
            log.warning(
                "the checkpoint %s stands at record %d of a journal that was folded up to %d, since the log is an "
                "older one, as a backup is: it is kept as %s",
                path,
                offset,
                folded,
                kept.name,
            )


def read_checkpoint(path: Path) -> tuple[Header, dict[bytes, bytes]]:
    """A checkpoint's header and entries. ValueError when the file is not what was written."""
    try:
        with gzip.open(path, "rb") as file:
            header = _header_decoder.decode(file.readline())
            entries = {key.encode(): value.encode() for key, value in map(_entry_decoder.decode, file)}
    except (OSError, EOFError, zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"checkpoint {path} is damaged: {error}") from error
    if state_hash(entries.items()) != header.state_hash:
        raise ValueError(f"checkpoint {path} is damaged: its entries do not give its state hash")
    return header, entries
