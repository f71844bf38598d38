"""The client of Backpack's REST API: over real sockets, with an exchange that misbehaves, and with the simulator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from exness_streams.market_data import rest
from exness_streams.market_data.market_rows import MarketInfo, PriceBands
from exness_streams.market_data.rest import TICKER_PATH, BackpackRest, Kline, RequestPace, RestFault, Top
from exness_streams.market_data.retry_after import RETRY_AFTER_S_MAX
from exness_streams.simulator.server import BackpackSimulator

MARKET = {
    "symbol": "SOL_USDC",
    "baseSymbol": "SOL",
    "quoteSymbol": "USDC",
    "marketType": "SPOT",
    "orderBookState": "Open",
    "createdAt": "2025-01-21T06:34:54.691858",
    "fundingInterval": None,
    "filters": {
        "price": {"tickSize": "0.010", "minPrice": "0.01", "maxPrice": None, "meanPremiumBand": {"a": [1]}},
        "quantity": {"minQuantity": "0.01", "stepSize": "0.01", "maxQuantity": None},
    },
}
KLINE = {
    "start": "2025-07-19 13:09:00", "end": "2025-07-19 13:10:00", "open": "118238", "high": "118297.6",
    "low": "118237.5", "close": "118294.60", "volume": "0.03473", "quoteVolume": "4106.558156", "trades": "12",
}  # fmt: skip
KLINE_S = 1_752_930_540


class FakeExchange:
    """Gives its answers in order, the last one again and again, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self.traded: list[int] = []
        self.klines_max = 0

    def will_say(self, *documents: Any) -> None:
        self.answers = [web.Response(body=json.dumps(document).encode()) for document in documents]

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query)))
        if self.traded:
            return web.Response(body=json.dumps(self._klines(request.query)).encode())
        template = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(body=template.body, status=template.status, headers=template.headers)

    def _klines(self, query: Any) -> list[Any]:
        first, end = int(query["startTime"]), int(query["endTime"])
        starts = [time_s for time_s in self.traded if first <= time_s < end][: self.klines_max]
        texts = [datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") for time_s in starts]
        return [{**KLINE, "start": text} for text in texts]


@asynccontextmanager
async def listening(fake: FakeExchange) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield
    await runner.cleanup()


@pytest.fixture
async def exchange() -> AsyncIterator[FakeExchange]:
    fake = FakeExchange()
    async with listening(fake):
        yield fake


@pytest.fixture
async def top_exchange() -> AsyncIterator[TopExchange]:
    fake = TopExchange()
    async with listening(fake):
        yield fake


def asking(exchange: FakeExchange, **settings: Any) -> BackpackRest:
    return BackpackRest(exchange.url, **{"retry_s": 0.0, **settings})


async def test_markets_keep_their_names_and_digits(exchange: FakeExchange) -> None:
    nulls = {"price": {"tickSize": None}, "quantity": None}
    exchange.will_say(
        [
            MARKET,
            {**MARKET, "symbol": "AAPL.US_USDC_PERP", "baseSymbol": "AAPL.US", "marketType": "PERP"},
            {**MARKET, "symbol": "kBONK_USDC", "baseSymbol": "kBONK", "filters": nulls, "orderBookState": "Closed"},
        ]
    )
    solana, apple, bonk = await asking(exchange).fetch_markets()
    sizes = (Decimal("0.010"), Decimal("0.01"), Decimal("0.01"))
    more = {"state": "Open", "bands": PriceBands(min_price=Decimal("0.01"))}
    assert solana == MarketInfo("SOL_USDC", "SOL", "USDC", "spot", *sizes, **more)
    assert str(solana.tick_size) == "0.010"
    assert apple == MarketInfo("AAPL.US_USDC_PERP", "AAPL.US", "USDC", "perp", *sizes, **more)
    assert bonk == MarketInfo("kBONK_USDC", "kBONK", "USDC", "spot", is_open=False, state="Closed")
    assert exchange.asked == [("/api/v1/markets", {})]


TICKER = {"symbol": "SOL_USDC", "lastPrice": "150.05", "firstPrice": "149"}
DEPTH = {"asks": [["150.10", "1"], ["150.20", "2"]], "bids": [["149.90", "3"], ["150.00", "1"], ["150.05", "0"]]}


class TopExchange(FakeExchange):
    """Answers a look by its paths, whichever comes first."""

    ticker: Any = TICKER
    depth: Any = DEPTH

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query)))
        told = self.ticker if request.path == TICKER_PATH else self.depth
        return told if isinstance(told, web.Response) else web.Response(body=json.dumps(told).encode())


