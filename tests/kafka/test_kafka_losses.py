"""State that the offsets say must be there and is not: refused, or built anew, never served as if it were whole."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import DeleteGroupsRequest
from engine_process import OPEN, ORDER, PARTITIONS, Client, EngineProcess, prices
from faust.types import TP
from first_cases import experiments
from frame_reader import FrameReader
from kafka_harness import KafkaHarness
from platform_process import run_cli

from exness_streams.domain.codec import META_KEY, decode_meta, decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rules import NEWEST
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.offsets import newest_of_key

ACCOUNTS, HISTORY, CANDLES = (f"{APP_ID}-{table}-changelog" for table in ("accounts", "history", "candles"))
NAMES = [f"a{number}" for number in range(6)]
DEPOSIT = "/api/v1/account/deposit"

State = Mapping[str, Any]

NON_EMPTY_GROUP = 68
"""Kafka's error code; aiokafka has no name for it."""

LOOKS_AT_REST = 6
GROUP_RESTS_S_MAX = 30.0


class Shop:
    """A worker named `one` on a cluster of its own topics, started and stopped as a test says."""

    def __init__(self, harness: KafkaHarness) -> None:
        self.harness = harness
        self.directory = harness.directory / "one"
        self.starts = 0

    def start(self, **variables: str) -> EngineProcess:
        self.starts += 1
        (self.directory / "engine.out").unlink(missing_ok=True)
        terms = {
            "BACKPACK_REST_URL": "",
            "EXNESS_WORKER_ID": "one",
            "EXNESS_SESSION_TIMEOUT_S": "6",
            "EXNESS_FEE_RATE": "0.001",
            **variables,
        }
        return EngineProcess(self.directory, self.harness.broker, **terms)

    @asynccontextmanager
    async def running(self, **variables: str) -> AsyncIterator[tuple[EngineProcess, aiohttp.ClientSession]]:
        """Ready, with prices; at the end it has stopped in order."""
        engine = self.start(**variables)
        try:
            await engine.wait_ready()
            async with aiohttp.ClientSession() as session, prices(self.harness.broker.address):
                yield engine, session
            assert await engine.terminate() == 0, engine.said()
        finally:
            engine.end()

    async def refused(self, *, instead: str = "") -> str:
        """The worker does not start; its last line."""
        engine = self.start()
        try:
            assert await engine.wait_ended() == 1, engine.said()
        finally:
            engine.end()
        said = engine.said()
        assert "Traceback" not in said, said
        line = said.strip().splitlines()[-1]
        assert line.startswith("exness-streams: "), said
        if instead:
            assert instead in line
        for reset in ("remov", "empty data directory"):
            assert reset not in line.replace("do not remove it", "")
        return line

    def lose_directory(self) -> None:
        shutil.rmtree(self.directory / "data")

    async def delete_group(self) -> None:
        """As an operator does, or a broker on which the offsets have expired."""
        admin = self.harness.admin
        until_s = time.monotonic() + GROUP_RESTS_S_MAX
        while True:
            answer = await admin._send_request(DeleteGroupsRequest([APP_ID]), await admin.find_coordinator(APP_ID))
            # A worker that stopped is a member until its session is over: its membership is static.
            if answer.results != [(APP_ID, NON_EMPTY_GROUP)] or time.monotonic() > until_s:
                break
            await asyncio.sleep(0.2)
        assert answer.results == [(APP_ID, 0)]

    async def reset_offsets(self, topic: str, offset: int) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.harness.broker.address, group_id=APP_ID)
        await consumer.start()
        try:
            tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(tps)
            # A transaction of the worker that has just stopped may end after this, with its own offset.
            until_s = time.monotonic() + GROUP_RESTS_S_MAX
            committed: set[int | None] = set()
            looks = 0  # since it was last another
            while looks < LOOKS_AT_REST and time.monotonic() < until_s:
                if committed != {offset}:
                    looks = 0
                    await consumer.commit(dict.fromkeys(tps, offset))
                await asyncio.sleep(0.5)
                committed = {await consumer.committed(tp) for tp in tps}
                looks += 1
            assert committed == {offset}
        finally:
            await consumer.stop()

    async def copy(self, topic: str, partitions: int = PARTITIONS) -> list[LogRecord]:
        return [
            LogRecord(topic, record.key, record.value, partition)
            for partition in range(partitions)
            for record in await self.harness.read(topic, partition)
        ]


