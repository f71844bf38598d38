"""The price of idling on Kafka: what a platform that nobody trades on writes and computes, in one minute or two.

One broker, one worker with 8 partitions, market data and the simulated feed (33 updates a second), each a process of
its own; no orders. Counted are the broker's files, by topic, and transactions, by whose they are. Then one client
follows the prices, and one trades alone: what is saved must not be theirs. Needs Java and Maven
(tests/support/broker.py). Three minutes; `--quick`, one. `--code DIRECTORY` runs another checkout as well (the commit
before), on a broker of its own; all processes of the platform run its code.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from figures import Figure, circumstances, report
from order_latency import Outcome, load
from running_cluster import RunningBroker, one_worker
from stream import Seen, follow

QUICK = "--quick" in sys.argv
SETTLE_S = 8.0
IDLE_S = 30.0 if QUICK else 120.0
TRADE_S = 6.0 if QUICK else 15.0

TRANSACTIONS = "__transaction_state"
METADATA = "__cluster_metadata"
"""The brokers' own, whoever uses them."""

COMPLETE_COMMIT = 4
STATUS_AT = 16
"""Of a record of TRANSACTIONS: the byte of the value that says how far its transaction is."""

MB_AN_HOUR_MAX = 79.0
"""A third of what it was before anybody counted (237 MB an hour)."""

MOST_MB_AN_HOUR = 0.5
"""What writes less is not listed."""


def written(broker: RunningBroker) -> Counter[str]:
    """Bytes in the broker's files by now, by topic."""
    found: Counter[str] = Counter()
    for segment in broker.data.glob("*/*.log"):
        topic = segment.parent.name.rpartition("-")[0]
        if topic != METADATA:
            found[topic] += segment.stat().st_size
    return found


async def _committed(broker: RunningBroker) -> Counter[str]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: Counter[str] = Counter()
    try:
        directories = broker.data.glob(f"{TRANSACTIONS}-*")
        partitions = [TopicPartition(TRANSACTIONS, int(one.name.rpartition("-")[2])) for one in directories]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for tp in partitions:
            while await consumer.position(tp) < ends[tp]:
                for records in (await consumer.getmany(*partitions, timeout_ms=200)).values():
                    for record in records:
                        if record.value is not None and record.value[STATUS_AT] == COMPLETE_COMMIT:
                            found[record.key[4:].decode()] += 1
    finally:
        await consumer.stop()
    return found


def committed(broker: RunningBroker) -> Counter[str]:
    """Transactions by now, by transactional id."""
    return asyncio.run(_committed(broker))


class Measured(NamedTuple):
    """One platform's idling: MB an hour, by topic; transactions a second, by whose; cores, by process. And then a
    client that follows prices, and one that trades."""

    mb_an_hour: Mapping[str, float]
    transactions: Mapping[str, float]
    cores: Mapping[str, float]
    prices: Seen
    orders: Outcome


def whose(transactional_id: str) -> str:
    """All cells are one."""
    return transactional_id.rpartition("-")[0] if "journal" in transactional_id else transactional_id


def idle(directory: Path, code: Path | None) -> Measured:
    """On a broker of its own."""
    directory.mkdir()
    with ExitStack() as running:
        broker, feed, engine = one_worker(running, directory, code)
        time.sleep(SETTLE_S)

        def cores() -> dict[str, float]:
            return {"worker": engine.cpu_s(), "market data": feed.cpu_s(), "broker": broker.cpu_s()}

        counted = committed(broker)
        cpu_s, sizes, begun_s = cores(), written(broker), time.monotonic()
        time.sleep(IDLE_S)
        took_s = time.monotonic() - begun_s
        cpu_s = {name: (now_s - cpu_s[name]) / took_s for name, now_s in cores().items()}
        sizes = written(broker) - sizes
        transactions: Counter[str] = Counter()
        for name, count in (committed(broker) - counted).items():
            transactions[whose(name)] += count
        return Measured(
            {topic: size / took_s * 3600 / 1e6 for topic, size in sizes.items()},
            {name: count / took_s for name, count in transactions.items()},
            cpu_s,
            follow(engine, 1),
            load([engine], 1, 1, "plain", "idle", TRADE_S),
        )


def figures_of(name: str, found: Measured, *, aims: bool) -> list[Figure]:
    """One platform's figures. aims: whether they are held against them."""
    topics = sorted(found.mb_an_hour.items(), key=lambda one: -one[1])
    all_mb = sum(found.mb_an_hour.values())
    return [
        Figure(f"{name}written, in all", all_mb, "MB an hour", at_most=MB_AN_HOUR_MAX if aims else None),
        *(Figure(f"{name}{topic}", size, "MB an hour") for topic, size in topics if size >= MOST_MB_AN_HOUR),
        Figure(f"{name}transactions", sum(found.transactions.values()), "a second"),
        *(Figure(f"{name}transactions of {one}", rate, "a second") for one, rate in sorted(found.transactions.items())),
        *(Figure(f"{name}{process}'s CPU", used, "cores") for process, used in found.cores.items()),
        Figure(f"{name}then one stream of prices: p50", found.prices.percentile_ms(50), "ms"),
        Figure(f"{name}then one stream of prices: p99", found.prices.percentile_ms(99), "ms"),
        Figure(f"{name}then orders of one client: p50", found.orders.percentile_ms(50), "ms"),
        Figure(f"{name}then orders of one client: p99", found.orders.percentile_ms(99), "ms"),
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark; of the other checkout, too, with --code."""
    with tempfile.TemporaryDirectory() as made:
        found = []
        if "--code" in sys.argv:
            before = Path(sys.argv[sys.argv.index("--code") + 1]).resolve()
            found += figures_of("the commit before: ", idle(Path(made) / "before", before), aims=False)
        return figures_of("", idle(Path(made) / "now", None), aims=True) + found


if __name__ == "__main__":
    report(measure())
    print(circumstances(), file=sys.stderr)