async def test_the_best_prices_are_the_best_of_the_levels(top_exchange: TopExchange) -> None:
    assert await asking(top_exchange).fetch_top("SOL_USDC") == Top(
        Decimal("150.00"), Decimal("150.10"), Decimal("150.05")
    )
    assert sorted(top_exchange.asked) == [
        ("/api/v1/depth", {"symbol": "SOL_USDC", "limit": "5"}),
        ("/api/v1/ticker", {"symbol": "SOL_USDC"}),
    ]
    top_exchange.depth = {"asks": [], "bids": []}
    assert await asking(top_exchange).fetch_top("SOL_USDC") == Top(None, None, Decimal("150.05"))


@pytest.mark.parametrize(
    ("ticker", "depth"),
    [
        ({"lastPrice": None}, DEPTH),
        ({}, DEPTH),
        ({"lastPrice": "0"}, DEPTH),
        ({"lastPrice": "1e-30"}, DEPTH),
        ([], DEPTH),
        (TICKER, {"asks": [["1", "1"]], "bids": [["2", "1"]]}),
        (TICKER, {"asks": [["-1", "1"]], "bids": []}),
        (TICKER, {"asks": [["NaN", "1"]], "bids": []}),
        (TICKER, {"asks": []}),
        (TICKER, []),
    ],
)
async def test_best_prices_that_are_none_are_a_fault(top_exchange: TopExchange, ticker: Any, depth: Any) -> None:
    top_exchange.ticker, top_exchange.depth = ticker, depth
    with pytest.raises(RestFault, match="can't be used"):
        await asking(top_exchange).fetch_top("SOL_USDC")


async def test_best_prices_are_asked_for_once_and_not_before_the_exchange_wants_it(top_exchange: TopExchange) -> None:
    top_exchange.depth = web.Response(status=429, headers={"Retry-After": "60"})
    client = asking(top_exchange)
    with pytest.raises(RestFault, match="HTTP 429"):
        await client.fetch_top("SOL_USDC")
    asked = len(top_exchange.asked)
    assert asked <= 2
    with pytest.raises(RestFault, match="wants no request") as told:
        await client.fetch_top("SOL_USDC")
    assert told.value.retry_after_s is not None
    assert len(top_exchange.asked) == asked


async def test_the_simulator_s_best_prices_are_its_book_s() -> None:
    async with BackpackSimulator(rate=0) as simulator:
        simulator.set_price("SOL_USDC", Decimal("149.90"), Decimal("150.10"), Decimal("150.00"))
        top = await BackpackRest(simulator.rest_url).fetch_top("SOL_USDC")
    assert top == Top(Decimal("149.90"), Decimal("150.10"), Decimal("150.00"))


BAD_MARKETS: list[Any] = [
    1,
    None,
    [],
    {},
    {**MARKET, "symbol": None},
    {**MARKET, "symbol": "SOL USDC"},
    {**MARKET, "symbol": "\u001b[31m"},
    {**MARKET, "filters": {"price": {"tickSize": "-1"}}},
    {**MARKET, "filters": {"price": {"tickSize": "NaN"}}},
    {**MARKET, "filters": {"price": {"tickSize": "1e400"}}},
    {**MARKET, "filters": {"price": {"tickSize": "1e-400"}}},
    {**MARKET, "filters": {"price": {"tickSize": [1]}}},
    {**MARKET, "filters": 5},
]


async def test_a_market_that_cannot_be_read_is_counted_and_told_once(
    exchange: FakeExchange, caplog: pytest.LogCaptureFixture
) -> None:
    client = asking(exchange)
    for bad in BAD_MARKETS:
        exchange.will_say([bad, MARKET, bad])
        caplog.clear()
        assert [market.symbol for market in await client.fetch_markets()] == ["SOL_USDC"]
        (record,) = caplog.records
        assert "2 of 3 rows can't be read" in record.getMessage()
        assert record.getMessage().isprintable()
    assert client.skipped == 2 * len(BAD_MARKETS)


async def test_klines_are_exact_and_those_without_a_trade_left_out(exchange: FakeExchange) -> None:
    untraded = {**KLINE, "start": "2025-07-19 13:10:00", "open": None, "high": None, "low": None, "close": None}
    exchange.will_say([KLINE, untraded])
    client = asking(exchange)
    klines = await client.fetch_klines("BTC_USDC", "1m", KLINE_S - 30, KLINE_S + 120)
    assert klines[0] == Kline(
        KLINE_S, Decimal(118238), Decimal("118297.6"), Decimal("118237.5"), Decimal("118294.6"), Decimal("0.03473")
    )
    assert str(klines[0].close) == "118294.60"
    assert len(klines) == 1
    assert client.skipped == 0
    wanted = {"symbol": "BTC_USDC", "interval": "1m", "startTime": str(KLINE_S), "endTime": str(KLINE_S + 120)}
    assert exchange.asked[0] == ("/api/v1/klines", wanted)


