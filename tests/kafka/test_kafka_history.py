"""Histories on a real broker, with workers that take over from each other, one of them killed."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import aiohttp
from engine_process import CLOSE, GIVE_UP_S, OPEN, ORDER, PARTITIONS, Client, EngineProcess, prices
from kafka_harness import KafkaHarness

from exness_streams.domain.account_history import head_key, trade_key
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.kafka.commits import KafkaCellLog

ACCOUNTS = [f"a{number}" for number in range(6)]
CHANGELOG = f"{APP_ID}-history-changelog"


def worker(harness: KafkaHarness, name: str) -> EngineProcess:
    return EngineProcess(
        harness.directory / name, harness.broker, EXNESS_WORKER_ID=name, EXNESS_FEE_RATE="0.001",
        EXNESS_SESSION_TIMEOUT_S="6",
    )  # fmt: skip


async def trade(client: Client, account: str, closed: dict[str, list[str]]) -> None:
    opened = await client.post(OPEN, ORDER, account)
    await client.post(CLOSE, {"positionId": opened["positionId"]}, account)
    closed[account].insert(0, opened["positionId"])


async def get(session: aiohttp.ClientSession, url: str, path: str, account: str, **headers: str) -> bytes:
    """What is there once the worker serves the account."""
    for _ in range(int(GIVE_UP_S * 10)):
        async with session.get(url + path, headers={"X-Account": account, **headers}) as response:
            content = await response.read()
            if response.status == 200:
                return content
            assert response.status == 503, content
        await asyncio.sleep(0.1)
    raise TimeoutError(content)


async def check(session: aiohttp.ClientSession, url: str, closed: dict[str, list[str]]) -> None:
    """Every worker tells every trade once, as JSON and as CSV, and they sum to the balance."""
    for account, expected in closed.items():
        answer = json.loads(await get(session, url, "/api/v1/trades?limit=500", account), parse_float=Decimal)
        assert [one["positionId"] for one in answer["trades"]] == expected
        text = (await get(session, url, "/api/v1/trades", account, Accept="text/csv")).decode()
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [line["tradeId"] for line in lines] == [one["tradeId"] for one in answer["trades"]]
        summed = sum(Decimal(line["realizedPnL"]) - Decimal(line["fee"]) for line in lines)
        state = json.loads(await get(session, url, "/api/v1/state", account), parse_float=Decimal)
        assert 10_000 + summed == state["account"]["balance"]
        assert answer["sequence"] == state["sequence"]


async def test_workers_in_turn_keep_one_history(harness: KafkaHarness) -> None:
    closed: dict[str, list[str]] = {account: [] for account in ACCOUNTS}
    first = worker(harness, "first")
    second = None
    try:
        await first.wait_ready()
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as session, prices(harness.broker.address):
            client = Client(first.url, session)
            for _ in range(3):
                await asyncio.gather(*(trade(client, account, closed) for account in ACCOUNTS))
            await check(session, first.url, closed)
            second = worker(harness, "second")
            await second.wait_ready()
            await check(session, first.url, closed)  # each has some accounts, and asks the other for the rest
            await check(session, second.url, closed)
            for url in (first.url, second.url):
                await asyncio.gather(*(trade(Client(url, session), account, closed) for account in ACCOUNTS))
            first.end()  # SIGKILL: some events are in no history yet
            await _until_owned_by(session, second, closed)
            await asyncio.gather(*(trade(Client(second.url, session), account, closed) for account in ACCOUNTS))
            await check(session, second.url, closed)
            first = worker(harness, "third")  # with no table of its own
            await first.wait_ready()
            assert await second.terminate() == 0, second.said()
            await _until_owned_by(session, first, closed)
            await check(session, first.url, closed)
            await harness.until_in_histories(APP_ID, PARTITIONS)  # what is shown may be on its way there
        assert await first.terminate() == 0, first.said()
        for engine in (first, second):
            assert "Traceback" not in engine.said(), engine.said()
        await _check_changelog(harness, closed)
    finally:
        first.end()
        if second is not None:
            second.end()


async def _until_owned_by(session: aiohttp.ClientSession, engine: EngineProcess, closed: dict[str, list[str]]) -> None:
    """Until every account is answered by a worker that has it itself."""
    for account in closed:
        with suppress(aiohttp.ClientError):
            await get(session, engine.url, "/api/v1/trades", account, **{"X-Exness-Forwarded": "1"})


async def _check_changelog(harness: KafkaHarness, closed: dict[str, list[str]]) -> None:
    """No trade was written twice, whoever wrote it, and every event is in a history."""
    written: Counter[bytes] = Counter()
    for partition in range(PARTITIONS):
        records = await harness.read(CHANGELOG, partition)
        written.update(record.key for record in records if record.key is not None)
        events = await harness.read(EVENTS_TOPIC, partition)
        assert await harness.committed(APP_ID, EVENTS_TOPIC, partition) == events[-1].offset + 1
    for account, positions in closed.items():
        assert [written[trade_key(account, number)] for number in range(len(positions))] == [1] * len(positions)
        assert written[head_key(account)] >= 1


async def test_the_two_inputs_of_a_worker_do_not_fence_each_other(harness: KafkaHarness) -> None:
    for topic in ("journal", "events"):
        await harness.declare(topic, 1)
    logs = [KafkaCellLog(harness.cluster, topic, "group") for topic in ("journal", "events")]
    for cells in logs:
        await cells.fence([0])
    for offset in (1, 2):
        for cells in logs:
            await cells.lease(0).commit([], offset)
    assert [await harness.committed("group", topic, 0) for topic in ("journal", "events")] == [2, 2]
    for cells in logs:
        await cells.close()