async def states(engine: EngineProcess, session: aiohttp.ClientSession) -> dict[str, State]:
    """What each account has, without what moves with the market; and its trades."""
    found = {}
    for name in NAMES:
        state = await Client(engine.url, session).state(name)
        account = state["account"]
        found[name] = {
            "balance": account["balance"],
            "sequence": state["sequence"],
            "positions": sorted(position["positionId"] for position in state["positions"]),
            "trades": await trades(engine, session, name),
        }
    return found


async def trades(engine: EngineProcess, session: aiohttp.ClientSession, account: str) -> list[str]:
    for _ in range(100):
        async with session.get(engine.url + "/api/v1/trades", headers={"X-Account": account}) as response:
            answer = json.loads(await response.read())
        if response.status == 200:
            return [trade["tradeId"] for trade in answer["trades"]]
        assert (response.status, answer["error"]) == (503, "NOT_READY"), answer
        await asyncio.sleep(0.1)
    raise TimeoutError(answer)


async def keyed_deposit(engine: EngineProcess, session: aiohttp.ClientSession, account: str) -> tuple[int, Any]:
    headers = {"X-Account": account, "Idempotency-Key": "once"}
    async with session.post(engine.url + DEPOSIT, json={"amount": 4_900}, headers=headers) as response:
        answer = json.loads(await response.read())
    return response.status, answer


@pytest.fixture
async def shop(harness: KafkaHarness) -> AsyncIterator[tuple[Shop, dict[str, State]]]:
    """Six accounts with 4,900 USD more than they began with, trades and a position each; the worker has stopped."""
    shop = Shop(harness)
    async with shop.running() as (engine, session):
        client = Client(engine.url, session)
        for name in NAMES:
            await client.trade(name)
            assert (await keyed_deposit(engine, session, name))[0] == 200
            await client.post(OPEN, ORDER, name)
        known = await states(engine, session)
        for state in known.values():
            assert state["balance"] > 14_890
            assert len(state["positions"]) == len(state["trades"]) == 1
        # Candles are committed at a pace of their own, and orders may be done before.
        while not await harness.committed(APP_ID, MARKET_UPDATES_TOPIC, 0):  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(0.1)
    yield shop, known


Found = tuple[Shop, dict[str, State]]


async def serves_what_was_there(shop: Shop, known: dict[str, State], shown: list[dict[int, Any]] | None = None) -> str:
    """All that it said while it did. shown: gets its candles."""
    async with shop.running() as (engine, session):
        assert await states(engine, session) == known
        for name in NAMES:
            repeated, _ = await keyed_deposit(engine, session, name)
            assert repeated == 200
        assert await states(engine, session) == known, "an answered request was executed again"
        if shown is not None:
            shown.append(await candles(engine, session))
        return engine.said()


async def test_a_lost_directory_is_built_anew(shop: Found) -> None:
    one, known = shop
    one.lose_directory()
    said = await serves_what_was_there(one, known)
    assert "WARNING" not in said, said


async def test_a_lost_accounts_changelog_is_refused_until_it_is_restored(shop: Found, harness: KafkaHarness) -> None:
    one, known = shop
    backup = await one.copy(ACCOUNTS)
    await harness.admin.delete_topics([ACCOUNTS])
    with_directory = await one.refused(instead=f"of {ACCOUNTS} ends at record -1, but the table here was built from it")
    assert "it may be the last copy" in with_directory
    one.lose_directory()
    for _ in range(2):  # no other start makes it better
        line = await one.refused(instead=f"of {ACCOUNTS} holds nothing, but")
        assert "Restore it from a backup" in line
    await harness.produce(backup)
    await serves_what_was_there(one, known)


async def test_an_accounts_changelog_that_is_deleted_under_a_worker_ends_it(shop: Found, harness: KafkaHarness) -> None:
    one, _ = shop
    engine = one.start()
    try:
        await engine.wait_ready()
        await harness.admin.delete_topics([ACCOUNTS])
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            with pytest.raises((AssertionError, aiohttp.ClientError)):
                while True:  # some are answered before the first transaction fails
                    await Client(engine.url, session).trade("a0")
        assert await engine.wait_ended() == 1, engine.said()
    finally:
        engine.end()
    assert "Traceback" not in engine.said()
    # Whether it meets the topic's absence first in a transaction or in a rebalance.
    assert engine.said().strip().splitlines()[-1].startswith("exness-streams: "), engine.said()
    await one.refused(instead=ACCOUNTS)