@pytest.mark.parametrize("start", [KLINE_S, KLINE_S * 1000, "2025-07-19T13:09:00"])
async def test_the_start_of_a_kline_may_be_a_number(start: object, exchange: FakeExchange) -> None:
    nothing = {"start": "2025-07-19 13:10:00", "open": "0", "high": "0", "low": "0", "close": "0", "volume": "0"}
    exchange.will_say([{**KLINE, "start": start}, {**KLINE, **nothing}])
    client = asking(exchange)
    klines = await client.fetch_klines("BTC_USDC", "1m", KLINE_S, KLINE_S + 120)
    assert [kline.time_s for kline in klines] == [KLINE_S]
    assert client.skipped == 0, "an interval of zeros is one without a trade"


@pytest.mark.parametrize(
    "change",
    [
        {"start": None},
        {"start": "yesterday"},
        {"start": 17},
        {"open": "0"},
        {"open": "-1"},
        {"open": "NaN"},
        {"open": "1e999999999"},
        {"open": True},
        {"open": "118298"},
        {"close": "118237"},
        {"low": "118240"},
        {"volume": "-1"},
        {"volume": "Infinity"},
    ],
)
async def test_a_kline_that_cannot_be_read_is_skipped(change: dict[str, Any], exchange: FakeExchange) -> None:
    exchange.will_say([{**KLINE, **change}, {**KLINE, "start": "2025-07-19T13:10:00", "volume": "0"}])
    client = asking(exchange)
    klines = await client.fetch_klines("BTC_USDC", "1m", KLINE_S, KLINE_S + 120)
    assert [(kline.time_s, kline.volume) for kline in klines] == [(KLINE_S + 60, 0)]
    assert client.skipped == 1


async def test_klines_nobody_asked_for_are_dropped_and_the_others_sorted(exchange: FakeExchange) -> None:
    starts = ("13:12:00", "13:09:00", "13:11:00", "13:08:00", "13:10:00", "13:10:00")
    exchange.will_say([{**KLINE, "start": f"2025-07-19 {start}"} for start in starts])
    klines = await asking(exchange).fetch_klines("BTC_USDC", "1m", KLINE_S, KLINE_S + 180)
    assert [kline.time_s - KLINE_S for kline in klines] == [0, 60, 120]


@pytest.mark.parametrize(
    ("traded", "klines_max", "requests_max"),
    [
        (range(3_000), 1_000, 3),
        (range(3_000), 400, 8),  # fewer than were asked for: it goes on where the answer ended
        ([0, 1, 2_500], 1_000, 5),
        ([2_999], 1_000, 3),
    ],
)
async def test_a_long_range_is_asked_for_in_parts(
    traded: Sequence[int], klines_max: int, requests_max: int, exchange: FakeExchange
) -> None:
    exchange.traded = [KLINE_S + 60 * minute for minute in traded]
    exchange.klines_max = klines_max
    klines = await asking(exchange).fetch_klines("BTC_USDC", "1m", KLINE_S, KLINE_S + 3_000 * 60)
    assert [kline.time_s for kline in klines] == exchange.traded
    assert len(exchange.asked) <= requests_max
    for _, query in exchange.asked:
        assert 0 < int(query["endTime"]) - int(query["startTime"]) <= 1_000 * 60


