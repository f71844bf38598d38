"""Durable orders on Kafka beside the embedded log, in one run: one client's latency, and 64 clients of 1, 2, 3 workers.

Needs Java and Maven (tests/support/broker.py). Broker, feed, workers and clients are processes of their own on this
machine, so workers beyond the first share its cores with them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from figures import Figure, report
from order_latency import CLIENT_PROCESSES, CLIENTS, ROUNDS, Outcome, load, merged, sync_ms
from running_cluster import RunningEngine, one_worker, transactions, wait_until_all_owned
from running_platform import RunningPlatform

WORKERS_MAX = 3


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as running:
        directory = Path(made)
        found = [Figure("write and fdatasync of 4 KiB, median", sync_ms(directory), "ms")]
        broker, _, engine = one_worker(running, directory)
        engines = [engine]
        with RunningPlatform(directory / "embedded") as embedded:
            embedded.wait_for_quotes()
            found += _one_client(engines[0], embedded)
            found += _many_clients("embedded log", [embedded])
        for count in range(1, WORKERS_MAX + 1):
            if count > 1:
                engines.append(running.enter_context(RunningEngine(directory / f"engine-{count}", broker.address)))
                wait_until_all_owned(engines)
            name, began_s, used_s = f"Kafka, {count} worker{'s' if count > 1 else ''}", time.monotonic(), broker.cpu_s()
            found += _many_clients(name, engines)
            cores = (broker.cpu_s() - used_s) / (time.monotonic() - began_s)
            found.append(Figure(f"{name}, {CLIENTS} clients: broker's CPU", cores, "cores"))
    return found


def _one_client(engine: RunningEngine, embedded: RunningPlatform) -> list[Figure]:
    """Rounds take turns."""
    rounds: dict[str, list[Outcome]] = {"Kafka": [], "embedded log": []}
    count, spent_s = transactions(engine)
    for nth in range(ROUNDS):
        rounds["Kafka"].append(load([engine], 1, 1, "plain", f"one-{nth}"))
        rounds["embedded log"].append(load([embedded], 1, 1, "plain", f"one-{nth}"))
    count_after, spent_after_s = transactions(engine)
    found = [Figure("Kafka, a transaction, mean", (spent_after_s - spent_s) / (count_after - count) * 1000, "ms")]
    for name, outcomes in rounds.items():
        outcome = merged(outcomes)
        aim_ms = 5.0 if name == "Kafka" else 3.0
        found.append(Figure(f"{name}, one client: p50", outcome.percentile_ms(50), "ms", at_most=aim_ms))
        found.append(Figure(f"{name}, one client: p99", outcome.percentile_ms(99), "ms"))
        found.append(Figure(f"{name}, one client: platform's CPU", outcome.server_cpus, "cores"))
    return found


def _many_clients(name: str, platforms: Sequence[RunningPlatform]) -> list[Figure]:
    processes = max(CLIENT_PROCESSES, len(platforms))
    rounds = [load(platforms, CLIENTS, processes, "plain", f"many-{len(platforms)}-{nth}") for nth in range(ROUNDS)]
    outcome = merged(rounds)
    return [
        Figure(f"{name}, {CLIENTS} clients", outcome.per_s, "orders/s"),
        Figure(f"{name}, {CLIENTS} clients: p50", outcome.percentile_ms(50), "ms"),
        Figure(f"{name}, {CLIENTS} clients: p99", outcome.percentile_ms(99), "ms"),
        Figure(f"{name}, {CLIENTS} clients: platform's CPU", outcome.server_cpus, "cores"),
    ]


if __name__ == "__main__":
    report(measure())
