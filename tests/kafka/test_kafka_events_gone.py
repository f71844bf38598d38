"""The events' topic is deleted, or loses its beginning, and comes back empty: histories go on with what there is, and
money, orders and the audit never hear of it."""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.request
from collections.abc import Iterator

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from broker import Broker
from cluster import GROUP, PARTITIONS, Cluster, cluster_of_its_own, read_topic, wait_no_lag
from cluster_trading import trading, until_all_answered
from engine_process import Client
from first_cases import experiments
from platform_process import run_cli

from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC
from exness_streams.processes.stopping import EXIT_UNSERVING
from exness_streams.transport.kafka.offsets import committed_offsets
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, declare_topics

SETTINGS = {"EXNESS_FEE_RATE": "0.001", "EXNESS_MAX_QUOTE_AGE_MS": "3600000"}
GIVE_UP_S = 90.0
HAND = "by-hand"


@pytest.fixture
def cluster(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_its_own(tmp_path_factory.mktemp("events-gone"), **SETTINGS) as cluster:
        yield cluster


async def trade_by_hand(cluster: Cluster, times: int) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            await Client(cluster.urls[0], session).trade(HAND)


def trades_by_hand(cluster: Cluster) -> list[str]:
    """As the API shows them."""
    request = urllib.request.Request(cluster.urls[0] + "/api/v1/trades", headers={"X-Account": HAND})
    with urllib.request.urlopen(request, timeout=10) as response:
        return [trade["tradeId"] for trade in json.load(response)["trades"]]


async def until_in_histories(cluster: Cluster) -> None:
    """All that was told by now: an answer comes before the commit that brings its events to their topic."""
    await wait_no_lag(cluster.broker, JOURNAL_TOPIC)
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for record in await read_topic(cluster.broker, EVENTS_TOPIC):
        ends[record.partition] = max(ends[record.partition], record.offset + 1)
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while True:
        brokers = KafkaCluster((cluster.broker.address,))
        found = await committed_offsets(brokers, GROUP, EVENTS_TOPIC, range(PARTITIONS))
        if all(found.get(partition, 0) >= end for partition, end in ends.items()):
            return
        assert time.monotonic() < give_up_at_s, f"histories stand at {found}, events end at {ends}\n{cluster.said()}"
        await asyncio.sleep(0.2)


async def delete_events(cluster: Cluster, *, make_anew: bool) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.broker.address)
    await admin.start()
    try:
        await admin.delete_topics([EVENTS_TOPIC])
    finally:
        await admin.close()
    if make_anew:  # by hand, before any worker has noticed
        await declare_topics(KafkaCluster((cluster.broker.address,)), [KafkaTopic(EVENTS_TOPIC, PARTITIONS)])


async def audited(cluster: Cluster) -> None:
    found = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr


async def until_shown(cluster: Cluster, trades: int) -> list[str]:
    """Workers may be starting still."""
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while True:
        await asyncio.to_thread(cluster.wait_ready)
        try:
            shown = await asyncio.to_thread(trades_by_hand, cluster)
        except OSError:
            shown = []
        if len(shown) == trades:
            return shown
        assert time.monotonic() < give_up_at_s, f"shown are {shown}\n{cluster.said()}"
        await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("make_anew", [*experiments(False), True])
async def test_events_that_are_deleted_under_workers(cluster: Cluster, make_anew: bool) -> None:
    await trade_by_hand(cluster, 3)
    old = await asyncio.to_thread(trades_by_hand, cluster)
    await until_in_histories(cluster)
    async with trading(cluster, "s", random.Random(8), has_all_events=False) as work:
        await until_all_answered(cluster, work)
        await delete_events(cluster, make_anew=make_anew)
        await until_all_answered(cluster, work)
        await asyncio.sleep(35)  # for longer than a transaction may take that can't be written
        await until_all_answered(cluster, work)
    assert await until_shown(cluster, 3) == old
    await trade_by_hand(cluster, 2)
    assert (await until_shown(cluster, 5))[2:] == old
    said = cluster.said()
    # As it hears of it: at a rebalance, or from outside.
    assert all(set(engine.exits) <= {1, EXIT_UNSERVING} for engine in cluster.engines), said
    assert all(len(engine.exits) <= 4 for engine in cluster.engines), said
    assert "They keep what they have and go on with the first event" in "".join(e.said() for e in cluster.engines), said
    print([engine.exits for engine in cluster.engines])
    await audited(cluster)
