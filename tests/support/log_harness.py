"""What the tests of the embedded log share."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from exness_streams.transport.embedded.log import EmbeddedLog

HOUR_MS = 3_600_000
LARGE = 1 << 30


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@contextlib.contextmanager
def opened(directory: Path, *, clock: Clock | None = None, pages_max: int | None = None) -> Iterator[EmbeddedLog]:
    """A log whose upkeep runs only when asked to."""
    log = EmbeddedLog(directory, upkeep_interval_s=3600, clock_ms=clock or Clock(), pages_max=pages_max)
    try:
        yield log
    finally:
        log.close()


async def append_all(log: EmbeddedLog, topic: str, values: Sequence[bytes | None], partition: int = 0) -> None:
    await asyncio.gather(*[log.append(topic, partition, b"k%d" % n, value) for n, value in enumerate(values)])


async def values_of(log: EmbeddedLog, topic: str, partition: int = 0) -> list[bytes | None]:
    tp, found = (topic, partition), []
    offset = log.start(tp)
    while records := await log.read(tp, offset, 100, LARGE):
        found += [record.value for record in records]
        offset = records[-1].offset + 1
    return found


def rows_in_file(directory: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(directory / "log.sqlite")) as db:
        count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


@contextlib.contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
