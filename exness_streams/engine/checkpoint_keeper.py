"""The running platform's checkpoints: one a day, each proven by an audit, and the journal trimmed behind them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from exness_streams.audit.beginnings import Known, Tell, usable_checkpoints
from exness_streams.audit.checkpoints import Header, read_checkpoint, remove_left_behind
from exness_streams.audit.embedded import reach_of
from exness_streams.engine.engine import Engine
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.embedded.reader import LogReader, Snapshot
from exness_streams.transport.faults import LogFault

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 600.0
CHECKPOINT_INTERVAL_S = 24 * 3600.0

_MAIN = "from exness_streams.cli import main; main()"

Write = Callable[[Path], Awaitable[str]]
"""Audits every cell of a data directory and writes their checkpoints. Returns why it did not, or nothing."""


async def write_beside(data_dir: Path) -> str:
    """`exness-streams checkpoint` in a process of its own: the replay of a day would share ours with orders."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MAIN, "checkpoint", "--data-dir", str(data_dir)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise
    if process.returncode == 0:
        return ""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("exness-streams: ") if lines else f"it ended with code {process.returncode}"


class KnownCheckpoints:
    """The headers of checkpoints that were read whole: a file is read again only once it has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], Header]] = {}

    def __call__(self, path: Path) -> Header:
        """The header of a whole one. ValueError as read_checkpoint's."""
        try:
            seen = path.stat()
        except OSError as error:
            raise ValueError(f"checkpoint {path} can't be read: {error.strerror}") from error
        look = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        known = self._known.get(path)
        if known is None or known[0] != look:
            self._known.pop(path, None)
            known = self._known[path] = look, read_checkpoint(path)[0]
        return known[1]


class CheckpointKeeper:
    """Writes checkpoints and trims. While an audit fails nothing is trimmed, and `refused` says why."""

    def __init__(self, engine: Engine, write: Write = write_beside) -> None:
        self._engine = engine
        self._write = write
        self._known = KnownCheckpoints()
        self._told: set[str] = set()
        self.refused = ""
        self.refusals = 0

    async def run(self) -> None:
        """A look every ten minutes, for ever."""
        if self._engine.settings.journal_retention_hours <= 0:
            return  # kept for ever: replays begin at the first record
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Write what is due, then trim; while the last audit was refused, only try again to write."""
        settings = self._engine.settings
        try:
            is_due = bool(self.refused) or await asyncio.to_thread(self._is_due, time.time())
            if is_due:
                self._tell(await self._write(settings.data_dir))
            if not self.refused:
                before_s = time.time() - settings.journal_retention_hours * 3600.0
                for partition in range(settings.partitions):
                    await trim_journal(self._engine, partition, before_s, self._known, self._tell_once)
        except OSError as error:  # the directory can't be listed, no process can be started
            self._tell(f"{error.filename or settings.checkpoints_dir}: {error.strerror or error}")
        except LogFault as fault:
            self._tell(str(fault))

    def _is_due(self, now_s: float) -> bool:
        """Whether a cell has no checkpoint of the last day that an audit could begin at.

        Its own time counts. One from the future is none of the last day: the clock was set back, or it is a stranger.
        """
        settings = self._engine.settings
        with LogReader(settings.log_dir).snapshot() as snapshot:
            return not all(
                any(
                    0.0 <= now_s - header.time_ms / 1000 < CHECKPOINT_INTERVAL_S
                    for header, _ in _usable(
                        snapshot, partition, settings.checkpoints_dir, self._known, self._tell_once
                    )
                )
                for partition in range(settings.partitions)
            )

    def _tell(self, refused: str) -> None:
        if refused:
            self.refusals += 1
            if refused != self.refused:
                log.error("the daily checkpoint is refused, and the journal is kept: %s", refused)
        elif self.refused:
            log.warning("checkpoints are written again: every cell agrees with its journal")
        self.refused = refused

    def _tell_once(self, fault: str) -> None:
        if fault not in self._told:
            self._told.add(fault)
            log.warning("%s; passed over", fault)


def _usable(snapshot: Snapshot, partition: int, directory: Path, known: Known, tell: Tell) -> list[tuple[Header, Path]]:
    reach = reach_of(snapshot, partition, snapshot.end((JOURNAL_TOPIC, partition)), directory)
    return usable_checkpoints(directory, partition, reach, tell, known)


async def trim_journal(
    engine: Engine,
    partition: int,
    before_s: float,
    known: Known = lambda path: read_checkpoint(path)[0],
    tell: Tell = log.warning,
) -> None:
    """Trim the journal to the newest checkpoint made before a time, and remove the checkpoints left behind.

    One that can't be used is no beginning for an audit: nothing is trimmed to it, nor removed for it. OSError: the
    checkpoints can't be listed.
    """
    directory = engine.settings.checkpoints_dir
    offset = await asyncio.to_thread(_trim_to, engine.settings.log_dir, directory, partition, before_s, known, tell)
    if offset is None:
        return
    start = await engine.app.transport.log.trim((JOURNAL_TOPIC, partition), offset)
    log.info("journal partition %d trimmed to the checkpoint at %d", partition, offset)
    await asyncio.to_thread(remove_left_behind, directory, partition, start, offset, tell)


def _trim_to(log_dir: Path, directory: Path, partition: int, before_s: float, known: Known, tell: Tell) -> int | None:
    """The offset of the checkpoint to trim to, read again just now; None when there is nothing to trim."""
    with LogReader(log_dir).snapshot() as snapshot:
        usable = _usable(snapshot, partition, directory, known, tell)
        start = snapshot.start((JOURNAL_TOPIC, partition))
    for header, path in reversed(usable):
        if header.offset > start and header.time_ms / 1000 <= before_s:
            try:
                read_checkpoint(path)
            except ValueError as fault:
                tell(str(fault))
            else:
                return header.offset
    return None
