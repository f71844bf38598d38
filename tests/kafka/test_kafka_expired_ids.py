"""A cluster that rested: brokers forget transactional ids that nobody used for days. The first orders end nobody."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator

import pytest
from broker import Broker
from cluster import Cluster, cluster_of_its_own
from cluster_trading import trading, until_all_answered
from platform_process import run_cli

WORKERS = 2
EXPIRED_AFTER_S = 15
"""Longer than the pause between two commits of a cell that only takes prices: in a cluster that works none expires."""
REST_S = 25
"""Longer than brokers remember an id, and the pause between two of their looks."""
SETTINGS = {"EXNESS_FEE_RATE": "0.001", "EXNESS_MAX_QUOTE_AGE_MS": "3600000"}
PROPERTIES = f"""
transactional.id.expiration.ms={EXPIRED_AFTER_S * 1000}
transaction.remove.expired.transaction.cleanup.interval.ms=500
producer.id.expiration.ms={EXPIRED_AFTER_S * 1000}
producer.id.expiration.check.interval.ms=500
"""


@pytest.fixture
def cluster(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """broker: skips where there can be none."""
    directory = tmp_path_factory.mktemp("rested")
    with cluster_of_its_own(directory, broker_properties=PROPERTIES, engines=WORKERS, **SETTINGS) as cluster:
        yield cluster


async def rest(cluster: Cluster) -> None:
    """No orders, and no prices either: nothing is to be committed but the marks of time."""
    cluster.simulator.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(REST_S)
    finally:
        cluster.simulator.signal(signal.SIGCONT)


@pytest.mark.timeout(420)
async def test_a_cluster_that_rested_trades_on(cluster: Cluster) -> None:
    """Cells, histories, candles and the ticks each have ids, and use them when there is something to commit."""
    async with trading(cluster, "a", random.Random(1)) as work:
        await until_all_answered(cluster, work)
    await rest(cluster)
    async with trading(cluster, "b", random.Random(2)) as work:
        await until_all_answered(cluster, work)
    assert all(member.exits == [] for member in cluster.members), cluster.said()
    assert "asked anew" in "".join(engine.said() for engine in cluster.engines), "no id has expired"
    found = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr
