"""What a feed says of its connection: no secret of its URL, and no line that the exchange has forged."""

from __future__ import annotations

import asyncio
import logging

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from exness_streams.market_data.backpack import StreamError
from exness_streams.market_data.feed import ERROR_CODES_MAX, BackpackFeed, StatusChange

URL = "ws://user:pw@127.0.0.1:9/?token=S3cret"
FORGED = "bye\n2026-01-01 00:00:00,000 ERROR exness_streams: all is lost\x1b[2J"


@pytest.mark.parametrize(
    "error",
    [
        OSError(f"no route to {URL}"),
        OSError(FORGED),
        ConnectionClosedError(Close(1011, FORGED), None),
        OSError("x" * 9999),
    ],
)
async def test_its_reasons_are_one_line_without_secrets(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    told: list[StatusChange] = []

    async def connect(url: str) -> None:
        raise error

    feed = BackpackFeed(URL, ["SOL_USDC"], connect=connect)  # type: ignore[arg-type]  # it never connects
    feed.observe(told.append)
    with caplog.at_level(logging.INFO):
        running = asyncio.create_task(feed.run(lambda message: None))
        while len(told) < 2:  # noqa: ASYNC110 - the observer has no event
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    for words in [change.reason for change in told] + [record.getMessage() for record in caplog.records]:
        assert words.isprintable(), words
        assert len(words) < 500
        assert "pw" not in words
        assert "S3cret" not in words


def test_the_exchanges_error_codes_fill_no_memory() -> None:
    feed = BackpackFeed(URL, ["SOL_USDC"])
    for code in range(10 * ERROR_CODES_MAX):
        feed._take_error(StreamError(code, "no"))
    assert len(feed.counters.errors) == ERROR_CODES_MAX + 1
    assert sum(feed.counters.errors.values()) == 10 * ERROR_CODES_MAX
