"""The live stream of a whole platform: what it says, to whom, and in which order."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from platform_harness import CLOSE, OPEN, STARTED, PlatformThread, until
from stream_client import Book, StreamClient, exact, stream

from exness_streams.api.stream import hub as stream_hub
from exness_streams.api.stream.hub import DISPLACED, READERS_PER_ACCOUNT_MAX, StreamHub
from exness_streams.messages import EVENTS_TOPIC, SCHEMA_VERSION

PLACE, CANCEL, MODIFY = "/api/v1/orders/place", "/api/v1/orders/cancel", "/api/v1/positions/modify"
CLOSE_ALL, DEPOSIT, RESET = "/api/v1/positions/close-all", "/api/v1/account/deposit", "/api/v1/account/reset"
ORDER = {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), partitions=2, fee_rate="0.001")
    try:
        yield thread.start()
    finally:
        thread.stop()


@pytest.fixture
def account(platform: PlatformThread) -> str:
    return f"account-{next(_numbers)}"


def url_of(platform: PlatformThread) -> str:
    return f"http://127.0.0.1:{platform.port}"


def hub_of(platform: PlatformThread) -> StreamHub:
    assert platform.platform is not None
    hub = platform.platform.engine.cells._event_sink._sinks[-1]  # type: ignore[attr-defined]
    assert isinstance(hub, StreamHub)
    return hub


class Trader:
    """Asks for an account, without waiting in the test's event loop."""

    def __init__(self, platform: PlatformThread, account: str) -> None:
        self._platform, self._account = platform, account

    async def post(self, path: str, body: Any) -> Any:
        reply = await asyncio.to_thread(self._platform.post, path, body, self._account)
        assert reply.status in (200, 201), reply
        return reply.json

    async def state(self) -> Any:
        return await asyncio.to_thread(self._platform.state, self._account)


async def test_it_begins_with_the_state_the_market_and_the_feed(platform: PlatformThread, account: str) -> None:
    trader = Trader(platform, account)
    await trader.post(OPEN, ORDER)
    async with stream(url_of(platform), account) as client:
        await client.begin()
    state = await trader.state()
    connection, snapshot, *told, feed = client.received
    markets = [one for one in told if one["type"] == "market_data"]
    days = [one for one in told if one["type"] == "market_day"]
    assert [*markets, *days] == told
    assert connection == {"type": "connection", "message": "Connected to Exness Streams", "heartbeatMs": 10_000}
    assert snapshot == {"type": "state"} | state
    assert snapshot["sequence"] == 1
    shown = {
        market["symbol"]: market
        for market in (await asyncio.to_thread(platform.get, "/api/v1/markets")).json["markets"]
    }
    assert {market["symbol"] for market in markets} == set(shown)
    for market in markets:
        assert set(market) == {"type", "symbol", "price", "bid", "ask", "timestamp", "volume"}
        assert (market["bid"], market["ask"]) == (shown[market["symbol"]]["bid"], shown[market["symbol"]]["ask"])
    assert feed == {"type": "feed", "status": "connected", "reason": feed["reason"], "source": "simulated"}


async def test_events_are_those_of_the_topic_and_make_the_state(platform: PlatformThread, account: str) -> None:
    trader = Trader(platform, account)
    async with stream(url_of(platform), account) as client, stream(url_of(platform), account + "x") as other:
        book, _ = await client.begin(), await other.begin()
        await trade_a_little(trader)
        sequence = (await trader.state())["sequence"]
        while book.sequence < sequence:
            book.apply(await client.next(*EVENTS))
        assert book == Book(await trader.state())
        await other.socket.send_str('{"type":"ping"}')
        await other.next("pong")
    assert {event["type"] for event in client.events} == set(EVENTS) - {"OrderExpired"}

    def of_the_topic() -> list[Any]:
        return [event for event in published(platform) if event["accountId"] == account]

    await asyncio.to_thread(until, lambda: len(of_the_topic()) >= len(client.events))  # its commit may come later
    assert [{"schemaVersion": SCHEMA_VERSION} | event for event in client.events] == of_the_topic()
    assert not other.events, "events of another account"


EVENTS = (
    "PositionOpened", "PositionModified", "PositionClosed", "OrderPlaced", "OrderFilled", "OrderCancelled",
    "OrderExpired", "Deposited", "AccountReset",
)  # fmt: skip