async def test_requests_for_history_keep_the_pace(exchange: FakeExchange) -> None:
    class Counted(RequestPace):
        reserved = 0

        def reserve(self, now_s: float) -> float:
            self.reserved += 1
            return 0.0

    pace = Counted()
    exchange.will_say([])
    client = asking(exchange, pace=pace)
    assert await client.fetch_klines("BTC_USDC", "1m", KLINE_S, KLINE_S + 2_500 * 60) == []
    assert pace.reserved == len(exchange.asked) == 3
    await client.fetch_markets()
    assert pace.reserved == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b"not json", b"[", b"[1", b"\xff\xfe", b"[" * 100_000, b'"[]"', b"<html>\n<b>busy</b>\n"],
)
async def test_a_document_that_is_no_list_is_a_fault_in_one_line(body: bytes, exchange: FakeExchange) -> None:
    exchange.answers = [web.Response(body=body)]
    client = asking(exchange)
    for ask in (client.fetch_markets(), client.fetch_klines("SOL_USDC", "1m", 0, 60)):
        with pytest.raises(RestFault, match="the answer is not a JSON list") as caught:
            await ask
        assert str(caught.value).isprintable()
        assert exchange.url in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_busy_exchange_is_asked_again(status: int, exchange: FakeExchange) -> None:
    answer = web.Response(body=json.dumps([MARKET]).encode())
    exchange.answers = [web.Response(status=status), web.Response(status=status, headers={"Retry-After": "0"}), answer]
    assert len(await asking(exchange).fetch_markets()) == 1
    assert len(exchange.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_an_exchange_that_wants_to_be_left_alone_is(status: int, exchange: FakeExchange) -> None:
    exchange.answers = [web.Response(status=status, headers={"Retry-After": "999999"})]
    client = asking(exchange)
    with pytest.raises(RestFault, match="the exchange wants no request for 600 s more") as caught:
        await client.fetch_markets()
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= RETRY_AFTER_S_MAX, "and not for ever"
    with pytest.raises(RestFault, match="wants no request"):
        await client.fetch_klines("SOL_USDC", "1m", 0, 60)
    assert len(exchange.asked) == 1, "whatever is asked for, the exchange is not"


async def test_an_exchange_that_stays_busy_is_a_fault(exchange: FakeExchange) -> None:
    exchange.answers = [web.Response(status=503, text="come back\nlater \x1b[31m")]
    with pytest.raises(RestFault, match="HTTP 503 ") as caught:
        await asking(exchange).fetch_markets()
    assert str(caught.value).isprintable()
    assert len(exchange.asked) == rest.ATTEMPTS_MAX


@pytest.mark.parametrize("status", [204, 302, 400, 404, 418])
async def test_other_refusals_are_not_repeated(status: int, exchange: FakeExchange) -> None:
    exchange.answers = [web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(RestFault, match=f"HTTP {status}"):
        await asking(exchange).fetch_markets()
    assert len(exchange.asked) == 1


async def test_an_answer_without_end_is_a_fault(exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "BODY_BYTES_MAX", 1_000)
    exchange.answers = [web.Response(body=b" " * 1_001)]
    with pytest.raises(RestFault, match="larger than 1000 bytes"):
        await asking(exchange).fetch_markets()


async def test_nobody_there_and_nobody_answering_are_faults(exchange: FakeExchange) -> None:
    with pytest.raises(RestFault, match="it cannot be reached"):
        await BackpackRest("http://127.0.0.1:1").fetch_markets()
    async with silent_server() as url:
        with pytest.raises(RestFault, match=r"no answer within 0\.05 s"):
            await BackpackRest(url, timeout_s=0.05).fetch_markets()


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield "http://{}:{}".format(*server.sockets[0].getsockname())
    server.close()
    await server.wait_closed()


async def test_an_interval_that_is_none_is_misuse() -> None:
    with pytest.raises(ValueError, match="interval '1y' is not one of 1m, 3m"):
        await BackpackRest("http://127.0.0.1:1").fetch_klines("SOL_USDC", "1y", 0, 60)


@pytest.mark.parametrize(
    ("requests_max", "now_s", "waits_s"),
    [
        (2, [0, 0, 0, 0, 0], [0, 0, 60, 60, 120]),
        (2, [0, 10, 20, 130], [0, 0, 40, 0]),
        (1, [0, 59, 60, 500], [0, 1, 60, 0]),
    ],
)
def test_the_pace_leaves_no_window_with_too_many(requests_max: int, now_s: list[int], waits_s: list[int]) -> None:
    pace = RequestPace(requests_max, 60.0)
    assert [pace.reserve(now) for now in now_s] == waits_s


# With the simulator.

SYMBOLS = ("SOL_USDC", "SOL_USDC_PERP", "AAPL.US_USDC_PERP", "kBONK_USDC", "sol_usdc", "X-1_EUR")


@asynccontextmanager
async def simulating(**settings: Any) -> AsyncIterator[tuple[BackpackSimulator, BackpackRest]]:
    async with BackpackSimulator(SYMBOLS, close_grace_s=1, **settings) as simulator:
        yield simulator, BackpackRest(simulator.rest_url, retry_s=0.0, timeout_s=60.0)


async def test_every_symbol_is_listed_with_the_grid_that_its_prices_are_on() -> None:
    async with simulating(rate=200) as (simulator, client):
        markets = await client.fetch_markets()
        assert [market.symbol for market in markets] == list(SYMBOLS)
        kinds = {market.symbol: (market.base, market.quote, market.market_type) for market in markets}
        assert kinds["SOL_USDC"] == ("SOL", "USDC", "spot")
        assert kinds["AAPL.US_USDC_PERP"] == ("AAPL.US", "USDC", "perp")
        assert kinds["kBONK_USDC"] == ("kBONK", "USDC", "spot")
        assert kinds["sol_usdc"] == ("sol", "usdc", "spot")
        assert kinds["X-1_EUR"] == ("X-1", "EUR", "spot")
        for market in markets:
            bid = simulator.quote(market.symbol).bid
            assert bid is not None
            assert market.tick_size is not None
            assert bid % market.tick_size == 0
    assert client.skipped == 0


@pytest.mark.parametrize("symbol", SYMBOLS)
async def test_every_symbol_has_a_past_that_ends_at_its_price(symbol: str) -> None:
    async with simulating(rate=0) as (simulator, client):
        now_s = int(time.time())
        klines = await client.fetch_klines(symbol, "1m", now_s - 1_500 * 60, now_s + 60)
        assert len(klines) >= 1_499  # more than one request gives; a minute may just have begun
        assert all(after.time_s - before.time_s == 60 for before, after in pairwise(klines))
        assert klines[-1].close == simulator.quote(symbol).last
        simulator.set_price(symbol, None, None, klines[-1].close * 2)
        latest = await client.fetch_klines(symbol, "1h", now_s - 3_600, now_s + 120)
        assert latest[-1].close == latest[-1].high == klines[-1].close * 2


async def test_what_is_traded_is_in_the_newest_klines() -> None:
    async with simulating(rate=500) as (simulator, client):
        started_s = int(time.time()) // 60 * 60 - 60
        before = simulator.quote("SOL_USDC").last
        deadline_s = asyncio.get_running_loop().time() + 20
        while simulator.quote("SOL_USDC").last == before:
            assert asyncio.get_running_loop().time() < deadline_s, "nothing was traded"
            await asyncio.sleep(0.01)
        klines = await client.fetch_klines("SOL_USDC", "1m", started_s, started_s + 600)
        assert sum(kline.volume for kline in klines) > 0
        assert any(kline.low < kline.high for kline in klines)
        assert any(kline.open == before for kline in klines)


async def test_longer_intervals_agree_with_shorter_ones() -> None:
    async with simulating(rate=0) as (_, client):
        start_s = (int(time.time()) // 86_400 - 3) * 86_400
        days = await client.fetch_klines("SOL_USDC", "1d", start_s, start_s + 2 * 86_400)
        hours = await client.fetch_klines("SOL_USDC", "1h", start_s, start_s + 2 * 86_400)
        assert [day.time_s for day in days] == [start_s, start_s + 86_400]
        for nth, day in enumerate(days):
            parts = hours[24 * nth : 24 * (nth + 1)]
            assert (day.open, day.close) == (parts[0].open, parts[-1].close)
            assert (day.high, day.low) == (max(part.high for part in parts), min(part.low for part in parts))
            assert day.volume == sum(part.volume for part in parts)


async def test_a_market_is_as_old_as_its_listing() -> None:
    async with simulating(rate=0) as (_, client):
        now_s = int(time.time())
        days = await client.fetch_klines("SOL_USDC", "1d", now_s - 90 * 86_400, now_s + 60)
        assert 30 <= len(days) <= 31


@pytest.mark.parametrize(
    ("symbol", "interval", "said"),
    [("GONE_USDC", "1m", "Invalid market symbol"), ("SOL_USDC", "7m", "failed to parse parameter `interval`")],
)
async def test_what_the_simulator_does_not_have_it_refuses(
    symbol: str, interval: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulating(rate=0) as (_, client):
        monkeypatch.setattr("exness_streams.market_data.rest.INTERVALS_S", {**rest.INTERVALS_S, "7m": 420})
        with pytest.raises(RestFault, match=f"HTTP 400 .*{said}"):
            await client.fetch_klines(symbol, interval, 0, 60)


async def test_rest_that_is_down_on_demand() -> None:
    async with simulating(rate=0) as (simulator, client):
        simulator.faults.rest_down = True
        with pytest.raises(RestFault, match="HTTP 503 down on demand"):
            await client.fetch_markets()
        simulator.faults.rest_down = False
        assert len(await client.fetch_markets()) == len(SYMBOLS)
