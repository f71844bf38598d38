"""The simulator's REST part, and that all it tells of a market, by REST and by socket, is of one state."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from exness_streams.simulator.faults import MarketState
from exness_streams.simulator.server import BackpackSimulator

WAIT_S = 20.0
SPOT, PERP = "SOL_USDC", "BTC_USDC_PERP"


class Rest:
    def __init__(self, session: aiohttp.ClientSession, simulator: BackpackSimulator) -> None:
        self._session, self.simulator = session, simulator

    async def ask(self, path: str) -> tuple[int, Any]:
        async with self._session.get(self.simulator.rest_url + path) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()

    async def get(self, path: str) -> Any:
        status, document = await self.ask("/api/v1/" + path)
        assert status == 200, document
        return document


@asynccontextmanager
async def rest(**settings: Any) -> AsyncIterator[Rest]:
    settings = {"symbols": (SPOT, PERP), "rate": 0, "ticker_interval_s": 0.05, "close_grace_s": 1, **settings}
    async with BackpackSimulator(**settings) as simulator, aiohttp.ClientSession() as session:
        yield Rest(session, simulator)


@asynccontextmanager
async def frames(simulator: BackpackSimulator, *streams: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with connect(simulator.url, proxy=None, close_timeout=2) as connection:
        await connection.send(json.dumps({"method": "SUBSCRIBE", "params": streams}))

        async def data() -> AsyncIterator[dict[str, Any]]:
            while True:
                yield json.loads(await asyncio.wait_for(connection.recv(), WAIT_S))["data"]

        deadline_s = asyncio.get_running_loop().time() + WAIT_S
        while not set(streams) <= simulator.subscriptions:
            assert asyncio.get_running_loop().time() < deadline_s
            await asyncio.sleep(0.005)
        yield data()


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("assets", {"coingeckoId", "displayName", "symbol", "tokens"}),
        ("tickers", {"firstPrice", "high", "lastPrice", "low", "priceChange", "priceChangePercent", "quoteVolume",
                     "symbol", "trades", "volume"}),
        ("markPrices", {"fundingRate", "indexPrice", "markPrice", "nextFundingTimestamp", "symbol"}),
        ("openInterest", {"openInterest", "symbol", "timestamp"}),
        (f"fundingRates?symbol={PERP}", {"fundingRate", "intervalEndTimestamp", "symbol"}),
        (f"klines?symbol={SPOT}&interval=1h&startTime=0",
         {"start", "end", "open", "high", "low", "close", "volume", "quoteVolume", "trades"}),
    ],
)  # fmt: skip
async def test_rows_have_the_exchanges_fields(path: str, keys: set[str]) -> None:
    async with rest() as asked:
        rows = await asked.get(path)
        assert rows
        assert all(set(row) == keys for row in rows)


async def test_one_market_is_the_row_of_the_list_and_tells_of_funding_and_bands() -> None:
    async with rest() as asked:
        rows = await asked.get("markets")
        assert [await asked.get(f"market?symbol={row['symbol']}") for row in rows] == rows
        spot, perp = rows
        assert (spot["marketType"], perp["marketType"]) == ("SPOT", "PERP")
        assert perp["fundingInterval"] == 3_600_000
        assert perp["imfFunction"] == {"base": "0.02", "factor": "0.0001275", "type": "sqrt"}
        assert (spot["imfFunction"], spot["mmfFunction"]) == (None, None)
        assert perp["filters"]["price"]["meanMarkPriceBand"] == {"maxMultiplier": "1.1", "minMultiplier": "0.9"}
        assert spot["visible"] is True


@pytest.mark.parametrize(
    "path",
    ["borrowLend/markets", "borrowLend/markets/history?interval=1d", "collateral", "wallets", "prediction",
     "prediction/tags", "securities", "stockSessions", f"fundingRates?symbol={SPOT}", f"markPrices?symbol={SPOT}"],
)  # fmt: skip
async def test_what_the_simulator_has_nothing_of_is_empty(path: str) -> None:
    async with rest() as asked:
        assert await asked.get(path) == []


async def test_ping_time_and_status() -> None:
    async with rest() as asked:
        assert await asked.get("ping") == "pong"
        assert abs(await asked.get("time") - time.time() * 1000) < 60_000
        assert await asked.get("status") == {"status": "Ok", "message": None}


@pytest.mark.parametrize("path", ["/", "/api/v1/", "/api/v1/account", "/api/v2/markets", "/ping"])
async def test_what_there_is_not_is_said_in_json(path: str) -> None:
    async with rest() as asked:
        assert await asked.ask(path) == (404, {"code": "RESOURCE_NOT_FOUND", "message": "Not Found"})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("market", "Invalid market symbol"),
        ("ticker?symbol=GONE_USDC", "Invalid market symbol"),
        (f"ticker?symbol={SPOT}&interval=1y", "interval"),
        (f"depth?symbol={SPOT}&limit=7", "limit"),
        (f"trades?symbol={SPOT}&limit=1001", "limit is at most 1000"),
        (f"trades?symbol={SPOT}&limit=-1", "Invalid limit"),
        (f"trades/history?symbol={SPOT}&offset=x", "Invalid offset"),
        (f"klines?symbol={SPOT}&interval=7m&startTime=0", "failed to parse parameter `interval`"),
        (f"klines?symbol={SPOT}&interval=1m", "Invalid startTime"),
        (f"klines?symbol={SPOT}&interval=1m&startTime=0&priceType=Best", "priceType"),
        ("openInterest?symbol=GONE_USDC", "Invalid market symbol"),
    ],
)
async def test_what_can_not_be_answered_is_refused_in_the_exchanges_form(path: str, said: str) -> None:
    async with rest() as asked:
        status, document = await asked.ask("/api/v1/" + path)
        assert (status, document["code"]) == (400, "INVALID_CLIENT_REQUEST")
        assert said in document["message"]


async def test_the_ticker_is_the_day_of_the_klines_by_rest_and_by_socket() -> None:
    async with rest() as asked, frames(asked.simulator, f"ticker.{SPOT}") as told:
        for factor in ("1.01", "0.98"):
            asked.simulator.jump(SPOT, Decimal(factor))
        while True:
            minute = int(time.time()) // 60
            row = await asked.get(f"ticker?symbol={SPOT}")
            data = await anext(told)
            while data["c"] != row["lastPrice"]:
                data = await anext(told)
            start_s = minute * 60 - 1_439 * 60
            klines = [
                kline
                for nth in range(2)
                for kline in await asked.get(
                    f"klines?symbol={SPOT}&interval=1m&startTime={start_s + nth * 60_000}"
                    f"&endTime={min(start_s + nth * 60_000 + 59_999, minute * 60 + 59)}"
                )
            ]
            if int(time.time()) // 60 == minute:
                break  # else a new minute has begun meanwhile
    assert len(klines) == 1_440
    low, high = min(Decimal(one["low"]) for one in klines), max(Decimal(one["high"]) for one in klines)
    volume, trades = sum(Decimal(one["volume"]) for one in klines), sum(int(one["trades"]) for one in klines)
    assert (Decimal(row["low"]), Decimal(row["high"]), Decimal(row["volume"])) == (low, high, volume)
    assert (row["firstPrice"], row["lastPrice"], row["trades"]) == (klines[0]["open"], klines[-1]["close"], str(trades))
    assert (data["o"], data["h"], data["l"], data["c"]) == tuple(
        row[name] for name in ("firstPrice", "high", "low", "lastPrice")
    )
    assert (data["v"], data["V"], str(data["n"])) == (row["volume"], row["quoteVolume"], row["trades"])


def apply(book: dict[str, dict[str, str]], data: dict[str, Any], known: int) -> int:
    """Change a book as the exchange says one should: what the snapshot has already, leave out. Its newest update."""
    if data["u"] <= known:
        return known
    assert data["U"] <= known + 1, "a gap"
    for side in "ba":
        for price, quantity in data[side]:
            if Decimal(quantity):
                book[side][price] = quantity
            else:
                book[side].pop(price, None)
    return int(data["u"])


@pytest.mark.parametrize("interval", ["", "200ms.", "600ms.", "1000ms."])
async def test_a_snapshot_and_the_changes_after_it_are_the_book(interval: str) -> None:
    async with rest(rate=200) as asked, frames(asked.simulator, f"depth.{interval}{SPOT}") as told:
        row = await asked.get(f"depth?symbol={SPOT}")
        book, known = {"b": dict(row["bids"]), "a": dict(row["asks"])}, int(row["lastUpdateId"])
        for _ in range(3 if interval else 100):
            known = apply(book, await anext(told), known)
            assert max(map(Decimal, book["b"])) < min(map(Decimal, book["a"]))
        # It stands still from now on, and what was told leads to what is asked for.
        asked.simulator.faults.states[SPOT] = MarketState.CANCEL_ONLY
        now = await asked.get(f"depth?symbol={SPOT}")
        while known < int(now["lastUpdateId"]):
            known = apply(book, await anext(told), known)
        assert book == {"b": dict(now["bids"]), "a": dict(now["asks"])}


async def test_trades_that_were_told_are_those_that_are_asked_for_and_those_of_the_klines() -> None:
    async with rest(rate=200) as asked, frames(asked.simulator, f"trade.{SPOT}") as told:
        seen = [await anext(told) for _ in range(50)]
        rows = {row["id"]: row for row in await asked.get(f"trades?symbol={SPOT}&limit=1000")}
        for data in seen:
            row = rows[data["t"]]
            assert (Decimal(row["price"]), Decimal(row["quantity"])) == (Decimal(data["p"]), Decimal(data["q"]))
            assert (row["isBuyerMaker"], row["timestamp"]) == (data["m"], data["T"] // 1000)
        ids = [row["id"] for row in await asked.get(f"trades/history?symbol={SPOT}&limit=1000&offset=10")]
        assert ids == sorted(ids, reverse=True)
        klines = await asked.get(f"klines?symbol={SPOT}&interval=1m&startTime={seen[0]['E'] // 1_000_000 - 120}")
        lows, highs = [Decimal(one["low"]) for one in klines], [Decimal(one["high"]) for one in klines]
        assert min(lows) <= min(Decimal(data["p"]) for data in seen)
        assert max(highs) >= max(Decimal(data["p"]) for data in seen)


async def test_the_kline_that_is_told_is_the_one_that_is_asked_for() -> None:
    async with rest() as asked, frames(asked.simulator, f"kline.1h.{PERP}") as told:
        asked.simulator.jump(PERP, Decimal("1.5"))
        data = await anext(told)
        while data["h"] != data["c"]:
            data = await anext(told)
        start_s = int(time.time()) - 3_600
        for row in await asked.get(f"klines?symbol={PERP}&interval=1h&startTime={start_s}&priceType=Mark"):
            if row["start"].replace(" ", "T") == data["t"]:
                assert (row["open"], row["high"], row["close"]) == (data["o"], data["h"], data["c"])
                assert row["end"].replace(" ", "T") == data["T"]
                assert (row["volume"], row["trades"]) == ("0", "0"), "nobody trades at a mark price"
                break
        else:
            pytest.fail("it is not there")


async def test_mark_price_and_open_interest_are_told_as_they_are_answered() -> None:
    async with rest() as asked, frames(asked.simulator, f"markPrice.{PERP}", f"openInterest.{PERP}") as told:
        seen: dict[str, dict[str, Any]] = {}
        while len(seen) < 2:
            data = await anext(told)
            seen[data["e"]] = data
        (mark,), interests = await asked.get(f"markPrices?symbol={PERP}"), await asked.get("openInterest")
    data = seen["markPrice"]
    assert (mark["markPrice"], mark["indexPrice"]) == (data["p"], data["i"])
    if mark["nextFundingTimestamp"] == data["n"]:  # else the hour has just ended
        assert mark["fundingRate"] == data["f"]
    assert len(mark["fundingRate"].split(".")[1]) == 28
    assert [row["symbol"] for row in interests] == [PERP]
    assert Decimal(seen["openInterest"]["o"]) > 0