async def trade_a_little(trader: Trader) -> None:
    """One of every event but an expiry."""
    position = (await trader.post(OPEN, ORDER))["positionId"]
    await trader.post(MODIFY, {"positionId": position, "stopLoss": 120, "takeProfit": "180.5"})
    await trader.post(CLOSE, {"positionId": position, "percentage": 40})
    order = await trader.post(PLACE, ORDER | {"kind": "limit", "price": 100})
    await trader.post(CANCEL, {"orderId": order["orderId"]})
    await trader.post(DEPOSIT, {"amount": "12.34567891"})
    await trader.post(PLACE, ORDER | {"kind": "limit", "price": "149.99", "asset": "SOL"})
    await asyncio.to_thread(trader._platform.set_price, "SOL_USDC", "149.90", "149.95")
    await asyncio.to_thread(trader._platform.set_price, "SOL_USDC", "150.00", "150.10")
    await trader.post(CLOSE_ALL, {})
    await trader.post(OPEN, ORDER)
    await trader.post(RESET, {"confirm": "RESET"})
    await trader.post(OPEN, ORDER)


def published(platform: PlatformThread) -> list[Any]:
    """All of trading-events."""
    assert platform.platform is not None
    log = platform.platform.engine.app.transport.log
    records = [record for p in range(2) for record in platform.run(log.read((EVENTS_TOPIC, p), 0, 10_000, 1 << 24))]
    return [exact(record.value) for record in records]


async def test_every_decimal_can_be_a_string(platform: PlatformThread, account: str) -> None:
    trader = Trader(platform, account)
    url = url_of(platform)
    async with stream(url, account) as numbers, stream(url, account, "&numbers=string") as strings:
        for client in (numbers, strings):
            await client.begin()
        await trader.post(OPEN, ORDER)
        event, as_strings = await numbers.next("PositionOpened"), await strings.next("PositionOpened")
    assert as_strings["quantity"] == str(event["quantity"])
    assert (as_strings["sequence"], as_strings["timestamp"]) == (event["sequence"], event["timestamp"])
    state, market = strings.received[1], strings.received[2]
    assert state["balances"] == {"USD": "10000", "SOL": "0"}
    assert isinstance(state["account"]["equity"], str)
    assert isinstance(market["bid"], str)
    assert market["timestamp"] == int(market["timestamp"])


async def test_market_data_follows_the_market(platform: PlatformThread, account: str) -> None:
    async with stream(url_of(platform), account) as client:
        await client.begin()
        await asyncio.to_thread(platform.set_price, "ETH_USDC", "3600.00", "3601.50")
        while (market := await client.next("market_data"))["ask"] != Decimal("3601.50"):
            pass
        assert (market["symbol"], market["bid"]) == ("ETH_USDC", Decimal("3600.00"))
    await asyncio.to_thread(platform.set_price, "ETH_USDC", "3500.00", "3501.00")


async def test_a_client_may_ask_for_a_snapshot_and_a_pong(platform: PlatformThread, account: str) -> None:
    async with stream(url_of(platform), account) as client:
        await client.begin()
        await Trader(platform, account).post(OPEN, ORDER)
        await client.next("PositionOpened")
        await client.socket.send_str('{"type":"resync"}')
        assert (await client.next("state"))["sequence"] == 1
        for odd in ("", "{}", "[]", "null", '{"type":"state"}', "\u2603", "[" * 2000, '{"type":"ping"'):
            await client.socket.send_str(odd)
            assert (await client.next("error"))["error"] == "INVALID_REQUEST"
        for twice in ('{"type":"resync","type":"ping"}', '{"type":"ping","a":{"type":1,"\\u0074ype":2}}'):
            await client.socket.send_str(twice)
            assert '"type" is given more than once' in (await client.next("error"))["message"]
        await client.socket.send_bytes(b'{"type":"ping"}')
        assert (await client.next("error"))["error"] == "INVALID_REQUEST"
        await client.socket.send_str('{"type":"ping"}')
        await client.next("pong")
        await client.socket.send_str(" " * 5000)
        assert (await client.closed())[0] == 1009


