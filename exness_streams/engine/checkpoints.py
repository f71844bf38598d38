"""Checkpoints: a cell's entries at one offset of the journal, so that what came before may be trimmed.

Written from the log's file alone, in one read transaction, by a thread: the running cell is not disturbed.
A file is `<partition>-<offset>.jsonl.gz`: a header line, then one `[key, value]` line an entry.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from exness_streams.domain.records import META_KEY
from exness_streams.domain.state_hash import state_hash
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.log_reader import LogReader, Snapshot

if TYPE_CHECKING:
    from exness_streams.engine.app import Engine

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 600.0
CHECKPOINT_INTERVAL_S = 24 * 3600.0
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


def checkpoint_all(log_dir: Path, directory: Path, group: str) -> Iterator[Header]:
    """Write a checkpoint of every cell as it is committed now."""
    with LogReader(log_dir).snapshot() as snapshot:
        for partition in range(snapshot.topics().get(JOURNAL_TOPIC, 0)):
            offset, entries = committed_entries(snapshot, group, partition)
            yield write_checkpoint(directory, partition, offset, entries)


async def keep_checkpoints(engine: Engine) -> None:
    """A checkpoint a day, and the journal trimmed to the newest one older than the retention. Runs for ever."""
    settings, group = engine.settings, engine.app.conf.id
    retention_s = settings.journal_retention_hours * 3600.0
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        if retention_s <= 0:
            return  # kept for ever: replays begin at the first record
        newest_s = max((path.stat().st_mtime for path in settings.checkpoints_dir.glob(f"*{SUFFIX}")), default=0.0)
        if time.time() - newest_s >= CHECKPOINT_INTERVAL_S:
            await asyncio.to_thread(lambda: list(checkpoint_all(settings.log_dir, settings.checkpoints_dir, group)))
        for partition in range(settings.partitions):
            await trim_journal(engine, partition, time.time() - retention_s)


async def trim_journal(engine: Engine, partition: int, before_s: float) -> None:
    """Trim the journal to the newest checkpoint older than a time, and remove the checkpoints before it."""
    old = [
        (offset, path)
        for offset, path in find_checkpoints(engine.settings.checkpoints_dir, partition)
        if path.stat().st_mtime <= before_s
    ]
    if not old:
        return
    offset = old[-1][0]
    trimmed = await engine.app.transport.log.trim((JOURNAL_TOPIC, partition), offset)
    for _, path in old[:-1]:
        path.unlink()
    if trimmed:
        log.info("journal partition %d trimmed to the checkpoint at %d", partition, offset)
