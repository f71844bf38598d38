"""Three engine workers and two market data processes on a real broker, while a killer is at them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from asyncapi_checks import closed, payload_of, validator
from auditor import exact
from broker import Broker
from cluster import SESSION_TIMEOUT_S, Cluster, Member, cluster_of_its_own, read_topic, wait_until
from cluster_sessions import Person
from cluster_trading import END_S_MAX, trading, until, until_all_answered
from platform_process import run_cli
from table_check import check_tables
from workload import Workload

from exness_streams.api.asyncapi.document import asyncapi_document
from exness_streams.messages import EVENTS_TOPIC, MARKET_UPDATES_TOPIC

FAULTS = int(os.environ.get("TEST_FAULTS", "5"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))
FULL_RUN_FAULTS = 20
"""From so many faults on, the broker is restarted, too."""

PEOPLE = 8
PAUSED_S = 15.0
SETTINGS = {
    "EXNESS_FEE_RATE": "0.001",
    # Prices stop while market data moves to another process; what is tested here goes on with the last ones.
    "EXNESS_MAX_QUOTE_AGE_MS": "3600000",
}
KINDS = ("SIGKILL", "SIGTERM", "SIGSTOP")


@pytest.fixture(scope="module")
def cluster(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests here."""
    with cluster_of_its_own(tmp_path_factory.mktemp("cluster"), **SETTINGS) as cluster:
        yield cluster


class Killer:
    """Sends signals to processes of the cluster, on a schedule that the seed decides."""

    def __init__(self, cluster: Cluster, rng: random.Random, faults: int) -> None:
        self._cluster, self._rng = cluster, rng
        kinds = [(kind, "engine") for kind in KINDS] + [("SIGKILL", "market data")]
        others = [(rng.choice(KINDS), rng.choice(["engine", "engine", "engine", "market data"])) for _ in range(faults)]
        self.schedule = (kinds + others)[:faults]
        rng.shuffle(self.schedule)

    async def strike(self, kind: str, at: str) -> Member:
        """One fault; returns when it is over, which does not mean that its effects are."""
        rng, cluster = self._rng, self._cluster
        members = cluster.engines if at == "engine" else cluster.market_data
        await asyncio.to_thread(wait_until, lambda: any(one.is_settled for one in members), "one works", cluster.said)
        member = rng.choice([one for one in members if one.is_settled] or members)
        print(f"  {datetime.now(timezone.utc):%T.%f} {kind} to {member.name}", flush=True)
        # Started again before the others have noticed, or after they have taken over.
        member.restart_pause_s = rng.choice([0.2, SESSION_TIMEOUT_S + 3]) if kind != "SIGSTOP" else 0.2
        member.signal(signal.Signals[kind])
        if kind == "SIGSTOP":
            await asyncio.sleep(PAUSED_S)
            member.signal(signal.SIGCONT)
        return member


def _tell_silence(work: Workload, began_s: float) -> None:
    work.raise_findings()
    silence_s = work.longest_silence_s(began_s, time.monotonic())
    print(f"    an account was without an answer for {silence_s:.1f} s", flush=True)


async def _restart_broker(cluster: Cluster, work: Workload) -> None:
    began_s = time.monotonic()
    await asyncio.to_thread(cluster.broker.restart)
    print(f"  the broker was restarted, which took {time.monotonic() - began_s:.1f} s", flush=True)
    await asyncio.to_thread(cluster.wait_ready)
    await until_all_answered(cluster, work)
    _tell_silence(work, began_s)


async def test_nothing_is_lost_or_doubled_while_processes_die(cluster: Cluster) -> None:
    print(f"TEST_SEED={SEED} TEST_FAULTS={FAULTS}")
    rng = random.Random(SEED)
    killer = Killer(cluster, rng, FAULTS)
    async with trading(cluster, "c", rng) as work:
        await until_all_answered(cluster, work)
        for number, (kind, at) in enumerate(killer.schedule):
            if FAULTS >= FULL_RUN_FAULTS and number == FAULTS // 2:
                await _restart_broker(cluster, work)
            began_s = time.monotonic()
            await killer.strike(kind, at)
            await asyncio.sleep(rng.uniform(2.0, 8.0))
            _tell_silence(work, began_s)
        assert work.met["broken connections"], "no fault met a request: nothing was tested"


