"""Everything that a running platform says on its stream and in its topics is as its AsyncAPI document describes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from asyncapi_checks import closed, payload_of, validator
from platform_harness import CLOSE, OPEN, PlatformThread
from stream_client import stream

from exness_streams.api.stream.messages import StreamMessage
from exness_streams.messages import EVENTS_TOPIC, MARKET_UPDATES_TOPIC
from exness_streams.transport.embedded.reader import LogReader

PATH = "/api/v1/asyncapi.json"
ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"))
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture(scope="module")
def document(platform: PlatformThread) -> Any:
    return json.loads(platform.get(PATH).body)


def trade(platform: PlatformThread, account: str) -> None:
    opened = platform.post(OPEN, ORDER, account)
    assert opened.status == 201, opened.body
    position = json.loads(opened.body)["positionId"]
    assert platform.post(CLOSE, {"positionId": position, "percentage": 50}, account).status == 200
    assert platform.post("/api/v1/account/deposit", {"amount": 5}, account).status == 200


def test_it_names_this_platform(platform: PlatformThread, document: Any) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert document["servers"]["platform"]["host"] == f"127.0.0.1:{platform.port}"


@pytest.mark.parametrize("form", ["number", "string"])
async def test_all_that_the_stream_says_is_as_described(platform: PlatformThread, document: Any, form: str) -> None:
    names = {str(kind.__struct_config__.tag): kind.__name__ for kind in StreamMessage.__subclasses__()}
    names["state"] = "StateMessage"
    strict = closed(document)
    account = f"stream-{form}"
    wanted = {"connection", "state", "market_data", "feed", "pong", "error", "PositionOpened", "PositionClosed",
              "Deposited"}  # fmt: skip
    await asyncio.to_thread(trade, platform, account)
    async with stream(f"http://127.0.0.1:{platform.port}", account, f"&numbers={form}") as client:
        await client.next("connection")
        await client.socket.send_str('{"type":"ping"}')
        await client.socket.send_str("what?")
        await asyncio.to_thread(trade, platform, account)
        while not wanted <= {message["type"] for message in client.received}:
            assert await client.read() is not None
        for message in client.received:
            said = json.loads(json.dumps(message, default=float))
            schema = payload_of(strict, "stream", names.get(message["type"], message["type"]))
            validator(strict, schema).validate(said)


@pytest.mark.parametrize(
    ("topic", "channel"), [(EVENTS_TOPIC, "accountEvents"), (MARKET_UPDATES_TOPIC, "marketUpdates")]
)
def test_all_that_is_in_the_topics_is_as_described(
    platform: PlatformThread, document: Any, topic: str, channel: str
) -> None:
    platform.post("/api/v1/account/deposit", {"amount": 5}, "topics")
    assert document["channels"][channel]["address"] == topic
    strict, seen = closed(document), 0
    while not seen:
        with LogReader(platform.settings.log_dir).snapshot() as snapshot:
            for record in snapshot.records((topic, 0)):
                said = json.loads(record.value or b"")
                assert next(iter(said)) == "schemaVersion"
                name = said.get("type", "MarketDataMessage")
                validator(strict, payload_of(strict, channel, name)).validate(said)
                seen += 1
