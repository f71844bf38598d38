"""Durable orders over HTTP: latency of one client, throughput of 64, with and without idempotency keys.

The platform runs in a process of its own with the simulated feed; clients run in others. An order is
answered only after the fsync that makes its command durable. Every position opened is closed by the next
order, so that accounts stay small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from figures import Figure, report
from running_platform import RunningPlatform

WARM_UP_S = 1.5
DURATION_S = 4.0
ROUNDS = 3
CLIENTS = 64
CLIENT_PROCESSES = 2


class Outcome(NamedTuple):
    """What one load saw. server_cpus, client_cpus: cores in use, the client's of its busiest process.

    counted: by how much each counter that the load was given rose meanwhile.
    """

    latencies_ms: list[float]
    per_s: float
    server_cpus: float
    client_cpus: float
    counted: Mapping[str, float]

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the requests did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _nothing() -> Mapping[str, float]:
    return {}


def load(
    platforms: Sequence[RunningPlatform],
    clients: int,
    processes: int,
    mode: str,
    name: str,
    duration_s: float = DURATION_S,
    counters: Callable[[], Mapping[str, float]] = _nothing,
) -> Outcome:
    """Run clients for a while, spread over processes and these over the platforms, and gather what they measured."""
    begin_s = time.time() + WARM_UP_S
    script = str(Path(__file__).with_name("order_client.py"))
    running = []
    for number in range(processes):
        share = clients * (number + 1) // processes - clients * number // processes
        arguments = [platforms[number % len(platforms)].port, share, begin_s, duration_s, f"{name}-{number}", mode]
        command = [sys.executable, script, *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    time.sleep(max(0.0, begin_s - time.time()))
    before, cpu_before_s = counters(), sum(platform.cpu_s() for platform in platforms)
    time.sleep(max(0.0, begin_s + duration_s - time.time()))
    server_cpus = (sum(platform.cpu_s() for platform in platforms) - cpu_before_s) / duration_s
    after = counters()
    printed = [process.communicate(timeout=60)[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError("a client failed; what it said is above")
    found = [json.loads(text) for text in printed]
    latencies_ms = [latency for part in found for latency in part["latencies_ms"]]
    client_cpus = max(part["cpu_s"] for part in found) / duration_s
    counted = {counter: after[counter] - value for counter, value in before.items()}
    return Outcome(latencies_ms, len(latencies_ms) / duration_s, server_cpus, client_cpus, counted)


def merged(rounds: Sequence[Outcome]) -> Outcome:
    """Several rounds of one load as one: all latencies, mean rates, sums of what was counted."""
    return Outcome(
        [latency for outcome in rounds for latency in outcome.latencies_ms],
        fmean(outcome.per_s for outcome in rounds),
        fmean(outcome.server_cpus for outcome in rounds),
        fmean(outcome.client_cpus for outcome in rounds),
        {counter: sum(outcome.counted[counter] for outcome in rounds) for counter in rounds[0].counted},
    )


def sync_ms(directory: Path) -> float:
    """Median of appending 4 KiB and syncing them: the least that a durable order costs on this disk."""
    costs = []
    with (directory / "sync").open("wb", buffering=0) as file:
        for _ in range(200):
            begun_s = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            costs.append((time.perf_counter() - begun_s) * 1000)
    return median(costs)


LOADS: dict[str, tuple[int, int, str]] = {
    "one client": (1, 1, "plain"),
    "one client, with keys": (1, 1, "keyed"),
    f"{CLIENTS} clients": (CLIENTS, CLIENT_PROCESSES, "plain"),
    f"{CLIENTS} clients, with keys": (CLIENTS, CLIENT_PROCESSES, "keyed"),
    f"{CLIENTS} clients, GET /livez instead": (CLIENTS, CLIENT_PROCESSES, "live"),
}
"""By name: clients, the processes that they share, what they ask for."""


def measure() -> list[Figure]:
    """All figures of this benchmark; the loads take turns."""
    rounds: dict[str, list[Outcome]] = {name: [] for name in LOADS}
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        found = [Figure("write and fdatasync of 4 KiB, median", sync_ms(directory), "ms")]
        with RunningPlatform(directory / "data") as platform:
            platform.wait_for_quotes()
            for nth in range(ROUNDS):
                for name, (clients, processes, mode) in LOADS.items():
                    rounds[name].append(load([platform], clients, processes, mode, f"{mode}-{clients}-{nth}"))
    for name, outcomes in rounds.items():
        found += _figures_of_one(name, outcomes) if LOADS[name][0] == 1 else _figures_of_many(name, outcomes)
    return found


def _figures_of_one(name: str, rounds: Sequence[Outcome]) -> list[Figure]:
    outcome = merged(rounds)
    return [
        Figure(f"{name}: p50", outcome.percentile_ms(50), "ms", at_most=3),
        Figure(f"{name}: p99", outcome.percentile_ms(99), "ms", at_most=10),
    ]


def _figures_of_many(name: str, rounds: Sequence[Outcome]) -> list[Figure]:
    outcome, orders = merged(rounds), LOADS[name][2] != "live"
    unit = "orders/s" if orders else "requests/s"
    return [
        Figure(name, outcome.per_s, unit, at_least=1_500 if orders else None),
        Figure(f"{name}: slowest of {ROUNDS} rounds", min(each.per_s for each in rounds), unit),
        Figure(f"{name}: p50", outcome.percentile_ms(50), "ms"),
        Figure(f"{name}: p99", outcome.percentile_ms(99), "ms"),
        Figure(f"{name}: platform's CPU", outcome.server_cpus, "cores"),
        Figure(f"{name}: busiest client process's CPU", outcome.client_cpus, "cores"),
    ]


if __name__ == "__main__":
    report(measure())
