"""A worker that finishes a takeover late: the owner whose cells it fenced takes them again; nothing is called lost."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from engine_process import GIVE_UP_S, PARTITIONS, POLL_S, EngineProcess, prices
from first_cases import experiments
from kafka_harness import KafkaHarness

from exness_streams.engine.engine import APP_ID
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC
from exness_streams.transport.kafka.commits import KafkaCellLog

NAMES = [f"a{number}" for number in range(6)]
TIMES = 2
DEPOSIT, EQUITY = "/api/v1/account/deposit", "/api/v1/equity"


async def fence_late(harness: KafkaHarness, topic: str) -> None:
    """As a member does that was put out, and goes on where it stood still."""
    late = KafkaCellLog(harness.cluster, topic, APP_ID)
    await late.fence(range(1 if topic == MARKET_UPDATES_TOPIC else PARTITIONS))
    await late.close()


class Asking:
    """Asks until it is answered: an outcome that is not known, or a cell that moves, is asked for again."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def deposit(self, account: str, key: str) -> dict[str, Any]:
        headers = {"X-Account": account, "Idempotency-Key": key}
        return await self._until("POST", DEPOSIT, headers, {"amount": 1})

    async def points(self, account: str) -> int:
        return len((await self._until("GET", EQUITY, {"X-Account": account}, None))["points"])

    async def _until(self, method: str, path: str, headers: dict[str, str], body: Any) -> dict[str, Any]:
        give_up_at_s = time.monotonic() + GIVE_UP_S
        while True:
            async with self._session.request(method, self._url + path, json=body, headers=headers) as response:
                answer: dict[str, Any] = json.loads(await response.read())
            if response.status == 200:
                return answer
            assert response.status in (503, 504), answer
            assert time.monotonic() < give_up_at_s, answer
            await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("topic", [JOURNAL_TOPIC, *experiments(EVENTS_TOPIC, MARKET_UPDATES_TOPIC)])
async def test_the_owner_goes_on_with_what_a_late_worker_has_fenced(harness: KafkaHarness, topic: str) -> None:
    engine = EngineProcess(
        harness.directory / "one",
        harness.broker,
        BACKPACK_REST_URL="",
        EXNESS_WORKER_ID="one",
        EXNESS_SESSION_TIMEOUT_S="6",
    )
    try:
        await engine.wait_ready()
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            asking = Asking(engine.url, session)
            done = 0
            for turn in range(1, TIMES + 1):
                await fence_late(harness, topic)
                give_up_at_s = time.monotonic() + GIVE_UP_S
                is_asked = False
                while not is_asked:
                    is_asked = engine.said().count("The group is asked anew") >= turn  # and once more after that
                    assert is_asked or time.monotonic() < give_up_at_s, engine.said()
                    done += 1
                    for name in NAMES:
                        told = await asking.deposit(name, f"d{done}")
                        assert told["sequence"] == done, "each deposit was done once"
                for name in NAMES:
                    while await asking.points(name) < done:
                        assert time.monotonic() < give_up_at_s + GIVE_UP_S, engine.said()
                        await asyncio.sleep(POLL_S)
        assert await engine.terminate() == 0, engine.said()
    finally:
        engine.end()
    said = engine.said()
    for words in ("must start again", "gone", "Restore", "Traceback"):
        assert words not in said