async def test_the_last_24_hours_come_with_the_market(platform: PlatformThread, account: str) -> None:
    await asyncio.to_thread(platform.set_price, "ETH_USDC", "3600.00", "3601.00")
    async with stream(url_of(platform), account) as client:
        await client.begin()
        days = [one for one in client.received if one["type"] == "market_day" and one["symbol"] == "ETH_USDC"]
        while not days or days[-1]["high24h"] < 3_600:
            days.append(await client.next("market_day"))
    day = days[-1]
    assert set(day) == {"type", "symbol", "open24h", "high24h", "low24h", "volume24h", "quoteVolume24h"}
    assert 0 < day["low24h"] <= day["open24h"] <= day["high24h"]
    assert day["volume24h"] > 0
    markets = (await asyncio.to_thread(platform.get, "/api/v1/markets")).json["markets"]
    listed = next(one for one in markets if one["symbol"] == day["symbol"])
    assert listed["high24h"] >= day["high24h"]
    assert listed["open24h"] == day["open24h"]
    assert listed["quoteVolume24h"] > listed["volume"]
    await asyncio.to_thread(platform.set_price, "ETH_USDC", "3500.00", "3501.00")


async def test_heartbeats_name_the_sequence(
    platform: PlatformThread, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "HEARTBEAT_MS", 0)
    async with stream(url_of(platform), account) as client:
        await client.begin()
        assert (await client.next("heartbeat"))["sequence"] == 0
        await Trader(platform, account).post(OPEN, ORDER)
        await client.next("PositionOpened")
        beat = await client.next("heartbeat")
    assert (beat["sequence"], set(beat)) == (1, {"type", "timestamp", "sequence"})


async def test_the_feed_is_told_when_it_changes(platform: PlatformThread, account: str) -> None:
    assert platform.platform is not None
    engine = platform.platform.engine
    truth = engine.feed_status
    async with stream(url_of(platform), account) as client:
        await client.begin()
        try:
            engine.feed_status = lambda: {"status": "stale", "reason": "silence", "since": 1, "source": "simulated"}
            told = {"type": "feed", "status": "stale", "reason": "silence", "source": "simulated"}
            assert await client.next("feed") == told
        finally:
            engine.feed_status = truth
        assert (await client.next("feed"))["status"] == "connected"


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("?account=a%20b", {}, 400, "INVALID_REQUEST"),
        ("?account=", {}, 400, "INVALID_REQUEST"),
        ("", {"X-Account": "a/b"}, 400, "INVALID_REQUEST"),
        ("?numbers=words", {}, 400, "INVALID_REQUEST"),
        ("", {"Origin": "http://elsewhere.example"}, 403, "FORBIDDEN"),
        ("", {"Origin": "null"}, 403, "FORBIDDEN"),
        ("", {"Sec-WebSocket-Version": "12"}, 426, "UPGRADE_REQUIRED"),
        ("", {"Upgrade": "h2c"}, 426, "UPGRADE_REQUIRED"),
    ],
)
def test_what_is_wrong_is_said_before_the_upgrade(
    platform: PlatformThread, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    reply = platform.send("GET", f"/ws{query}", headers=asked | headers)
    assert (reply.status, reply.json["error"]) == (status, code), reply


async def test_the_header_names_the_account_too_and_pages_of_this_host_may(platform: PlatformThread) -> None:
    name = f"account-{next(_numbers)}"
    headers = {"X-Account": name, "Origin": url_of(platform)}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url_of(platform)}/ws", headers=headers) as ws:
        client = StreamClient(ws)
        await client.next("connection")
        assert (await client.next("state"))["account"]["accountId"] == name


@pytest.mark.parametrize(
    ("path", "symbols"),
    [
        ("/ws", {"SOL_USDC", "BTC_USDC", "ETH_USDC"}),
        ("/ws?symbols=SOL", {"SOL_USDC"}),
        ("/ws?symbols=ETH_USDC,%20SOL,SOL_USDC,", {"SOL_USDC", "ETH_USDC"}),
        ("/", {"SOL_USDC"}),
        ("", {"SOL_USDC"}),
        ("/?symbols=BTC", {"BTC_USDC"}),
    ],
)
async def test_market_data_of_the_symbols_that_are_asked_for(
    platform: PlatformThread, account: str, path: str, symbols: set[str]
) -> None:
    headers = {"X-Account": account}
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url_of(platform) + path) as ws:
        client = StreamClient(ws)
        await client.begin(len(symbols))
        prices = {"SOL_USDC": ("151", "152"), "BTC_USDC": ("65001", "65011"), "ETH_USDC": ("3501", "3502")}
        for symbol in (*sorted(set(prices) - symbols), *sorted(symbols)):  # theirs last
            await asyncio.to_thread(platform.set_price, symbol, *prices[symbol])
        begun = len(client.received)
        while {one["symbol"] for one in client.received[begun:] if one["type"] == "market_data"} != symbols:
            await client.next("market_data")
        seen = {one["symbol"] for one in client.received if one["type"] in ("market_data", "market_day")}
        await Trader(platform, account).post(DEPOSIT, {"amount": 5})
        assert (await client.next("Deposited"))["accountId"] == account  # events are not filtered
    for symbol, bid, ask in STARTED:
        await asyncio.to_thread(platform.set_price, symbol, bid, ask)
    assert seen == symbols


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("symbols=DOGE", "UNKNOWN_ASSET", 'unknown symbols "DOGE"; on offer are: BTC, BTC_USDC'),
        ("symbols=SOL,DOGE", "UNKNOWN_ASSET", '"DOGE"'),
        ("symbols=sol%00", "UNKNOWN_ASSET", "unknown symbols"),
        ("symbols=", "INVALID_REQUEST", '"symbols" names none'),
        ("symbols=,%20,", "INVALID_REQUEST", '"symbols" names none'),
        ("symbols=SOL&symbols=BTC", "INVALID_REQUEST", "more than once"),
        ("symbol=SOL", "INVALID_REQUEST", 'Did you mean "symbols"?'),
    ],
)
@pytest.mark.parametrize("path", ["/ws", "/"])
async def test_symbols_that_can_not_be_are_told(
    platform: PlatformThread, path: str, query: str, error: str, words: str
) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    reply = await asyncio.to_thread(platform.send, "GET", f"{path}?{query}", b"", upgrade)
    assert (reply.status, reply.json["error"]) == (400, error)
    assert words in reply.json["message"]


async def test_an_account_has_so_many_streams_and_no_more(platform: PlatformThread, account: str) -> None:
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(READERS_PER_ACCOUNT_MAX):
            client = await stack.enter_async_context(stream(url_of(platform), account))
            await client.begin()
            clients.append(client)
        one_more = await stack.enter_async_context(stream(url_of(platform), account))
        await one_more.begin()
        assert await clients[0].closed() == (1013, DISPLACED)
        # Another address takes none of these away.
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.7", 0))
        async with (
            aiohttp.ClientSession(connector=elsewhere, headers={"X-Account": account}) as session,
            session.ws_connect(f"{url_of(platform)}/ws") as ws,
        ):
            code, reason = await StreamClient(ws).closed()
        assert (code, "64" in reason) == (1013, True)
        async with stream(url_of(platform), account + "x") as other:
            await other.begin()
    hub = hub_of(platform)
    await asyncio.to_thread(until, lambda: len(hub) == 0)
    async with stream(url_of(platform), account) as client:
        await client.begin()


async def test_a_cell_that_moves_sends_its_readers_elsewhere(platform: PlatformThread, account: str) -> None:
    assert platform.platform is not None
    partition = platform.platform.engine.partition_of(account)
    async with stream(url_of(platform), account) as client:
        await client.begin()
        await asyncio.to_thread(platform.call, hub_of(platform).dropped, 1 - partition)
        await client.socket.send_str('{"type":"ping"}')
        await client.next("pong")
        await asyncio.to_thread(platform.call, hub_of(platform).dropped, partition)
        assert (await client.closed())[0] == 1012


async def test_metrics_tell_of_the_streams(platform: PlatformThread, account: str) -> None:
    async with stream(url_of(platform), account) as client:
        await client.begin()
        text = (await asyncio.to_thread(platform.get, "/metrics")).body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("exness_stream"))
    assert float(lines["exness_stream_clients"]) >= 1
    assert float(lines['exness_stream_messages_total{type="state"}']) >= 1
    assert "exness_stream_slow_closed_total" in lines
    assert 'outcome="101"' not in text, "how long a client stays is no duration of an answer"


