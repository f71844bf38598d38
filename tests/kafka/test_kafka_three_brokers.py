"""Three brokers, each partition on all of them: while clients trade, one after the other is killed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator

import confluent  # noqa: F401 - skips without it
import pytest
from broker import Broker, fetch_jars
from cluster import Cluster, wait_until
from cluster_trading import trading, until_all_answered
from confluent_kafka.admin import AdminClient
from platform_process import run_cli
from three_brokers import ThreeBrokers

from exness_streams.processes.stopping import EXIT_FORCED, EXIT_UNSERVING

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))
SETTINGS = {
    "EXNESS_REPLICATION_FACTOR": "3",
    # Prices stop while brokers elect leaders; what is tested here goes on with the last ones.
    "EXNESS_MAX_QUOTE_AGE_MS": "3600000",
}


def wait_in_sync(brokers: ThreeBrokers) -> None:
    """Until each partition is on all of them again: the next kill leaves two."""
    admin = AdminClient({"bootstrap.servers": brokers.address})

    def in_sync() -> bool:
        topics = admin.list_topics(timeout=30).topics.values()
        return all(len(one.isrs) == len(brokers.nodes) for topic in topics for one in topic.partitions.values())

    wait_until(in_sync, "all partitions are on all brokers", lambda: "")


@pytest.fixture
def brokers(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeBrokers]:
    """`broker` only says whether there can be any."""
    brokers = ThreeBrokers(tmp_path_factory.mktemp("three"), fetch_jars())
    try:
        brokers.start()
        yield brokers
    finally:
        brokers.kill()


@pytest.fixture
def cluster(brokers: ThreeBrokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(brokers, tmp_path_factory.mktemp("cluster"), engines=2, market_data=1, **SETTINGS)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


async def test_each_broker_is_killed_in_turn_while_clients_trade(brokers: ThreeBrokers, cluster: Cluster) -> None:
    """One of them leads the others, each leads partitions. Everybody is answered without it, and nothing is lost."""
    print(f"seed {SEED}")
    async with trading(cluster, "t", random.Random(SEED)) as work:
        await until_all_answered(cluster, work)
        for node in brokers.nodes:
            await asyncio.to_thread(brokers.kill_one, node)
            await until_all_answered(cluster, work)
            await asyncio.to_thread(brokers.start_one, node)
            await asyncio.to_thread(wait_in_sync, brokers)
    await check(cluster)


@pytest.mark.experiment
async def test_each_broker_hangs_in_turn_while_clients_trade(brokers: ThreeBrokers, cluster: Cluster) -> None:
    """All its connections are open, and nothing is answered."""
    print(f"seed {SEED}")
    async with trading(cluster, "h", random.Random(SEED)) as work:
        await until_all_answered(cluster, work)
        for node in brokers.nodes:
            brokers.pause_one(node)
            try:
                await until_all_answered(cluster, work)
            finally:
                brokers.resume_one(node)
            await asyncio.to_thread(wait_in_sync, brokers)
    await check(cluster)


async def check(cluster: Cluster) -> None:
    audited = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    for member in cluster.members:
        assert set(member.exits) <= {1, EXIT_FORCED, EXIT_UNSERVING}, cluster.said()
