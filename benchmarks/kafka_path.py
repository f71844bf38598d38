"""An order's way on Kafka beside the bare path, and beside the embedded log: everything in turns on one broker.

The bare path (kafka_bare_path.py) is what Kafka itself costs; the ratios say what the platform adds to it. Needs Java
and Maven (tests/support/broker.py); broker, feed, worker, platform and clients are processes of their own on this
machine. Four minutes; `--quick`, one and a half.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from figures import Figure, circumstances, report
from kafka_bare_path import bare_latencies_ms
from order_latency import CLIENT_PROCESSES, CLIENTS, WARM_UP_S, Outcome, load, merged
from running_cluster import PARTITIONS, RunningBroker, RunningEngine, one_worker, transactions
from running_platform import RunningPlatform

QUICK = "--quick" in sys.argv
ROUNDS = 2 if QUICK else 4
DURATION_S = 3.0 if QUICK else 6.0
IDLE_S = 5.0

KAFKA, EMBEDDED, BARE = "Kafka, 1 worker", "embedded log", "bare path"


class Ways:
    """All that runs; each way is asked in turn, for so many clients."""

    def __init__(self, broker: RunningBroker, engine: RunningEngine, embedded: RunningPlatform) -> None:
        self._broker, self._engine, self._embedded = broker, engine, embedded
        self.kafka: dict[int, list[Outcome]] = {}
        self.embedded: dict[int, list[Outcome]] = {}
        self.bare: dict[int, list[float]] = {}

    def round(self, nth: int, clients: int) -> None:
        """Bare, Kafka, embedded."""
        topic = f"bare-{clients}-{nth}"
        self.bare.setdefault(clients, []).extend(
            bare_latencies_ms(self._broker.address, topic, PARTITIONS, clients, WARM_UP_S, DURATION_S)
        )
        processes = min(clients, CLIENT_PROCESSES)
        name = f"way-{clients}-{nth}"
        on_kafka = load([self._engine], clients, processes, "plain", name, DURATION_S, self._counters)
        self.kafka.setdefault(clients, []).append(on_kafka)
        on_embedded = load([self._embedded], clients, processes, "plain", name, DURATION_S)
        self.embedded.setdefault(clients, []).append(on_embedded)

    def _counters(self) -> Mapping[str, float]:
        count, spent_s = transactions(self._engine)
        return {"transactions": count, "transactions_s": spent_s, "broker_s": self._broker.cpu_s()}

    def idle(self) -> list[Figure]:
        """What is taken while nobody trades: by prices and their frames, heartbeats, fetches that find nothing."""
        broker_s, worker_s = self._broker.cpu_s(), self._engine.cpu_s()
        time.sleep(IDLE_S)
        broker_s, worker_s = self._broker.cpu_s() - broker_s, self._engine.cpu_s() - worker_s
        return [
            Figure("while nobody trades: broker's CPU", broker_s / IDLE_S, "cores"),
            Figure("while nobody trades: worker's CPU", worker_s / IDLE_S, "cores"),
        ]


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as made, ExitStack() as running:
        directory = Path(made)
        broker, _, engine = one_worker(running, directory)
        embedded = running.enter_context(RunningPlatform(directory / "embedded"))
        embedded.wait_for_quotes()
        ways = Ways(broker, engine, embedded)
        idle = ways.idle()
        for nth in range(ROUNDS):
            for clients in (1, CLIENTS):
                ways.round(nth, clients)
        return [*_of_one(ways), *_of_many(ways), *idle]


def _of_one(ways: Ways) -> list[Figure]:
    kafka, embedded, bare = merged(ways.kafka[1]), merged(ways.embedded[1]), sorted(ways.bare[1])
    found = []
    for percent, aim in ((50, 3.0), (99, 8.0)):
        bare_ms, kafka_ms = _percentile(bare, percent), kafka.percentile_ms(percent)
        found += [
            Figure(f"{BARE}, one client: p{percent}", bare_ms, "ms"),
            Figure(f"{KAFKA}, one client: p{percent}", kafka_ms, "ms"),
            Figure(f"Kafka ÷ {BARE}, one client: p{percent}", kafka_ms / bare_ms, "×", at_most=aim),
            Figure(f"{EMBEDDED}, one client: p{percent}", embedded.percentile_ms(percent), "ms"),
        ]
    transactions, orders = kafka.counted["transactions"], len(kafka.latencies_ms)
    mean_ms = kafka.counted["transactions_s"] / transactions * 1000
    return [
        *found,
        Figure(f"{KAFKA}, one client: a transaction, mean", mean_ms, "ms"),
        Figure(f"{KAFKA}, one client: transactions per order", transactions / orders, ""),
    ]


def _of_many(ways: Ways) -> list[Figure]:
    kafka, embedded, bare = merged(ways.kafka[CLIENTS]), merged(ways.embedded[CLIENTS]), sorted(ways.bare[CLIENTS])
    found = []
    for percent in (50, 99):
        bare_ms, kafka_ms = _percentile(bare, percent), kafka.percentile_ms(percent)
        found += [
            Figure(f"{BARE}, {CLIENTS} clients: p{percent}", bare_ms, "ms"),
            Figure(f"{KAFKA}, {CLIENTS} clients: p{percent}", kafka_ms, "ms"),
            Figure(f"Kafka ÷ {BARE}, {CLIENTS} clients: p{percent}", kafka_ms / bare_ms, "×"),
        ]
    orders, broker_s = len(kafka.latencies_ms), kafka.counted["broker_s"]
    return [
        *found,
        Figure(f"{BARE}, {CLIENTS} clients", len(bare) / (ROUNDS * DURATION_S), "records/s"),
        Figure(f"{KAFKA}, {CLIENTS} clients", kafka.per_s, "orders/s"),
        Figure(f"{EMBEDDED}, {CLIENTS} clients", embedded.per_s, "orders/s"),
        Figure(f"Kafka ÷ embedded log, {CLIENTS} clients", kafka.per_s / embedded.per_s, "×", at_least=0.7),
        Figure(f"{KAFKA}, {CLIENTS} clients: transactions per order", kafka.counted["transactions"] / orders, ""),
        Figure(f"{KAFKA}, {CLIENTS} clients: broker's CPU per order", broker_s / orders * 1000, "ms"),
        Figure(f"{KAFKA}, {CLIENTS} clients: worker's CPU per order", kafka.server_cpus / kafka.per_s * 1000, "ms"),
        Figure(f"{EMBEDDED}, {CLIENTS} clients: CPU per order", embedded.server_cpus / embedded.per_s * 1000, "ms",
               at_most=0.3),
    ]  # fmt: skip


def _percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


if __name__ == "__main__":
    report(measure())
    print(circumstances(), file=sys.stderr)
