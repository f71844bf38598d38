"""Workers of the last release, replaced one by one while clients trade, and then the journal's rules are raised."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from typing import cast

import pytest
from aiokafka import ConsumerRecord
from broker import Broker
from cluster import Cluster, Member, cluster_of_its_own, released, wait_until
from cluster_trading import trading, until_all_answered
from first_cases import experiments
from platform_process import run_cli

from exness_streams.domain import rules
from exness_streams.domain.codec import RulesChanged, decode_record
from exness_streams.domain.packed_frames import is_packed
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.kafka.reader import kafka_reader
from exness_streams.transport.kafka.topics import KafkaCluster

BEFORE = {"release-2026-11-28": 1, "release-2026-11-29": 2, "release-2026-11-30": 3}
"""Earlier releases (commits bee2cb4, 686800d and 091d5a2), and the highest rules that they know."""

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))
PACKED_S_MAX = 60.0
SETTINGS = {"EXNESS_FEE_RATE": "0.001", "EXNESS_MAX_QUOTE_AGE_MS": "3600000"}


@pytest.fixture(params=[*experiments("release-2026-11-28", "release-2026-11-29"), "release-2026-11-30"])
def release(request: pytest.FixtureRequest) -> str:
    """An earlier one."""
    name: str = request.param
    return name


@pytest.fixture
def cluster(broker: Broker, release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Of an earlier release, on a broker of its own."""
    directory = tmp_path_factory.mktemp("upgrade")
    with cluster_of_its_own(directory, released(release, directory / "before"), **SETTINGS) as cluster:
        yield cluster


def replace(cluster: Cluster, member: Member) -> None:
    """The supervisor starts it again with this release's code."""
    lives = len(member.exits)
    member.checkout = None
    member.signal(signal.SIGTERM)
    wait_until(lambda: len(member.exits) > lives, f"{member.name} ends", cluster.said)
    wait_until(lambda: member.is_settled, f"{member.name} works again", cluster.said)
    cluster.wait_ready()


async def upgrade(cluster: Cluster, *options: str) -> tuple[int, str]:
    """Exit code and all that was said."""
    ended = await asyncio.to_thread(run_cli, "upgrade", "--kafka", *options, **cluster.variables)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.timeout(1200)
async def test_nothing_is_lost_or_answered_otherwise(cluster: Cluster, release: str) -> None:
    assert BEFORE[release] < rules.NEWEST
    print(f"TEST_SEED={SEED}")
    async with trading(cluster, "u", random.Random(SEED)) as work:
        await until_all_answered(cluster, work)
        first, *others = cluster.engines
        await asyncio.to_thread(replace, cluster, first)
        await until_all_answered(cluster, work)  # old and new ones side by side

        code, said = await upgrade(cluster)
        assert code == 1, said
        assert all(old.url in said.splitlines()[-1] for old in others), said
        assert first.url not in said.splitlines()[-1], said

        for member in [*others, *cluster.market_data]:
            await asyncio.to_thread(replace, cluster, member)
            await until_all_answered(cluster, work)
        code, said = await upgrade(cluster, "--dry-run")
        assert code == 0, said
        # Where a framer of theirs wrote to a new journal before its cell was loaded, that one goes by the first rules.
        shown = re.findall(r"^cell \d: rules (\d+)$", said, re.MULTILINE)
        assert len(shown) == 8, said
        assert {1, BEFORE[release]} >= set(map(int, shown)), said

        code, said = await upgrade(cluster)
        print(said)
        assert code == 0, said
        assert said.count(f": rules {rules.NEWEST}\n") == 8, said
        changed = await change_of_rules(cluster)
        assert changed.rules == rules.NEWEST
        assert changed.epoch > 0  # of the new workers' framer
        await until_all_answered(cluster, work)
        await frames_are_packed(cluster)
        await asyncio.to_thread(replace, cluster, first)  # a cell of the new rules moves, too
        await until_all_answered(cluster, work)
    await audited(cluster)
    code, said = await upgrade(cluster)
    assert (code, f"every partition goes by rules {rules.NEWEST} already" in said) == (0, True), said
    await an_old_worker_takes_no_cell(cluster, first)


async def change_of_rules(cluster: Cluster) -> RulesChanged:
    """The last one in a partition of the journal."""
    found: list[RulesChanged] = []

    def take(record: ConsumerRecord) -> bool:
        if record.value.startswith(b'{"type":"RulesChanged"'):
            found.append(cast(RulesChanged, decode_record(record.value)))
        return False

    async with kafka_reader(KafkaCluster((cluster.broker.address,))) as reader:
        await reader.read(JOURNAL_TOPIC, 0, *await reader.bounds(JOURNAL_TOPIC, 0), take)
    return found[-1]


async def frames_are_packed(cluster: Cluster) -> None:
    """Once the framer has heard that all cells go by the new rules; none was before."""
    found: list[bytes] = []

    def take(record: ConsumerRecord) -> bool:
        found.append(record.value)
        return False

    until_s = time.monotonic() + PACKED_S_MAX
    async with kafka_reader(KafkaCluster((cluster.broker.address,))) as reader:
        while not any(map(is_packed, found)):
            assert time.monotonic() < until_s, cluster.said()
            await asyncio.sleep(0.5)
            start, end = await reader.bounds(JOURNAL_TOPIC, 0)
            await reader.read(JOURNAL_TOPIC, 0, start + len(found), end, take)
    raised = next(n for n, value in enumerate(found) if value.startswith(b'{"type":"RulesChanged"'))
    assert not any(map(is_packed, found[:raised]))
    shown = await asyncio.to_thread(run_cli, "journal", "--kafka", "--count", "5", **cluster.variables)
    assert (shown.returncode, shown.stdout.count('"record":{"type":')) == (0, 5), shown.stdout + shown.stderr


async def audited(cluster: Cluster) -> None:
    found = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    assert found.returncode == 0, found.stdout + found.stderr


async def an_old_worker_takes_no_cell(cluster: Cluster, member: Member) -> None:
    """Started by mistake: it ends, and what it was given goes on elsewhere as if it had never been there."""
    before = cluster.directory / "before"
    lives = len(member.exits)
    member.restart_pause_s = 3600.0
    member.checkout = before
    member.signal(signal.SIGTERM)
    await asyncio.to_thread(wait_until, lambda: len(member.exits) > lives, "it ends", cluster.said)
    member.start()
    await asyncio.to_thread(wait_until, lambda: len(member.exits) > lives + 1, "the old one ends", cluster.said)
    assert member.exits[-1] != 0
    assert " is ready" not in member.said(this_life=True)
    member.checkout = None
    member.start()
    await asyncio.to_thread(cluster.wait_ready)
    await audited(cluster)
