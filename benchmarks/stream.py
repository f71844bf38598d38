"""The live stream: how old market data is when it reaches 1, 100 or 1,000 WebSocket clients of one worker.

The platform runs in a process of its own with the simulated feed; clients run in two others. A delay is the
client's clock at receipt minus the quote's event time: the simulated exchange, its WebSocket, two passes through
the log, the frames' pace of 20 ms and the stream's own of 50 ms are in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from figures import Figure, report
from order_latency import load
from running_platform import RunningPlatform

PROCESSES = 2
CONNECT_S = 6.0
DURATION_S = 6.0
SYMBOLS = 50


class Seen(NamedTuple):
    """What the clients of one load saw. server_cpus, client_cpus: cores in use, the client's of its busiest process."""

    delays_ms: list[float]
    messages_per_s: float
    mb_per_s: float
    lost: int
    server_cpus: float
    client_cpus: float

    def percentile_ms(self, percent: float) -> float:
        """The delay that `percent` of the messages did not exceed."""
        ordered = sorted(self.delays_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class ManySymbols(RunningPlatform):
    """A platform with many markets."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"EXNESS_INSTRUMENTS": ",".join(f"S{n:02}_USDC" for n in range(SYMBOLS))}


def start_readers(
    platform: RunningPlatform, clients: int, begin_s: float, duration_s: float
) -> list[subprocess.Popen[str]]:
    """Client processes, which connect at once and count from `begin_s` on."""
    script = str(Path(__file__).with_name("stream_readers.py"))
    processes = min(PROCESSES, clients)
    shares = [clients * (n + 1) // processes - clients * n // processes for n in range(processes)]
    commands = [[sys.executable, script, *map(str, (platform.port, share, begin_s, duration_s))] for share in shares]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]


def gather(running: list[subprocess.Popen[str]], server_cpus: float, duration_s: float) -> Seen:
    """What they say at their end."""
    printed = [process.communicate(timeout=60)[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError("a client failed; what it said is above")
    found = [json.loads(text) for text in printed]
    return Seen(
        [delay for part in found for delay in part["delays_ms"]],
        sum(part["messages"] for part in found) / duration_s,
        sum(part["bytes"] for part in found) / duration_s / 1e6,
        sum(part["lost"] for part in found),
        server_cpus,
        max(part["cpu_s"] for part in found) / duration_s,
    )


def follow(platform: RunningPlatform, clients: int) -> Seen:
    """Let clients follow the market for a while."""
    begin_s = time.time() + CONNECT_S
    running = start_readers(platform, clients, begin_s, DURATION_S)
    time.sleep(max(0.0, begin_s - time.time()))
    cpu_before_s = platform.cpu_s()
    time.sleep(max(0.0, begin_s + DURATION_S - time.time()))
    return gather(running, (platform.cpu_s() - cpu_before_s) / DURATION_S, DURATION_S)


def figures_of(name: str, seen: Seen, p99_ms_max: float | None = None) -> list[Figure]:
    """One load's figures."""
    if seen.lost:
        raise RuntimeError(f"{name}: {seen.lost} clients lost their stream")
    return [
        Figure(f"{name}: p50", seen.percentile_ms(50), "ms"),
        Figure(f"{name}: p99", seen.percentile_ms(99), "ms", at_most=p99_ms_max),
        Figure(f"{name}: messages", seen.messages_per_s, "messages/s"),
        Figure(f"{name}: volume", seen.mb_per_s, "MB/s"),
        Figure(f"{name}: platform's CPU", seen.server_cpus, "cores"),
        Figure(f"{name}: busiest client process's CPU", seen.client_cpus, "cores"),
    ]


def orders_beside(platform: RunningPlatform, clients: int) -> list[Figure]:
    """One client trades while many follow the market."""
    alone = load([platform], 1, 1, "plain", "alone")
    begin_s = time.time() + CONNECT_S
    running = start_readers(platform, clients, begin_s, 8.0)
    time.sleep(max(0.0, begin_s - time.time()))
    beside = load([platform], 1, 1, "plain", "beside")
    gather(running, 0.0, 8.0)
    name = "orders of one client"
    return [
        Figure(f"{name}, no streams: p50", alone.percentile_ms(50), "ms"),
        Figure(f"{name}, no streams: p99", alone.percentile_ms(99), "ms"),
        Figure(f"{name}, {clients} streams: p50", beside.percentile_ms(50), "ms"),
        Figure(f"{name}, {clients} streams: p99", beside.percentile_ms(99), "ms"),
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    found = []
    with tempfile.TemporaryDirectory() as made:
        with RunningPlatform(Path(made) / "few") as platform:
            platform.wait_for_quotes()
            for clients in (1, 100, 1_000):
                name = f"{clients} streams, 3 symbols" if clients > 1 else "1 stream, 3 symbols"
                found += figures_of(name, follow(platform, clients), 250 if clients == 1_000 else None)
            found += orders_beside(platform, 1_000)
        with ManySymbols(Path(made) / "many") as platform:
            platform.wait_for_quotes()
            found += figures_of(f"1000 streams, {SYMBOLS} symbols", follow(platform, 1_000))
    return found


if __name__ == "__main__":
    report(measure())