@pytest.mark.experiment
async def test_accounts_changelogs_that_lost_a_part_are_refused_every_time(shop: Found, harness: KafkaHarness) -> None:
    one, known = shop
    backup = await one.copy(ACCOUNTS)
    one.lose_directory()
    answer = next(n for n, record in enumerate(backup) if (record.key or b"").startswith(b"outcome/"))
    row = max(n for n, record in enumerate(backup) if (record.key or b"").startswith(b"account/"))
    one_partition = [record for record in backup if record.partition == 0]
    for part in (one_partition, backup[:answer] + backup[answer + 1 :], backup[:row] + backup[row + 1 :]):
        await harness.admin.delete_topics([ACCOUNTS])
        await harness.declare(ACCOUNTS, PARTITIONS, compact=True)
        await harness.produce(part)
        for _ in range(2):
            await one.refused(instead=ACCOUNTS)
        one.lose_directory()
    await harness.admin.delete_topics([ACCOUNTS])
    await harness.declare(ACCOUNTS, PARTITIONS, compact=True)
    await harness.produce(backup)
    await serves_what_was_there(one, known)


async def test_a_trimmed_accounts_changelog_is_refused(shop: Found, harness: KafkaHarness) -> None:
    one, _ = shop
    first = (await harness.read(ACCOUNTS, 0))[-1].offset
    for policy in ("delete", "compact"):  # Kafka trims no compacted topic
        topic = ConfigResource(ConfigResourceType.TOPIC, ACCOUNTS, {"cleanup.policy": policy})
        await harness.admin.alter_configs([topic])
        if policy == "delete":
            for _ in range(100):
                if (await harness.settings(ACCOUNTS))[0] == policy:
                    break
                await asyncio.sleep(0.05)
            await harness.trim(ACCOUNTS, 0, first)
    one.lose_directory()
    for _ in range(2):
        await one.refused(instead=f"partition 0 of {ACCOUNTS}")


@pytest.mark.parametrize("keeps_directory", [False, True])
async def test_a_lost_history_is_built_anew_and_not_shown_meanwhile(
    shop: Found, harness: KafkaHarness, keeps_directory: bool
) -> None:
    one, known = shop
    await harness.admin.delete_topics([HISTORY])
    if not keeps_directory:
        one.lose_directory()
    said = await serves_what_was_there(one, known)
    for partition in range(PARTITIONS):
        assert f"partition {partition} of {HISTORY} holds nothing, but" in said
    assert "its histories are built anew from trading-events" in said
    assert "WARNING" not in await serves_what_was_there(one, known)


@pytest.mark.parametrize("loses", [*experiments("all", "the beginning"), "the beginning, and the histories"])
async def test_events_that_are_lost_with_nobody_there(shop: Found, harness: KafkaHarness, loses: str) -> None:
    one, known = shop
    async with one.running():
        await harness.until_in_histories(APP_ID, PARTITIONS)
    if loses == "all":
        await harness.admin.delete_topics([EVENTS_TOPIC])
    else:
        for partition in range(PARTITIONS):
            await harness.trim(EVENTS_TOPIC, partition, -1)  # up to the end, the last transaction's mark with it
    if "histories" in loses:
        await harness.admin.delete_topics([HISTORY])
        one.lose_directory()
        known = {name: {**state, "trades": []} for name, state in known.items()}
    said = await serves_what_was_there(one, known)
    assert "go on with the first event there is" in said or "which begins at" in said
    async with one.running() as (engine, session):
        for name in NAMES:
            await Client(engine.url, session).trade(name)
            assert (await trades(engine, session, name))[1:] == known[name]["trades"]
        await harness.until_in_histories(APP_ID, PARTITIONS)
    audited = await asyncio.to_thread(run_cli, "audit", "--kafka", **engine.variables)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert "WARNING" not in await serves_what_was_read(one)


async def serves_what_was_read(shop: Shop) -> str:
    async with shop.running() as (engine, session):
        for name in NAMES:
            assert await trades(engine, session, name)
        return engine.said()


async def test_lost_candles_are_said_once(shop: Found, harness: KafkaHarness) -> None:
    one, known = shop
    await harness.admin.delete_topics([CANDLES])
    one.lose_directory()
    async with one.running() as (engine, _):
        for _ in range(1_000):
            if "candles are missing" in engine.said():
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(2.5)
        assert engine.said().count("candles are missing") == 1, engine.said()
    assert "WARNING" not in await serves_what_was_there(one, known)


