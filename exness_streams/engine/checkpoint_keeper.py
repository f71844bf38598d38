"""The running platform's checkpoints: one a day, each proven by an audit, and the journal trimmed behind them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from exness_streams.audit.checkpoints import SUFFIX, find_checkpoints, read_checkpoint
from exness_streams.engine.engine import Engine
from exness_streams.messages import JOURNAL_TOPIC

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


class CheckpointKeeper:
    """Writes checkpoints and trims. While an audit fails nothing is trimmed, and `refused` says why."""

    def __init__(self, engine: Engine, write: Write = write_beside) -> None:
        self._engine = engine
        self._write = write
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
        newest_s = max((path.stat().st_mtime for path in settings.checkpoints_dir.glob(f"*{SUFFIX}")), default=0.0)
        if self.refused or time.time() - newest_s >= CHECKPOINT_INTERVAL_S:
            self._tell(await self._write(settings.data_dir))
        if not self.refused:
            for partition in range(settings.partitions):
                await trim_journal(self._engine, partition, time.time() - settings.journal_retention_hours * 3600.0)

    def _tell(self, refused: str) -> None:
        if refused:
            self.refusals += 1
            if refused != self.refused:
                log.error("the daily checkpoint is refused, and the journal is kept: %s", refused)
        elif self.refused:
            log.warning("checkpoints are written again: every cell agrees with its journal")
        self.refused = refused


async def trim_journal(engine: Engine, partition: int, before_s: float) -> None:
    """Trim the journal to the newest checkpoint older than a time, and remove the checkpoints before it.

    One that can't be read is no beginning for an audit: nothing is trimmed to it, nor removed for it.
    """
    old = [
        (offset, path)
        for offset, path in find_checkpoints(engine.settings.checkpoints_dir, partition)
        if path.stat().st_mtime <= before_s
    ]
    while old and not await asyncio.to_thread(_can_be_read, old[-1][1]):
        old.pop()
    if not old:
        return
    offset = old[-1][0]
    trimmed = await engine.app.transport.log.trim((JOURNAL_TOPIC, partition), offset)
    for _, path in old[:-1]:
        path.unlink()
    if trimmed:
        log.info("journal partition %d trimmed to the checkpoint at %d", partition, offset)


def _can_be_read(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except ValueError as damage:
        log.error("nothing is trimmed to it: %s", damage)
        return False
    return True
