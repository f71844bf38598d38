"""`exness-streams repair --kafka` on a real broker: garbage in the journal and a lost beginning are given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from broker import Broker
from cluster import PARTITIONS, RESTART_PAUSE_S, Cluster, cluster_of_its_own, wait_until
from cluster_trading import trading, until_all_answered
from platform_process import run_cli

from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.kafka.topics import KafkaCluster

SETTINGS = {"EXNESS_FEE_RATE": "0.001", "EXNESS_MAX_QUOTE_AGE_MS": "3600000"}
GARBAGE = (b"", b"\xff\x00", b"{}", b"[" * 20_000, None, b'{"type":"Deposit"}')
GIVEN = "--confirm", "--operator", "ann of operations", "--reason", "a stranger wrote it", "--even-later"


@pytest.fixture
def cluster(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_of_its_own(tmp_path_factory.mktemp("repair"), **SETTINGS) as cluster:
        yield cluster


async def write(broker: Broker, *values: bytes | None) -> None:
    """Into each partition of the journal."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            for value in values:
                await producer.send_and_wait(JOURNAL_TOPIC, value, key=b"anybody", partition=partition)
    finally:
        await producer.stop()


async def trim(broker: Broker) -> None:
    """What the journal holds is gone: by age, or by an operator's hand."""
    async with KafkaCluster((broker.address,)).admin() as admin:
        tps = [TopicPartition(JOURNAL_TOPIC, partition) for partition in range(PARTITIONS)]
        await admin.delete_records({tp: RecordsToDelete(-1) for tp in tps})


async def repair(cluster: Cluster, *arguments: str) -> str:
    found = await asyncio.to_thread(run_cli, "repair", "--kafka", *arguments, **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


async def all_end_for(cluster: Cluster, words: str) -> None:
    def ended() -> bool:
        return any(words in engine.said(this_life=True) for engine in cluster.engines)

    await asyncio.to_thread(wait_until, ended, f"a worker ends: {words}", cluster.said)


async def audit(cluster: Cluster) -> str:
    found = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stderr


@pytest.mark.experiment
@pytest.mark.timeout(400)
async def test_a_journal_goes_on_once_an_operator_gives_up_what_is_lost(cluster: Cluster) -> None:
    broker = cluster.broker
    async with trading(cluster, "r", random.Random(11)) as work:
        await until_all_answered(cluster, work)
        await write(broker, *GARBAGE)
        await all_end_for(cluster, "exness-streams repair")
        shown = await repair(cluster)
        assert shown.count("can't be read") == PARTITIONS * len(GARBAGE), shown
        assert "nothing was written" in shown
        assert (await repair(cluster, *GIVEN)).count("are given up") >= PARTITIONS
        await asyncio.to_thread(cluster.wait_ready)
        await until_all_answered(cluster, work)
    said = cluster.said()
    assert all(set(engine.exits) <= {1, 2} for engine in cluster.engines), said
    everything = "".join(engine.said() for engine in cluster.engines)
    assert "ann of operations gave them up" in everything, said
    assert "Traceback" not in everything, said
    assert "ann of operations gave it up" in await audit(cluster)

    # And now what no worker has folded is gone.
    for member in cluster.members:
        member.restart_pause_s = 3600.0
        member.end()
    await write(broker, b"gone unread", b"and this")
    await trim(broker)
    for member in cluster.members:
        member.restart_pause_s = RESTART_PAUSE_S
        member.start()
    await all_end_for(cluster, "exness-streams repair")
    assert "gone from the journal's beginning" in await repair(cluster)
    await repair(cluster, *GIVEN)
    await asyncio.to_thread(cluster.wait_ready)
    await asyncio.to_thread(wait_until, cluster.is_tradable, "markets can be traded on", cluster.said)
    async with trading(cluster, "t", random.Random(12)) as work:
        await until_all_answered(cluster, work)
    await audit(cluster)
    assert (await repair(cluster)).count("every record can be folded") == PARTITIONS