async def test_sessions_links_and_their_end_hold_while_owners_die(cluster: Cluster) -> None:
    print(f"TEST_SEED={SEED}")
    rng = random.Random(SEED)
    await asyncio.to_thread(cluster.wait_ready)
    async with aiohttp.ClientSession() as client:
        people = [Person(cluster, client, f"person{number}@example.com", rng) for number in range(PEOPLE)]

        async def kill() -> None:
            for _ in range(2):
                await Killer(cluster, rng, 0).strike("SIGKILL", "engine")
                await asyncio.sleep(SESSION_TIMEOUT_S)

        await asyncio.gather(kill(), *(person.lives() for person in people))
        gone, stays = people[::2], people[1::2]
        await asyncio.gather(kill(), *(person.leaves() for person in gone))
        await asyncio.to_thread(cluster.wait_ready)
        for person in gone:
            await asyncio.wait_for(person.check(401), END_S_MAX)
        for person in stays:
            await asyncio.wait_for(person.check(200), END_S_MAX)


def _terminate(member: Member) -> None:
    lives = len(member.exits)
    member.signal(signal.SIGTERM)
    wait_until(lambda: len(member.exits) > lives, "it ends", member.said)


async def test_a_rolling_restart_fails_no_request(cluster: Cluster) -> None:
    async with trading(cluster, "r", random.Random(SEED)) as work:
        await until_all_answered(cluster, work)
        for engine in cluster.engines:
            began_s = time.monotonic()
            await asyncio.to_thread(_terminate, engine)
            ended_s = time.monotonic()
            assert engine.exits[-1] == 0, engine.said()[-3000:]
            await asyncio.to_thread(cluster.wait_ready)
            await until_all_answered(cluster, work)
            silence_s = work.longest_silence_s(began_s, time.monotonic())
            print(f"  {engine.name} ended in {ended_s - began_s:.1f} s; longest without an answer {silence_s:.1f} s")


async def _sequences(cluster: Cluster) -> dict[str, list[Decimal]]:
    """The sequences of each symbol in the topic, in its order."""
    sequences: dict[str, list[Decimal]] = defaultdict(list)
    for record in await read_topic(cluster.broker, MARKET_UPDATES_TOPIC):
        tick = exact(record.value)
        sequences[tick["symbol"]].append(tick["sequence"])
    return sequences


async def _check_sequences(cluster: Cluster) -> int:
    sequences = await _sequences(cluster)
    for symbol, found in sequences.items():
        assert all(before < after for before, after in pairwise(found)), f"{symbol} went back"
    return sum(map(len, sequences.values()))


def _sole_leader(cluster: Cluster) -> Member:
    wait_until(cluster.leader, "one market data process leads", cluster.said)
    leader = cluster.leader()
    assert leader is not None
    return leader


async def _until_ticks_beyond(cluster: Cluster, ticks: int) -> None:
    give_up_at_s = time.monotonic() + END_S_MAX
    while await _check_sequences(cluster) <= ticks + 30:
        assert time.monotonic() < give_up_at_s, f"no ticks come\n{cluster.said()}"
        await asyncio.sleep(0.5)


