"""Clients that others wrote for Backpack, pointed at the simulator: what is public works as at the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from exness_streams.simulator.server import BackpackSimulator

ccxt = pytest.importorskip("ccxt.pro", reason="ccxt is not installed: pip install -e '.[dev]'", exc_type=ImportError)

WAIT_S = 60.0
SETTINGS: dict[str, Any] = {"ticker_interval_s": 0.2, "close_grace_s": 1, "past_minutes": 70 * 1_440}
SYMBOLS = ("SOL_USDC", "BTC_USDC_PERP", "AAPL.US_USDC_PERP")
SPOT, PERP, DOTTED = "SOL/USDC", "BTC/USDC:USDC", "AAPL.US/USDC:USDC"
TIMEFRAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[Any, BackpackSimulator]]:
    async with BackpackSimulator(SYMBOLS, rate=50, **SETTINGS) as simulator:
        client = ccxt.backpack({"enableRateLimit": False})
        urls = {"public": simulator.rest_url, "private": simulator.rest_url}
        client.urls["api"] = {**urls, "ws": {"public": simulator.url, "private": simulator.url}}
        try:
            yield client, simulator
        finally:
            await client.close()


async def answer(call: Any) -> Any:
    return await asyncio.wait_for(call, WAIT_S)


async def test_ccxt_reads_all_that_is_public() -> None:
    async with exchange() as (client, simulator):
        markets = await answer(client.load_markets())
        assert set(markets) == {SPOT, PERP, DOTTED}
        assert markets[SPOT]["active"] is True
        assert markets[SPOT]["precision"] == {"amount": 0.01, "price": 0.01}
        assert set(await answer(client.fetch_currencies())) == {"SOL", "BTC", "AAPL.US", "USDC"}
        ticker = await answer(client.fetch_ticker(SPOT))
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert set(await answer(client.fetch_tickers())) == {SPOT, PERP, DOTTED}
        book = await answer(client.fetch_order_book(SPOT))
        assert len(book["bids"]) > 20
        assert book["bids"][0][0] < book["asks"][0][0]
        assert book["nonce"] >= 6_730_019_258
        trades = await answer(client.fetch_trades(SPOT, limit=5))
        assert 1 <= len(trades) <= 5
        assert trades[0]["side"] in ("buy", "sell")
        rate = await answer(client.fetch_funding_rate(PERP))
        assert rate["markPrice"] == pytest.approx(65_000, rel=0.1)
        assert abs(rate["fundingRate"]) < 0.0001
        assert len(await answer(client.fetch_funding_rate_history(PERP, limit=7))) == 7
        interest = await answer(client.fetch_open_interest(DOTTED))
        assert interest["openInterestValue"] > 0
        assert (await answer(client.fetch_status()))["status"] == "ok"
        # Its fetch_time() takes the first digit of the answer for the time; what it was told is right.
        assert await answer(client.fetch_time()) is not None
        told_ms = int(await answer(client.publicGetApiV1Time()))
        assert abs(told_ms - client.milliseconds()) < 60_000
        assert simulator.connections == 0


@pytest.mark.parametrize("price", [None, "mark", "index"])
async def test_ccxt_reads_candles_of_every_interval(price: str | None) -> None:
    async with exchange() as (client, _):
        since_ms = client.milliseconds() - 65 * 86_400_000  # two months begin since then
        for timeframe in TIMEFRAMES:
            parameters = {"price": price} if price else {}
            candles = await answer(client.fetch_ohlcv(SPOT, timeframe, since=since_ms, params=parameters))
            assert candles, timeframe
            times = [candle[0] for candle in candles]
            assert times == sorted(set(times))
            for _, first, high, low, last, volume in candles:
                assert 0 < low <= min(first, last) <= max(first, last) <= high
                assert (volume > 0) is (price is None)


async def test_ccxt_is_refused_in_words_that_it_knows() -> None:
    async with exchange() as (client, simulator):
        await answer(client.load_markets())
        with pytest.raises(ccxt.BadRequest, match="interval"):
            await answer(client.fetch_ohlcv(SPOT, "7m", since=0))
        simulator.faults.rate_limit_s = 5
        with pytest.raises(ccxt.RateLimitExceeded):
            await answer(client.fetch_ticker(SPOT))


async def test_ccxt_pro_watches_all_that_is_public() -> None:
    async with exchange() as (client, simulator):
        assert (await answer(client.watch_ticker(SPOT)))["symbol"] == SPOT
        assert SPOT in await answer(client.watch_tickers([SPOT, PERP]))
        quote = (await answer(client.watch_bids_asks([SPOT])))[SPOT]
        assert quote["bid"] < quote["ask"]
        assert (await answer(client.watch_trades(PERP)))[-1]["symbol"] == PERP
        candle = (await answer(client.watch_ohlcv(DOTTED, "1m")))[-1]
        assert candle[3] <= candle[4] <= candle[2]
        for _ in range(5):
            book = await answer(client.watch_order_book(PERP))
            assert book["bids"][0][0] < book["asks"][0][0], "levels that went were not taken away"
        assert simulator.connections == 1