async def test_a_platform_that_stops_says_goodbye(tmp_path: Path) -> None:
    platform = await asyncio.to_thread(PlatformThread(tmp_path / "data").start)
    try:
        async with stream(url_of(platform), "a") as polite, stream(url_of(platform), "b", autoclose=False) as rude:
            await polite.begin()
            await rude.begin()
            stopping = asyncio.create_task(asyncio.to_thread(platform.stop))
            assert (await polite.closed())[0] == 1012
            assert (await rude.closed())[0] == 1012
            await stopping
    finally:
        await asyncio.to_thread(platform.stop)


# Under load


@asynccontextmanager
async def traders(platform: PlatformThread, accounts: list[str]) -> AsyncIterator[None]:
    """Accounts that trade, and a market that moves, inside the context."""
    rng, ending = random.Random(7), asyncio.Event()

    async def trade(session: aiohttp.ClientSession, account: str) -> None:
        async def post(path: str, body: Any) -> Any:
            async with session.post(url_of(platform) + path, json=body, headers={"X-Account": account}) as answer:
                return await answer.json()

        while not ending.is_set():
            opened = await post(OPEN, ORDER | {"stopLoss": "149.97", "type": "long"})
            await post(PLACE, ORDER | {"kind": "limit", "price": "149.96", "takeProfit": "151"})
            if rng.random() < 0.3:
                await post(CLOSE_ALL, {})
            elif "positionId" in opened:
                await post(CLOSE, {"positionId": opened["positionId"], "percentage": 50})
            if rng.random() < 0.05:
                await post(RESET, {"confirm": "RESET"})

    async def move() -> None:
        while not ending.is_set():
            bid = Decimal(15_000 - rng.randrange(10)) / 100
            await asyncio.to_thread(
                platform.call, platform.simulator.set_price, "SOL_USDC", bid, bid + Decimal("0.01"), bid
            )
            await asyncio.sleep(0.01)

    async with aiohttp.ClientSession() as session:
        running = [asyncio.create_task(trade(session, account)) for account in accounts]
        running.append(asyncio.create_task(move()))
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*running)
            await asyncio.to_thread(rest, platform)


def rest(platform: PlatformThread) -> None:
    """The market comes to rest where nothing waits for it, and every cell knows: no event comes any more."""
    platform.set_price("SOL_USDC", "150.00", "150.10")
    assert platform.platform is not None
    cells = platform.platform.engine.cells
    until(lambda: all(cells.cell(number).quotes["SOL_USDC"].ask == Decimal("150.10") for number in cells.partitions))


async def test_no_reader_misses_an_event_however_it_joins(platform: PlatformThread) -> None:
    accounts = [f"busy-{next(_numbers)}" for _ in range(4)]
    clients: list[tuple[StreamClient, Book]] = []

    async def follow(account: str, stack: AsyncExitStack) -> None:
        client = await stack.enter_async_context(stream(url_of(platform), account))
        book = await client.begin()
        clients.append((client, book))
        while not (client.received and client.received[-1].get("type") == "pong"):
            message = await client.read()
            assert message is not None, (client.close_code, client.close_reason)
            if "eventId" in message:
                book.apply(message)
            elif message["type"] == "state":
                assert Book(message) == book

    async with AsyncExitStack() as stack:
        async with traders(platform, accounts):
            following = []
            for number in range(40):
                following.append(asyncio.create_task(follow(accounts[number % 4], stack)))
                await asyncio.sleep(0.03)
                if clients:
                    await clients[number // 2 % len(clients)][0].socket.send_str('{"type":"resync"}')
        for client, _ in clients:
            await client.socket.send_str('{"type":"ping"}')
        await asyncio.gather(*following)
    states = {account: Book(await Trader(platform, account).state()) for account in accounts}
    for (_, book), account in ((one, one[0].received[1]["account"]["accountId"]) for one in clients):
        assert book == states[account]
    begun_at = {client.received[1]["sequence"] for client, _ in clients}
    assert len(begun_at) > 4, "they joined at different moments"
    assert all(book.sequence > 0 for _, book in clients)
    await asyncio.to_thread(platform.set_price, "SOL_USDC", "150.00", "150.10")