async def test_market_data_goes_on_when_its_leader_dies(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(_sole_leader, cluster)
    leader.restart_pause_s = SESSION_TIMEOUT_S * 3
    leader.signal(signal.SIGKILL)
    began_s = time.monotonic()
    other = next(member for member in cluster.market_data if member is not leader)
    await asyncio.to_thread(wait_until, lambda: other.leads, "the other takes over", cluster.said)
    print(f"  the other took over after {time.monotonic() - began_s:.1f} s")
    await _until_ticks_beyond(cluster, await _check_sequences(cluster))


async def test_a_market_data_leader_that_was_paused_publishes_nothing_stale(cluster: Cluster) -> None:
    leader = await asyncio.to_thread(_sole_leader, cluster)
    other = next(member for member in cluster.market_data if member is not leader)
    lives = len(leader.exits)
    leader.signal(signal.SIGSTOP)
    try:
        await asyncio.to_thread(wait_until, lambda: other.leads, "the other takes over", cluster.said)
        await _until_ticks_beyond(cluster, await _check_sequences(cluster))
    finally:
        leader.signal(signal.SIGCONT)
    await asyncio.to_thread(
        wait_until, lambda: len(leader.exits) > lives or not leader.leads, "the woken one stands back", cluster.said
    )
    await _until_ticks_beyond(cluster, await _check_sequences(cluster))


NUMBERS = (int, Decimal)

EVENT_OF = {
    "/api/v1/positions/open": "PositionOpened",
    "/api/v1/positions/modify": "PositionModified",
    "/api/v1/positions/close": "PositionClosed",
    "/api/v1/orders/place": "OrderPlaced",
    "/api/v1/orders/cancel": "OrderCancelled",
    "/api/v1/account/deposit": "Deposited",
}
"""What each request is told as, when it is granted."""


def _kinds_done(work: Workload) -> set[str]:
    return {request.path for request, answer in work.auditor.answers.values() if answer.status < 300}


def foreign_records(cluster: Cluster, topic: str) -> list[tuple[bytes, dict[str, Any]]]:
    """(key, value) of all records up to now, as another vendor's client reads them: nothing of ours or aiokafka's."""
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": cluster.broker.address,
            "group.id": f"foreign-{topic}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    assigned = [confluent_kafka.TopicPartition(topic, number, 0) for number in partitions]
    # Ticks go on coming: what comes after these ends is not read. Where nothing comes, the end itself is told.
    ends = {tp.partition: consumer.get_watermark_offsets(tp, timeout=30)[1] for tp in assigned}
    consumer.assign(assigned)
    found: list[tuple[bytes, dict[str, Any]]] = []
    while ends:
        message = consumer.poll(30)
        assert message is not None, f"{topic} does not end"
        number = message.partition()
        if message.error() is not None:
            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
            ends.pop(number, None)
        elif message.offset() < ends.get(number, 0):
            found.append((message.key(), exact(message.value())))
        else:
            ends.pop(number, None)
    consumer.close()
    return found


def in_floats(record: dict[str, Any]) -> Any:
    """As a validator of JSON takes it."""
    return json.loads(json.dumps(record, default=float))


async def test_a_foreign_consumer_reads_the_topics_as_documented(cluster: Cluster) -> None:
    import confluent  # noqa: F401 - skips without it

    async with trading(cluster, "f", random.Random(SEED)) as work:
        await until(cluster, work, lambda: _kinds_done(work) >= EVENT_OF.keys())
    documented = closed(asyncapi_document())
    for key, tick in await asyncio.to_thread(foreign_records, cluster, MARKET_UPDATES_TOPIC):
        assert key == tick["symbol"].encode()
        validator(documented, payload_of(documented, "marketUpdates", "MarketDataMessage")).validate(in_floats(tick))
        assert all(isinstance(tick[name], NUMBERS) for name in ("price", "timestamp", "sequence"))
    events = await asyncio.to_thread(foreign_records, cluster, EVENTS_TOPIC)
    for key, event in events:
        assert key == event["accountId"].encode()
        validator(documented, payload_of(documented, "accountEvents", event["type"])).validate(in_floats(event))
        assert isinstance(event["eventId"], str)
        assert isinstance(event["sequence"], NUMBERS)
        assert isinstance(event["timestamp"], NUMBERS)
    kinds = {event["type"] for _, event in events}
    assert kinds >= set(EVENT_OF.values())
    assert len({event["eventId"] for _, event in events}) == len(events), "an event twice"
    seen = sum(event["accountId"] in work.auditor.books for _, event in events)
    assert seen == sum(books.events for books in work.auditor.books.values())


async def test_the_audit_agrees_and_every_table_holds_what_its_changelog_says(cluster: Cluster) -> None:
    """The last test: it ends the cluster."""
    async with trading(cluster, "t", random.Random(SEED)) as work:
        for _ in range(2):
            await until_all_answered(cluster, work)
            await asyncio.to_thread(_terminate, cluster.engines[0])
            await asyncio.to_thread(cluster.wait_ready)
    # Beside the working cluster, and of all that has happened to it: every cell, from the journal's first record.
    audited = await asyncio.to_thread(run_cli, "audit", "--kafka", **cluster.variables)
    print(audited.stdout)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    await asyncio.to_thread(cluster.end)
    compared = await check_tables(cluster.broker, cluster.directory / "data" / "workers")
    print(f"{compared} entries of tables compared")
    assert compared
