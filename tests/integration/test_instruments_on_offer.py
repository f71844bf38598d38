"""Instruments of every kind of name, end to end: listed by the exchange, priced, marked up, and traded on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from platform_harness import OPEN, PlatformThread, until
from ports import free_port

from exness_streams.domain.market_facts import PriceBands
from exness_streams.processes.engine_worker import Platform
from exness_streams.settings.platform import load_settings
from exness_streams.simulator.server import BackpackSimulator

APPLE, BONK = "AAPL.US_USDC_PERP", "kBONK_USDC"
SYMBOLS = ("SOL_USDC", "BTC_USDC", "ETH_USDC", "SOL_USDC_PERP", APPLE, BONK)
TERMS = {APPLE: {"spreadRate": "0.01", "maxLeverage": 5, "feeRate": 0.001}, BONK: {"maintenanceMarginRate": 0.02}}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    started = PlatformThread(tmp_path_factory.mktemp("data"), instruments=SYMBOLS, terms=json.dumps(TERMS)).start()
    for symbol in SYMBOLS[3:]:
        first = started.simulator.quote(symbol)
        started.call(started.simulator.set_price, symbol, first.bid, first.ask)
    yield started
    started.stop()


def market(platform: PlatformThread, symbol: str) -> Any:
    return next(one for one in platform.get("/api/v1/markets").json["markets"] if one["symbol"] == symbol)


def test_all_are_on_offer_in_the_order_of_the_configuration(platform: PlatformThread) -> None:
    until(lambda: all(market(platform, symbol)["tradable"] for symbol in SYMBOLS))
    markets = platform.get("/api/v1/markets").json["markets"]
    assert [(one["symbol"], one["asset"]) for one in markets] == [
        ("SOL_USDC", "SOL"),
        ("BTC_USDC", "BTC"),
        ("ETH_USDC", "ETH"),
        ("SOL_USDC_PERP", "SOL"),
        (APPLE, "AAPL.US"),
        (BONK, "kBONK"),
    ]


def test_each_has_its_own_terms(platform: PlatformThread) -> None:
    apple, bonk, perpetual = market(platform, APPLE), market(platform, BONK), market(platform, "SOL_USDC_PERP")
    assert (apple["maxLeverage"], apple["feeRate"], apple["maintenanceMarginRate"]) == (5, Decimal("0.001"), 0)
    assert (apple["spreadRate"], bonk["spreadRate"]) == (Decimal("0.01"), 0)
    assert (bonk["maxLeverage"], bonk["feeRate"], bonk["maintenanceMarginRate"]) == (100, 0, Decimal("0.02"))
    assert (perpetual["maxLeverage"], perpetual["feeRate"]) == (100, 0)


def test_the_exchange_told_the_sizes(platform: PlatformThread) -> None:
    assert platform.platform is not None
    listings, catalogue = platform.platform.listings, platform.platform.engine.catalogue
    assert listings is not None
    until(listings.known.is_set)
    listed = {info.symbol: info for info in platform.run(platform.platform.rest.fetch_markets())}  # type: ignore[union-attr]
    assert set(listed) == set(SYMBOLS)
    for terms in catalogue:
        assert terms.tick_size is not None
        assert (terms.tick_size, terms.step_size) == (listed[terms.symbol].tick_size, listed[terms.symbol].step_size)
        shown = market(platform, terms.symbol)
        assert (shown["tickSize"], shown["stepSize"]) == (terms.tick_size, terms.step_size)
        info = listed[terms.symbol]
        assert shown["visible"] is info.is_visible is True
        assert (shown["priceBands"] is None) == (info.bands == PriceBands())
        assert shown["fundingInterval"] == info.funding_interval_ms
        for name, function in (("imfFunction", info.initial_margin), ("mmfFunction", info.maintenance_margin)):
            assert shown[name] == (
                None if function is None else {"type": function.kind, "base": function.base, "factor": function.factor}
            )
    perpetual = market(platform, "SOL_USDC_PERP")
    assert perpetual["fundingInterval"] is not None
    assert perpetual["imfFunction"]["type"] == "sqrt"
    spot = market(platform, "SOL_USDC")
    assert (spot["fundingInterval"], spot["imfFunction"], spot["mmfFunction"]) == (None, None, None)


def test_orders_fill_at_the_marked_up_quote_that_is_shown(platform: PlatformThread) -> None:
    platform.call(platform.simulator.set_price, APPLE, Decimal("0.5"), Decimal("0.50002"), Decimal("0.5"))
    shown = (Decimal("0.4975"), Decimal("0.5025201"), Decimal("0.5"))
    until(lambda: tuple(market(platform, APPLE)[name] for name in ("bid", "ask", "price")) == shown)
    body = {"margin": 100, "asset": "AAPL.US", "type": "long", "leverage": 5}
    opened = platform.post(OPEN, body, account="apple")
    assert opened.status == 201, opened.json
    assert (opened.json["symbol"], opened.json["entryPrice"]) == (APPLE, Decimal("0.5025201"))
    assert opened.json["markPrice"] == Decimal("0.4975")
    refused = platform.post(OPEN, {**body, "leverage": 6, "asset": APPLE}, account="apple")
    assert (refused.status, refused.json["error"]) == (400, "INVALID_LEVERAGE")
    short = platform.post(OPEN, {**body, "type": "short"}, account="apple")
    assert short.json["entryPrice"] == Decimal("0.4975")


def test_without_a_spread_the_quote_is_the_exchanges(platform: PlatformThread) -> None:
    platform.set_price("SOL_USDC", "149.99", "150.01")
    opened = platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"}, account="sol")
    assert opened.json["entryPrice"] == Decimal("150.01")


async def test_an_exchange_that_does_not_answer_leaves_the_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    caplog.set_level(logging.WARNING)
    silent = await asyncio.start_server(serve, "127.0.0.1", 0)
    silent_url = "http://{}:{}".format(*silent.sockets[0].getsockname())
    settings = load_settings(data_dir=tmp_path, port=free_port(), instruments=("SOL_USDC",))
    ready, stop = asyncio.Event(), asyncio.Event()
    async with BackpackSimulator(("SOL_USDC",), close_grace_s=1) as simulator:
        platform = Platform(settings, simulator.url, silent_url)

        async def on_ready() -> None:
            assert platform.listings is not None
            assert platform.listings.tried.is_set()
            ready.set()

        running = asyncio.create_task(platform.run(stop, on_ready))
        await asyncio.wait({running, asyncio.ensure_future(ready.wait())}, timeout=60, return_when="FIRST_COMPLETED")
        assert ready.is_set()
        assert platform.listings is not None
        assert not platform.listings.known.is_set()
        assert [(terms.symbol, terms.tick_size) for terms in platform.engine.catalogue] == [("SOL_USDC", None)]
        stop.set()
        assert await asyncio.wait_for(running, 60) is None
    silent.close()
    await silent.wait_closed()
    said = [record.getMessage() for record in caplog.records if record.name.endswith("listings")]
    assert said == ["the exchange's markets are not known, and are asked for again: no answer within 3 s"]
