"""A platform that sets limits: who floods is told to wait, the others are served, and nothing changes for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from platform_harness import OPEN, STATE, PlatformThread, Reply

from exness_streams.api.access.rate_limits import STREAM_COST

BUY = {"margin": 10, "asset": "SOL", "type": "long"}
DEPOSIT = "/api/v1/account/deposit"
READS = 400
"""More than it takes to see that the prices have come."""
FRAMES = 100
NAMES = [f"new-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    limits = {"rate_limit": f"{READS} per hour", "new_accounts_limit": "12 per hour"}
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), partitions=2, **limits)
    try:
        yield thread.start()
    finally:
        thread.stop()


def read(platform: PlatformThread, account: str, count: int) -> Counter[int]:
    return Counter(platform.get(STATE, account).status for _ in range(count))


def test_one_who_reads_too_much_can_trade_and_others_read(platform: PlatformThread) -> None:
    assert read(platform, "reader", READS + 5) == {200: READS, 429: 5}
    assert platform.post(OPEN, BUY, "reader").status == 201
    assert platform.get(STATE, "another").status == 200
    assert platform.get("/api/v1/markets", "reader").status == 429
    assert platform.get("/readyz", "reader").status == 200


def test_an_answer_tells_how_much_is_left(platform: PlatformThread) -> None:
    reply = platform.get(STATE, "counted")
    assert reply.headers["RateLimit-Limit"] == str(READS)
    assert reply.headers["RateLimit-Remaining"] == str(READS - 1)
    assert 3000 < int(reply.headers["RateLimit-Reset"]) <= 3600
    read(platform, "counted", READS)
    refused = platform.get(STATE, "counted")
    assert refused.json["error"] == "RATE_LIMITED"
    wait = str(refused.json["details"]["retryAfter"])
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == wait


def rows(platform: PlatformThread) -> int:
    """How many accounts of these names there are."""
    assert platform.platform is not None
    engine = platform.platform.engine
    cells = [(name, engine.cells.cell(engine.partition_of(name))) for name in NAMES]
    return sum(cell is not None and cell.account(name) is not None for name, cell in cells)


def test_looks_and_refused_orders_make_no_account(platform: PlatformThread) -> None:
    for name in NAMES:
        assert platform.get(STATE, name).status == 200
        assert platform.post(OPEN, BUY | {"margin": -1}, name).status == 400
        assert platform.post("/api/v1/positions/close", {"positionId": "pos_0_0"}, name).status == 404
    assert rows(platform) == 0
    replies = [platform.post(DEPOSIT, {"amount": 1}, name) for name in NAMES]
    made = [reply.status for reply in replies].count(200)
    assert made <= 12
    assert {reply.status for reply in replies} == {200, 429}
    assert rows(platform) == made
    assert_new_accounts(replies[-1])
    assert platform.post(DEPOSIT, {"amount": 1}, NAMES[0]).status == 200, "an account that is there goes on"


def assert_new_accounts(reply: Reply) -> None:
    assert reply.json["error"] == "RATE_LIMITED"
    assert reply.json["details"]["scope"] == "new_accounts"
    assert int(reply.headers["Retry-After"]) > 3000
    assert reply.headers["RateLimit-Limit"] == "12"


async def flood(platform: PlatformThread, account: str, kind: str) -> tuple[int, Any, Any]:
    """How many frames were answered until the goodbye, and what it said."""
    url = f"http://127.0.0.1:{platform.port}/ws?account={account}"
    answered = 0
    async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=False) as socket:
        for _ in range(2 * FRAMES):
            match kind:
                case "ping":
                    await socket.send_str('{"type":"ping"}')
                case "garbage":
                    await socket.send_str("garbage")
                case "binary":
                    await socket.send_bytes(b"\0")
                case _:
                    await socket.ping(b"p")
        while (message := await socket.receive(30)).type in (WSMsgType.TEXT, WSMsgType.PONG):
            is_answer = message.type is WSMsgType.PONG or json.loads(message.data)["type"] in ("pong", "error")
            answered += is_answer
        return answered, message.data, message.extra


@pytest.mark.parametrize("kind", ["ping", "garbage", "binary", "protocol"])
async def test_a_stream_that_is_flooded_is_closed(platform: PlatformThread, kind: str) -> None:
    said = "too many frames: a client may send 100 per 10 seconds"
    assert await flood(platform, f"flood-{kind}", kind) == (FRAMES, 1008, said)


async def test_pings_are_answered(platform: PlatformThread) -> None:
    url = f"http://127.0.0.1:{platform.port}/ws?account=pinging"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=False) as socket:
        await socket.ping(b"here?")
        while (message := await socket.receive(30)).type is WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (WSMsgType.PONG, b"here?")


async def test_who_connects_too_often_is_told_to_wait(platform: PlatformThread) -> None:
    url = f"http://127.0.0.1:{platform.port}/ws?account=coming-and-going"
    async with aiohttp.ClientSession() as session:
        for _ in range(READS // STREAM_COST):
            async with session.ws_connect(url):
                pass
        async with session.get(url, headers={"Connection": "upgrade", "Upgrade": "websocket"}) as response:
            assert response.status == 429
            assert (await response.json())["error"] == "RATE_LIMITED"