async def test_lost_group_offsets_are_taken_from_the_tables(shop: Found) -> None:
    one, known = shop
    await one.delete_group()
    said = await serves_what_was_there(one, known)
    assert said.count("of trading-journal was gone, but its table stands at") == PARTITIONS
    await one.reset_offsets(JOURNAL_TOPIC, 0)
    await one.reset_offsets(EVENTS_TOPIC, 0)
    one.lose_directory()
    said = await serves_what_was_there(one, known)
    # On a slow machine partitions are dealt out once more meanwhile: what is mended by then is not told.
    assert 1 <= said.count("of trading-journal was 0, but its table stands at") <= PARTITIONS, said


async def every_tick_came_once(harness: KafkaHarness, ticks: int) -> None:
    """To every cell, in the frames of however many framers."""
    for partition in range(PARTITIONS):
        reader = FrameReader()
        for record in await harness.read(JOURNAL_TOPIC, partition):
            if isinstance(frame := decode_record(record.value), PriceFrame | RawFrame):
                reader.fold(frame)
        assert not reader.dropped
        assert reader.ends >= (0, ticks)


async def candles(engine: EngineProcess, session: aiohttp.ClientSession) -> dict[int, Any]:
    """Minutes of SOL, by their beginning."""
    query = {"symbol": "SOL", "limit": "1000"}
    async with session.get(engine.url + "/api/v1/candles", params=query, headers={"X-Account": "a0"}) as response:
        answer = json.loads(await response.read())
    assert response.status == 200, answer
    return {candle["time"]: candle for candle in answer["candles"]}


async def test_offsets_that_expired_with_nobody_there_are_taken_from_the_tables_by_rules_2(
    shop: Found, harness: KafkaHarness
) -> None:
    """`offsets.retention` passed: the group is gone, with all that it had committed; ticks came all the same."""
    one, known = shop
    inputs = [(topic, n) for topic in (JOURNAL_TOPIC, EVENTS_TOPIC) for n in range(PARTITIONS)]
    inputs.append((MARKET_UPDATES_TOPIC, 0))
    before = {at: await harness.committed(APP_ID, *at) for at in inputs}
    metas = await newest_of_key(harness.cluster, [TP(ACCOUNTS, n) for n in range(PARTITIONS)], META_KEY)
    assert [decode_meta(meta or b"").rules for meta in metas.values()] == [NEWEST] * PARTITIONS
    await one.delete_group()
    assert {await harness.committed(APP_ID, *at) for at in inputs} == {None}
    async with prices(harness.broker.address, every_s=0.005):
        await asyncio.sleep(1.0)
    ticks = (await harness.read(MARKET_UPDATES_TOPIC, 0))[-1].offset + 1
    shown: list[dict[int, Any]] = []
    for lost in (False, True):
        if lost:
            await one.delete_group()
            one.lose_directory()
        said = await serves_what_was_there(one, known, shown)
        assert "candles are missing" not in said
        assert "built anew" not in said
        assert said.count(f"of {JOURNAL_TOPIC} was gone, but its table stands at") == PARTITIONS, said
        assert said.count(f"of {EVENTS_TOPIC} is gone: its events are read again") == PARTITIONS, said
        assert f"of {MARKET_UPDATES_TOPIC} was gone, but its table stands at" in said
    for at, offset in before.items():
        assert (await harness.committed(APP_ID, *at) or 0) >= (offset or 0), at
    await every_tick_came_once(harness, ticks)
    whole = {time: candle for time, candle in shown[0].items() if time < max(shown[0])}
    assert {time: shown[1][time] for time in whole} == whole
    directory = str(one.directory / "data")
    audited = await asyncio.to_thread(
        run_cli, "audit", "--kafka", "--data-dir", directory, KAFKA_BROKERS=harness.broker.address
    )
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert audited.stdout.count("compared with the changelog") == PARTITIONS
    assert "all agree, and money is conserved" in audited.stdout


async def test_a_table_of_another_partition_is_refused_and_built_anew_without_it(shop: Found) -> None:
    one, known = shop
    (zero,) = one.directory.glob("data/**/accounts-0.db")
    mine = zero.with_name("accounts-1.db")
    shutil.rmtree(mine)
    shutil.copytree(zero, mine)
    line = await one.refused(instead="is that of partition 0: stop this worker, move its directory away")
    assert "built anew from their changelogs" in line
    (one.directory / "data").rename(one.directory / "aside")
    await serves_what_was_there(one, known)


async def test_a_journal_made_anew_is_refused(shop: Found, harness: KafkaHarness) -> None:
    one, _ = shop
    await harness.admin.delete_topics([JOURNAL_TOPIC])
    await one.refused(instead="ends at 0, but accounts were built from it up to")
