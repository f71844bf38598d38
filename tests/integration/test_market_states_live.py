"""Markets that are not open, on a whole platform: by an operator's word, the exchange's, and when none offers them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from platform_harness import CLOSE, OPEN, PlatformThread, Reply, until

from exness_streams.simulator.faults import MarketState

MARKETS = "/api/v1/operator/markets"
SOL, BTC, ETH = "SOL_USDC", "BTC_USDC", "ETH_USDC"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path / "data")
    try:
        yield thread.start()
    finally:
        thread.stop()


def decide(platform: PlatformThread, symbol: str, state: str, **more: Any) -> Reply:
    return platform.post(MARKETS, {"symbol": symbol, "state": state, **more})


def stated(platform: PlatformThread, symbol: str) -> Any:
    return next(one for one in platform.get(MARKETS).json["markets"] if one["symbol"] == symbol)


def rows_of(platform: PlatformThread) -> Any:
    return platform.get("/api/v1/markets").json["markets"]


def row_of(platform: PlatformThread, symbol: str) -> Any:
    return next(one for one in rows_of(platform) if one["symbol"] == symbol)


def first_told(platform: PlatformThread, path: str, kind: str) -> Any:
    """The first message of a kind that a new stream gets."""

    async def ask() -> Any:
        url = f"http://127.0.0.1:{platform.port}{path}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as stream:
            async for message in stream:
                if (told := json.loads(message.data)).get("type") == kind:
                    return told
        raise ConnectionError("the stream has ended")

    return asyncio.run(asyncio.wait_for(ask(), 60))


def order(platform: PlatformThread, asset: str) -> Reply:
    return platform.post(OPEN, {"margin": 100, "asset": asset, "type": "long", "leverage": 2})


def why(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.json.get("error", ""), reply.json.get("details", {}).get("reason", "")


def test_an_operator_halts_closes_opens_and_settles_and_a_restart_keeps_it(
    platform: PlatformThread, tmp_path: Path
) -> None:
    position = order(platform, "SOL").json["positionId"]
    halted = decide(platform, "SOL", "halted")
    assert halted.status == 200
    assert halted.json["symbol"] == SOL
    assert (halted.json["state"], halted.json["stateReason"]) == ("halted", "operator")
    again = decide(platform, SOL, "halted")
    assert again.json == halted.json, "the same again changes nothing"
    assert stated(platform, SOL) == halted.json
    assert stated(platform, BTC)["state"] == "open"
    until(lambda: why(order(platform, "SOL")) == (503, "PRICE_UNAVAILABLE", "halted"))
    shown = row_of(platform, SOL)
    assert (shown["state"], shown["stateReason"], shown["tradable"]) == ("halted", "operator", False)
    assert shown["stateSince"] == halted.json["stateSince"]
    ready = platform.get("/readyz").json
    assert (ready["status"], ready["reasons"]) == ("degraded", ["SOL_USDC is halted: an operator has decided so"])
    assert all(one["stale"] for one in platform.state()["positions"])
    assert why(platform.post(CLOSE, {"positionId": position})) == (503, "PRICE_UNAVAILABLE", "halted")
    assert order(platform, "BTC").status == 201
    assert decide(platform, SOL, "close_only").json["state"] == "close_only"
    until(lambda: why(order(platform, "SOL")) == (503, "PRICE_UNAVAILABLE", "close_only"))
    closed = until(lambda: (reply := platform.post(CLOSE, {"positionId": position})).status == 200 and reply)
    assert closed.json["closePrice"] == 150
    assert decide(platform, SOL, "open").json["decided"] is None
    until(lambda: order(platform, "SOL").status == 201)
    settled = decide(platform, SOL, "settled", price="120.5")
    assert (settled.json["state"], settled.json["settlementPrice"]) == ("settled", Decimal("120.5"))
    assert settled.json["decided"]["price"] == Decimal("120.5")
    until(lambda: {one["symbol"] for one in platform.state()["positions"]} == {BTC})
    trade = platform.get("/api/v1/trades").json["trades"][0]
    assert (trade["reason"], trade["closePrice"]) == ("settlement", Decimal("120.5"))
    decide(platform, ETH, "halted")
    platform.stop()
    second = PlatformThread(tmp_path / "data")
    second.start(without=(SOL, ETH))
    try:
        assert stated(second, SOL) == settled.json
        assert stated(second, ETH)["state"] == "halted"
        until(lambda: why(order(second, "SOL")) == (503, "PRICE_UNAVAILABLE", "settled"))
        until(lambda: why(order(second, "ETH")) == (503, "PRICE_UNAVAILABLE", "halted"))
        for state in ("open", "halted", "close_only"):
            refused = decide(second, SOL, state)
            assert (refused.status, refused.json["error"]) == (409, "MARKET_SETTLED")
            assert refused.json["details"] == {"field": "state", "allowed": ["settled"]}
        assert decide(second, SOL, "settled").json == settled.json
        other = decide(second, SOL, "settled", price=1)
        assert (other.status, other.json["details"]["field"]) == (409, "price")
    finally:
        second.stop()


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"state": "halted"}, "symbol", "a string of 1 to 64 characters"),
        ({"symbol": SOL}, "state", '"open" or "close_only" or "halted" or "settled"'),
        ({"symbol": SOL, "state": "halt"}, "state", '"open" or "close_only" or "halted" or "settled"'),
        ({"symbol": SOL, "state": "suspended"}, "state", '"halted"'),
        ({"symbol": SOL, "state": "halted", "price": 1}, "price", 'with state "settled"'),
        ({"symbol": SOL, "state": "settled", "price": 0}, "price", "above 0"),
        ({"symbol": SOL, "state": "settled", "price": "1,5"}, "price", "decimal point"),
        ({"symbol": SOL, "state": "settled", "price": 1e13}, "price", "at most"),
        ({"symbol": SOL, "state": "open", "reason": "x"}, "reason", "accepts: symbol, state, price"),
    ],
)
def test_what_can_t_be_decided_is_refused(shared: PlatformThread, body: dict[str, Any], field: str, words: str) -> None:
    refused = shared.post(MARKETS, body)
    assert (refused.status, refused.json["error"], refused.json["details"]["field"]) == (400, "INVALID_REQUEST", field)
    assert words in refused.json["message"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("data"))
    try:
        yield thread.start()
    finally:
        thread.stop()


def test_an_unknown_market_is_refused_with_those_there_are(shared: PlatformThread) -> None:
    refused = decide(shared, "DOGE", "halted")
    assert (refused.status, refused.json["error"]) == (400, "UNKNOWN_ASSET")
    assert refused.json["details"]["allowed"] == ["BTC", BTC, "ETH", ETH, "SOL", SOL]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_who_comes_through_a_proxy_is_not_at_this_machine(shared: PlatformThread, name: str) -> None:
    body = json.dumps({"symbol": SOL, "state": "halted"}).encode()
    headers = {"Content-Type": "application/json", name: "127.0.0.1"}
    for refused in (shared.send("POST", MARKETS, body, headers), shared.send("GET", MARKETS, b"", headers)):
        assert (refused.status, refused.json["error"]) == (403, "FORBIDDEN")
    foreign = {"Content-Type": "application/json", "Origin": "https://evil.example"}
    assert shared.send("POST", MARKETS, body, foreign).status == 403
    assert stated(shared, SOL)["state"] == "open"


# -- the exchange's own word


def look_again(platform: PlatformThread) -> None:
    """As at the next time that the exchange is asked."""
    assert platform.platform is not None
    assert platform.platform.states is not None
    platform.run(platform.platform.states._ask())


def fault(platform: PlatformThread, symbol: str, state: str | None) -> None:
    states = platform.simulator.faults.states

    def become() -> None:
        states.pop(symbol, None)
        if state is not None:
            states[symbol] = MarketState(state)

    platform.call(become)
    look_again(platform)


@pytest.mark.parametrize(
    ("word", "state"),
    [("Closed", "halted"), ("CancelOnly", "halted"), ("LimitOnly", "close_only"), ("PostOnly", "close_only")],
)
def test_a_market_that_the_exchange_closes_is_not_traded_until_it_opens(
    shared: PlatformThread, word: str, state: str
) -> None:
    until(lambda: order(shared, "ETH").status == 201)
    position = shared.state()["positions"][0]["positionId"]
    fault(shared, ETH, word)
    until(lambda: stated(shared, ETH)["state"] == state)
    assert stated(shared, ETH)["stateReason"] == "exchange"
    until(lambda: why(order(shared, "ETH")) == (503, "PRICE_UNAVAILABLE", state))
    closed = shared.post(CLOSE, {"positionId": position})
    assert closed.status == (200 if state == "close_only" else 503)
    assert decide(shared, ETH, "open").json["state"] == state, "nobody opens what the exchange holds back"
    fault(shared, ETH, None)
    until(lambda: stated(shared, ETH)["state"] == "open")
    until(lambda: shared.post("/api/v1/positions/close-all", {}).status == 200)
    until(lambda: not shared.state()["positions"])


@pytest.mark.parametrize("is_new", [False, True])
def test_a_market_that_closed_while_nobody_looked_is_known_without_any_price_of_it(
    tmp_path: Path, is_new: bool
) -> None:
    if not is_new:
        first = PlatformThread(tmp_path / "data").start()
        assert order(first, "ETH").status == 201
        first.stop()
    second = PlatformThread(tmp_path / "data", closed=(ETH,))
    try:
        second.start(without=(ETH,))
        shown = until(lambda: (row := row_of(second, ETH))["state"] != "open" and row)
        assert (shown["state"], shown["stateReason"], shown["tradable"]) == ("halted", "exchange", False)
        assert (shown["price"] is None) == is_new
        until(lambda: "ETH_USDC is halted: so the exchange says" in second.get("/readyz").json["reasons"])
        assert stated(second, ETH)["stateReason"] == "exchange"
        assert why(order(second, "ETH")) == (503, "PRICE_UNAVAILABLE", "halted")
        fault(second, ETH, None)
        until(lambda: row_of(second, ETH)["state"] == "open")
    finally:
        second.stop()


# -- not offered any more


def test_what_stands_in_an_instrument_that_is_offered_no_more_can_be_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = PlatformThread(tmp_path / "data").start()
    position = order(first, "BTC").json["positionId"]
    first.stop()
    caplog.clear()
    left = [symbol for symbol in (SOL, BTC, ETH) if symbol != BTC]
    second = PlatformThread(tmp_path / "data", instruments=tuple(left), exchange=(SOL, BTC, ETH), price_band="0.1")
    try:
        second.start(without=(BTC,))
        said = [record.getMessage() for record in caplog.records if BTC in record.getMessage()]
        assert sum("not in EXNESS_INSTRUMENTS any more" in line for line in said) == 1
        assert stated(second, BTC)["stateReason"] == "not_offered"
        shown = until(lambda: (rows := rows_of(second))[-1]["stateSince"] and rows)
        assert [one["symbol"] for one in shown] == [SOL, ETH, BTC], "what is on offer comes first"
        assert shown[0].keys() == shown[2].keys()
        assert {name: shown[2][name] for name in ("state", "stateReason", "tradable", "asset", "tickSize")} == {
            "state": "close_only",
            "stateReason": "not_offered",
            "tradable": False,
            "asset": "BTC",
            "tickSize": Decimal("0.1"),
        }
        assert shown[2]["maxLeverage"] == shown[0]["maxLeverage"]
        assert second.get("/readyz").json["notes"] == ["BTC_USDC is close-only: it is not offered any more"]
        refused = order(second, "BTC")
        assert (refused.status, refused.json["error"]) == (400, "UNKNOWN_ASSET")
        second.call(second.simulator.set_price, BTC, Decimal(64_000), Decimal(64_010), Decimal(64_000))
        assert second.platform is not None
        quotes = second.platform.engine.cells
        until(lambda: quotes.quotes[BTC].bid == 64_000)
        assert [rows_of(second)[-1][side] for side in ("bid", "ask")] == [64_000, 64_010]
        told = first_told(second, f"/ws?symbols={BTC}", "market_state")
        assert (told["symbol"], told["state"], told["stateReason"]) == (BTC, "close_only", "not_offered")
        second.call(second.simulator.set_price, BTC, Decimal(30_000), Decimal(30_010), Decimal(30_000))
        until(lambda: stated(second, BTC)["state"] == "suspended")
        second.call(second.simulator.set_price, BTC, Decimal(64_000), Decimal(64_010), Decimal(64_000))
        until(lambda: row_of(second, BTC)["state"] == "close_only" and quotes.quotes[BTC].bid == 64_000)
        closed = until(lambda: (reply := second.post(CLOSE, {"positionId": position})).status == 200 and reply)
        assert closed.json["closePrice"] == 64_000
        until(lambda: BTC not in {one["symbol"] for one in second.get(MARKETS).json["markets"]})
        until(lambda: [one["symbol"] for one in rows_of(second)] == [SOL, ETH])
        until(lambda: second.get("/readyz").json["notes"] == [])
    finally:
        second.stop()
