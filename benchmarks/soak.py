"""Whether a platform under mixed traffic goes on needing what it needs: memory, open files, threads.

Usage: soak.py [MINUTES]
Clients open, read and close at a pace; others connect streams, read them for a moment and leave; strangers send
garbage, name accounts that are not there, and flood in bursts. Every ten seconds the process is looked at. Slopes are
of a line through the second half of the samples: the first fills caches and histories that have bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from figures import Figure, report
from flood import DefaultPlatform, ended, start
from flood_client import HANDSHAKE, HOST, KEY, Client
from running_platform import RunningPlatform, own_memory_mb, process_status

LOOK_S = 10.0
ORDERING = 4
STREAMS = 8
READ_S = 2.0
STRANGERS_PAUSE_S = 0.1
BURST_S = 30.0
BURST = 500


class Sample(NamedTuple):
    """What the process had. at_s: since the start; memory: its own, MB."""

    at_s: float
    memory_mb: float
    files: int
    threads: int


def sample(pid: int, at_s: float) -> Sample:
    """Look at a process."""
    status = process_status(pid)
    return Sample(at_s, own_memory_mb(status), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]))


def slope(samples: Sequence[Sample], name: str) -> float:
    """Change per hour of a line through the samples."""
    times, values = [one.at_s / 3600 for one in samples], [float(getattr(one, name)) for one in samples]
    middle, mean = fmean(times), fmean(values)
    spread = sum((at - middle) ** 2 for at in times)
    return sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True)) / spread


async def streams(port: int, number: int, until_s: float) -> None:
    """Connect, read for a moment, and leave: with a goodbye, or without one."""
    count = 0
    while time.monotonic() < until_s:
        count += 1
        head = f"GET /ws?account=soak-{number} HTTP/1.1\r\nHost: {HOST}\r\n{HANDSHAKE.format(KEY)}\r\n"
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(head.encode())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_read_all(reader), READ_S)
            if count % 2:
                writer.write(b"\x88\x80\0\0\0\0")
            else:
                writer.transport.abort()
            writer.close()
        except OSError:
            await asyncio.sleep(STRANGERS_PAUSE_S)


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def strangers(port: int, until_s: float) -> None:
    """Garbage, accounts that are not there, paths and keys that are never the same."""
    client, count = Client(port, "stranger"), 0
    while time.monotonic() < until_s:
        count += 1
        named = Client(port, f"nobody-{count}")
        await named.ask("GET /api/v1/state")
        named.close()
        await client.ask(f"GET /nowhere/{count}")
        await client.ask("POST /api/v1/positions/open", {f"field-{count}": "x" * 100})
        keyed = f"Idempotency-Key: key-{count}\r\n"
        await client.ask("POST /api/v1/account/deposit", {"amount": "0.01"}, keyed)
        await asyncio.sleep(STRANGERS_PAUSE_S)


async def bursts(port: int, until_s: float) -> None:
    """As fast as it goes, for a moment, again and again."""
    while time.monotonic() < until_s:
        client = Client(port, "burst")
        for _ in range(BURST):
            await client.ask("GET /api/v1/state")
        client.close()
        await asyncio.sleep(BURST_S)


async def look(pid: int, begun_s: float, until_s: float) -> list[Sample]:
    """All samples."""
    found = []
    while time.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        found.append(sample(pid, time.monotonic() - begun_s))
        if "--verbose" in sys.argv:
            print(found[-1], file=sys.stderr, flush=True)
    return found


async def traffic(platform: RunningPlatform, until_s: float) -> list[Sample]:
    """All traffic but the orders, and the samples taken meanwhile."""
    looking = asyncio.create_task(look(platform.process.pid, time.monotonic(), until_s))
    coming_and_going = [streams(platform.port, number, until_s) for number in range(STREAMS)]
    await asyncio.gather(*coming_and_going, strangers(platform.port, until_s), bursts(platform.port, until_s))
    return await looking


def soaked(platform: RunningPlatform, minutes: float) -> list[Sample]:
    """The samples of so many minutes of traffic."""
    orders = start(platform.port, ORDERING, time.time(), "soak", "others", minutes * 60)
    samples = asyncio.run(traffic(platform, time.monotonic() + minutes * 60))
    statuses = ended(orders).statuses
    if set(statuses) - {"200", "201"}:
        raise RuntimeError(f"not all was served: {statuses}")
    return samples


def measure(minutes: float) -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as made, DefaultPlatform(Path(made) / "data") as platform:
        platform.wait_for_quotes()
        samples = soaked(platform, minutes)
    found = [Figure("time under traffic", minutes, "min")]
    later = samples[len(samples) // 2 :]
    for name, unit in (("memory_mb", "MB"), ("files", "open files"), ("threads", "threads")):
        values = [float(getattr(one, name)) for one in samples]
        found += [
            Figure(f"{unit}: at the half", float(getattr(later[0], name)), unit),
            Figure(f"{unit}: at the end", values[-1], unit),
            Figure(f"{unit}: most", max(values), unit),
            Figure(f"{unit}: change of a line through the second half", slope(later, name), f"{unit}/h"),
        ]
    return found


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    report(measure(float(given[0]) if given else 30.0))
