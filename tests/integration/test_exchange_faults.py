"""Faults on demand, as clients of the simulated exchange see them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from simulator_client import WAIT_S, client, data_where
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from exness_streams.market_data.backpack import BookTicker, Ignored, IgnoreReason, parse
from exness_streams.simulator.faults import MarketState, parse_faults
from exness_streams.simulator.server import BackpackSimulator

SPOT, OTHER = "SOL_USDC", "BTC_USDC"


@asynccontextmanager
async def exchange(schedule: str = "", **settings: Any) -> AsyncIterator[BackpackSimulator]:
    settings = {"rate": 100, "ticker_interval_s": 0.05, "close_grace_s": 1, **settings}
    async with BackpackSimulator((SPOT, OTHER), schedule=parse_faults(schedule), **settings) as simulator:
        yield simulator


async def get(simulator: BackpackSimulator, path: str) -> tuple[int, dict[str, str], Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{simulator.rest_url}/api/v1/{path}") as response:
        return response.status, dict(response.headers), await response.json()


async def test_too_many_requests_are_told_when_to_come_back_by_rest_and_at_the_handshake() -> None:
    async with exchange("rate_limit:30@0") as simulator:
        status = 200
        while status == 200:
            status, headers, document = await get(simulator, "markets")
        assert (status, headers["Retry-After"], document["code"]) == (429, "30", "TOO_MANY_REQUESTS")
        with pytest.raises(InvalidStatus) as refused:
            await connect(simulator.url, proxy=None)
        assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "30")


async def test_rest_that_is_slow_keeps_one_waiting_and_not_the_socket() -> None:
    async with exchange() as simulator, client(simulator, f"bookTicker.{SPOT}") as connection:
        simulator.faults.slow_rest_s = 300.0
        asked = asyncio.create_task(get(simulator, "status"))
        for _ in range(30):
            await data_where(connection, lambda data: data["e"] == "bookTicker")
        assert not asked.done()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_a_market_that_is_cancel_only_stands_still_and_a_closed_one_says_nothing() -> None:
    async with exchange() as simulator, client(simulator, f"ticker.{SPOT}", f"bookTicker.{OTHER}") as connection:
        simulator.faults.states[SPOT] = MarketState.CANCEL_ONLY
        before = simulator.quote(SPOT)
        for _ in range(5):
            await data_where(connection, lambda data: data["e"] == "ticker")
        assert simulator.quote(SPOT) == before
        states = {row["symbol"]: row["orderBookState"] for row in (await get(simulator, "markets"))[2]}
        assert states == {SPOT: "CancelOnly", OTHER: "Open"}
        simulator.faults.states[SPOT] = MarketState.CLOSED
        async with client(simulator, f"ticker.{SPOT}", f"bookTicker.{SPOT}", f"bookTicker.{OTHER}") as newcomer:
            for _ in range(30):
                assert (await data_where(newcomer, lambda _: True))["s"] == OTHER
            del simulator.faults.states[SPOT]
            await data_where(newcomer, lambda data: data["s"] == SPOT and data["e"] == "bookTicker")


async def test_a_ticker_without_a_last_price_is_told_and_comes_back() -> None:
    async with exchange("no_last:SOL_USDC@0.2+0.3") as simulator, client(simulator, f"ticker.{SPOT}") as connection:
        assert (await data_where(connection, lambda data: data["c"] is None))["s"] == SPOT
        await data_where(connection, lambda data: data["c"] is not None)


async def test_times_and_ids_may_be_text_and_are_read_all_the_same() -> None:
    async with exchange() as simulator, client(simulator, f"bookTicker.{SPOT}") as connection:
        simulator.faults.text_times = True
        frame = await asyncio.wait_for(connection.recv(), WAIT_S)
        while not isinstance(json.loads(frame)["data"]["u"], str):
            frame = await asyncio.wait_for(connection.recv(), WAIT_S)
        book = parse(frame)
        assert isinstance(book, BookTicker)
        assert str(book.update_id) == json.loads(frame)["data"]["u"]


@pytest.mark.parametrize("skew_s", [-7.0, 10.0])
async def test_an_exchange_with_another_clock_tells_it_everywhere_until_it_is_set_right(skew_s: float) -> None:
    async with exchange() as simulator, client(simulator, f"bookTicker.{SPOT}") as connection:

        def is_skewed(data: dict[str, Any], by_s: float) -> bool:
            return abs(data["E"] / 1e6 - time.time() - by_s) < 3

        simulator.faults.skew_s = skew_s
        await data_where(connection, lambda data: is_skewed(data, skew_s))
        assert abs((await get(simulator, "time"))[2] / 1000 - time.time() - skew_s) < 3
        simulator.faults.skew_s = 0.0
        await data_where(connection, lambda data: is_skewed(data, 0))


async def test_frames_of_one_symbol_may_claim_to_be_of_the_future() -> None:
    async with (
        exchange() as simulator,
        client(simulator, f"bookTicker.{SPOT}", f"bookTicker.{OTHER}") as connection,
    ):
        simulator.faults.ahead_s[SPOT] = 3_600.0
        await data_where(connection, lambda data: data["s"] == SPOT and data["E"] / 1e6 > time.time() + 3_000)
        data = await data_where(connection, lambda data: data["s"] == OTHER)
        assert data["E"] / 1e6 < time.time() + 60


@pytest.mark.parametrize(
    ("schedule", "is_so"),
    [
        ("crossed:SOL_USDC@0.2", lambda bid, ask: bid is not None and ask is not None and Decimal(bid) > Decimal(ask)),
        ("null:SOL_USDC:ask@0.2", lambda bid, ask: bid is not None and ask is None),
    ],
)
async def test_a_book_is_wrong_in_the_same_way_wherever_it_is_told(
    schedule: str, is_so: Callable[[Any, Any], bool]
) -> None:
    async with exchange(schedule, rate=0) as simulator, client(simulator, f"bookTicker.{SPOT}") as connection:
        data = await data_where(connection, lambda data: is_so(data["b"], data["a"]))
        row = (await get(simulator, f"depth?symbol={SPOT}"))[2]
        bid = row["bids"][-1][0] if row["bids"] else None
        ask = row["asks"][0][0] if row["asks"] else None
        assert (bid, ask, row["lastUpdateId"]) == (data["b"], data["a"], str(data["u"]))


async def test_a_crossed_book_is_one_to_the_feed() -> None:
    async with exchange() as simulator, client(simulator, f"bookTicker.{SPOT}") as connection:
        simulator.faults.crossed.add(SPOT)
        read = parse(await asyncio.wait_for(connection.recv(), WAIT_S))
        while not isinstance(read, Ignored):
            read = parse(await asyncio.wait_for(connection.recv(), WAIT_S))
        assert read.reason is IgnoreReason.CROSSED_BOOK


async def test_a_spike_is_told_once_and_never_was() -> None:
    async with (
        exchange("spike:SOL_USDC:100@0.3", rate=0) as simulator,
        client(simulator, f"bookTicker.{SPOT}", f"ticker.{SPOT}") as connection,
    ):
        before = simulator.quote(SPOT)
        spike = await data_where(connection, lambda data: data["e"] == "bookTicker")
        assert Decimal(spike["b"]) == 100 * before.bid if before.bid else pytest.fail("there is no bid")
        assert Decimal((await data_where(connection, lambda data: data["e"] == "ticker"))["c"]) == 100 * before.last
        after = await data_where(connection, lambda data: data["e"] == "bookTicker")
        assert (Decimal(after["b"]), after["u"] > spike["u"]) == (before.bid, True)
        assert simulator.quote(SPOT) == before
        row = (await get(simulator, f"ticker?symbol={SPOT}"))[2]
        assert Decimal(row["high"]) < 2 * before.last
