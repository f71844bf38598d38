"""The simulator over real sockets: what its clients see must be what Backpack's clients see."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from simulator_client import WAIT_S, client, data_where, subscribe
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from exness_streams.simulator import clients as simulator_clients
from exness_streams.simulator.clients import Client
from exness_streams.simulator.faults import GARBAGE, ScheduledFault, parse_faults
from exness_streams.simulator.server import BackpackSimulator

Books = dict[int, tuple[str, str]]
PARSE_ERROR = '{"id":null,"error":{"code":4002,"message":"Parse error"}}'
INVALID_STREAM = '{"id":null,"error":{"code":4006,"message":"Invalid stream"}}'


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[BackpackSimulator]:
    settings = {"rate": 100, "ticker_interval_s": 0.05, "close_grace_s": 2, **settings}
    async with BackpackSimulator(**settings) as simulator:
        yield simulator


async def frame(connection: ClientConnection) -> dict[str, Any]:
    envelope = json.loads(await asyncio.wait_for(connection.recv(), WAIT_S))
    assert isinstance(envelope, dict)
    return envelope


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, "it did not happen in time"
        await asyncio.sleep(0.005)


async def test_success_is_silent_and_each_stream_sends_its_own() -> None:
    async with serving(symbols=["SOL_USDC_PERP"]) as simulator:
        for kind in ("ticker", "bookTicker", "trade", "markPrice"):
            stream = f"{kind}.SOL_USDC_PERP"
            async with client(simulator, stream) as connection:
                for _ in range(3):
                    envelope = await frame(connection)
                    assert list(envelope) == ["data", "stream"]
                    assert envelope["stream"] == stream
                    assert (envelope["data"]["e"], envelope["data"]["s"]) == (kind, "SOL_USDC_PERP")


async def test_a_spot_market_has_no_mark_price_and_an_unknown_symbol_gets_neither_reply_nor_data() -> None:
    async with (
        serving() as simulator,
        client(simulator, "markPrice.SOL_USDC", "ticker.GONE_USDC", "depth.GONE_USDC") as connection,
        client(simulator, "ticker.SOL_USDC", "bookTicker.SOL_USDC", "trade.SOL_USDC") as other,
    ):
        await until(lambda: len(simulator.subscriptions) == 6)
        # Another client hears of several rounds of every kind; a request that is answered shows that the silence before
        # it was one.
        left = Counter({"ticker": 3, "bookTicker": 3, "trade": 3})
        while left.total() > 0:
            kind = (await frame(other))["data"]["e"]
            left[kind] = max(0, left[kind] - 1)
        await connection.send("?")
        assert await frame(connection) == json.loads(PARSE_ERROR)


async def test_a_stream_subscribed_to_twice_is_sent_once_and_unsubscribed_from_ends() -> None:
    async with serving() as simulator, client(simulator) as connection:
        for _ in range(3):
            await subscribe(connection, "bookTicker.SOL_USDC", "bookTicker.SOL_USDC")
        updates = [(await frame(connection))["data"]["u"] for _ in range(20)]
        assert len(set(updates)) == 20
        await connection.send('{"method":"UNSUBSCRIBE","params":["bookTicker.SOL_USDC"]}')
        await until(lambda: simulator.subscriptions == frozenset())
        await subscribe(connection, "ticker.SOL_USDC")
        await data_where(connection, lambda data: data["e"] == "ticker")
        for _ in range(3):
            assert (await frame(connection))["stream"] == "ticker.SOL_USDC"


@pytest.mark.parametrize(
    "stream",
    ["weather.SOL_USDC", "ticker", "SOL_USDC", "", "ticker.", "kline.7m.SOL_USDC", "kline.SOL_USDC", "kline.1m.",
     "depth.300ms.SOL_USDC", "depth.", "account.orderUpdate"],
)  # fmt: skip
async def test_an_unknown_stream_type_is_an_error_and_the_others_are_served(stream: str) -> None:
    async with serving() as simulator, client(simulator, stream, "ticker.SOL_USDC") as connection:
        assert await asyncio.wait_for(connection.recv(), WAIT_S) == INVALID_STREAM
        assert (await frame(connection))["stream"] == "ticker.SOL_USDC"


@pytest.mark.parametrize(
    "request_frame",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"method":"SUBSCRIBE"}',
        '{"method":"SUBSCRIBE","params":"ticker.SOL_USDC"}',
        '{"method":"SUBSCRIBE","params":[1]}',
        '{"method":"PING","params":[]}',
        "[" * 10_000,
        b"\xff\xff",
    ],
)
async def test_a_request_that_cannot_be_read_is_an_error_and_the_socket_stays_open(
    request_frame: str | bytes,
) -> None:
    async with serving() as simulator, client(simulator) as connection:
        await connection.send(request_frame)
        assert await asyncio.wait_for(connection.recv(), WAIT_S) == PARSE_ERROR
        await subscribe(connection, "ticker.SOL_USDC")
        assert (await frame(connection))["stream"] == "ticker.SOL_USDC"


async def test_event_times_and_update_ids_rise() -> None:
    async with serving(rate=2_000) as simulator, client(simulator, "bookTicker.SOL_USDC") as connection:
        books = [(await frame(connection))["data"] for _ in range(200)]
    for before, after in pairwise(books):
        assert before["T"] < after["T"]
        assert before["u"] < after["u"]
        assert after["T"] < after["E"]


async def test_the_same_seed_gives_the_same_books_whatever_the_rate_and_the_clients() -> None:
    async def books(rate: float, others: int, enough: Callable[[Books], bool]) -> Books:
        """Prices by update id, which counts the steps of the walk."""
        seen: Books = {}
        async with serving(seed=7, rate=rate) as simulator:
            connections = [await connect(simulator.url, proxy=None) for _ in range(others)]
            for connection in connections:
                await subscribe(connection, "bookTicker.SOL_USDC", "trade.SOL_USDC")
            async with client(simulator, "bookTicker.SOL_USDC") as connection:
                while not enough(seen):
                    data = (await frame(connection))["data"]
                    seen[data["u"]] = (data["b"], data["a"])
            for connection in connections:
                connection.transport.abort()
        return seen

    fast = await books(1_000, 2, lambda seen: len(seen) >= 300)
    slow = await books(500, 0, lambda seen: len(seen.keys() & fast.keys()) >= 100)
    assert all(slow[update] == fast[update] for update in slow.keys() & fast.keys())


async def test_a_pinned_price_is_sent_at_once_and_stays() -> None:
    async with (
        serving(ticker_interval_s=0.2) as simulator,
        client(simulator, "ticker.SOL_USDC", "bookTicker.SOL_USDC") as connection,
    ):
        await frame(connection)
        simulator.set_price("SOL_USDC", Decimal("99.90"), Decimal("100.10"))
        book = await data_where(connection, lambda data: data.get("b") == "99.90")
        assert book["a"] == "100.10"
        ticker = await data_where(connection, lambda data: data["e"] == "ticker")
        assert ticker["c"] == "100"
        # From now on nothing else is seen, by old clients and by new ones.
        async with client(simulator, "bookTicker.SOL_USDC") as newcomer:
            assert (await frame(newcomer))["data"]["b"] == "99.90"
        assert simulator.quote("SOL_USDC").bid == Decimal("99.90")
        simulator.set_price("SOL_USDC", None, Decimal("100.10"), Decimal("100"))
        book = await data_where(connection, lambda data: data["e"] == "bookTicker" and data["b"] is None)
        assert (book["B"], book["a"]) == (None, "100.10")
        simulator.release_price("SOL_USDC")
        book = await data_where(connection, lambda data: data["e"] == "bookTicker" and data["b"] is not None)
        assert Decimal("99") < Decimal(book["b"]) < Decimal("101")


async def test_a_jump_is_a_gap() -> None:
    async with serving(rate=0) as simulator, client(simulator, "bookTicker.SOL_USDC") as connection:
        await until(lambda: bool(simulator.subscriptions))
        simulator.jump("SOL_USDC", Decimal("0.8"))
        assert (await frame(connection))["data"]["b"] == "120.00"


async def test_prices_of_a_symbol_that_is_not_on_offer() -> None:
    simulator = BackpackSimulator()
    for use in (
        lambda: simulator.jump("GONE_USDC", Decimal(2)),
        lambda: simulator.set_price("GONE_USDC", Decimal(1), Decimal(2)),
        lambda: simulator.quote("GONE_USDC"),
    ):
        with pytest.raises(ValueError, match="'GONE_USDC' is not simulated; there are SOL_USDC"):
            use()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"symbols": ["SOL USDC"]}, "'SOL USDC' is not a symbol"),
        ({"rate": -1}, "rate -1 is not between 0"),
        ({"rate": float("nan")}, "rate nan is not between 0"),
        ({"schedule": parse_faults("jump:GONE_USDC:2@1")}, "'GONE_USDC' is not simulated"),
    ],
)
def test_what_cannot_be_simulated_is_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackpackSimulator(**settings)


async def test_dropped_connections_see_no_close_frame() -> None:
    async with serving() as simulator, client(simulator, "ticker.SOL_USDC") as connection:
        await frame(connection)
        simulator.drop_connections()
        with pytest.raises(ConnectionClosedError) as closed:
            while True:
                await asyncio.wait_for(connection.recv(), WAIT_S)
        assert closed.value.rcvd is None
        await until(lambda: simulator.connections == 0 and not simulator.subscriptions)


async def test_shutdown_sends_a_close_frame() -> None:
    async with serving() as simulator, client(simulator, "ticker.SOL_USDC") as connection:
        await frame(connection)
        await simulator.stop()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(connection.recv(), WAIT_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


async def test_scheduled_faults_come_and_go() -> None:
    schedule = parse_faults("silent@0+0.2,jump:SOL_USDC:0.5@0.1,null:SOL_USDC:bid@0.1")
    async with (
        serving(schedule=schedule) as simulator,
        client(simulator, "bookTicker.SOL_USDC") as connection,
    ):
        data = (await frame(connection))["data"]  # the first frame after the silence
        assert data["b"] is None
        assert Decimal("74") < Decimal(data["a"]) < Decimal("76")
        assert simulator.faults.silent is False
        assert simulator.faults.hidden_sides == {"SOL_USDC": "bid"}


async def test_scheduled_garbage_and_a_scheduled_drop_happen_to_whoever_is_there() -> None:
    seconds = [tenths / 10 for tenths in range(2, 100, 4)]
    schedule = parse_faults(" ".join(f"garbage@{at_s} drop@{at_s + 0.2}" for at_s in seconds))
    async with serving(schedule=schedule) as simulator, client(simulator) as connection:
        received = []
        with pytest.raises(ConnectionClosedError):
            while True:
                received.append(await asyncio.wait_for(connection.recv(), WAIT_S))
        await until(lambda: simulator.connections == 0)
    assert set(received) <= set(GARBAGE)


async def test_a_fault_that_fails_is_not_swallowed() -> None:
    simulator = BackpackSimulator(schedule=[ScheduledFault("explode", 0)])
    with pytest.raises(AttributeError, match="explode"):
        await asyncio.wait_for(simulator.serve_forever(), WAIT_S)


async def test_it_serves_until_cancelled() -> None:
    simulator = BackpackSimulator(ticker_interval_s=0.05, close_grace_s=2)
    task = asyncio.create_task(simulator.serve_forever())
    await until(lambda: not simulator.url.endswith(":0"))
    async with client(simulator, "ticker.SOL_USDC") as connection:
        await frame(connection)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT_S)


async def test_a_client_far_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        """Takes nothing, and knows whether it was cut."""

        aborted = False

        @property
        def transport(self) -> Connection:
            return self

        def abort(self) -> None:
            self.aborted = True

    monkeypatch.setattr(simulator_clients, "FRAMES_QUEUED_MAX", 3)
    connection = Connection()
    slow = Client(connection)  # type: ignore[arg-type]
    for _ in range(3):
        slow.put("frame")
    assert not connection.aborted
    slow.put("frame")
    assert connection.aborted


# What a websocket library hides is looked at on the bare socket.


async def upgraded(simulator: BackpackSimulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = simulator.url.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = base64.b64encode(b"0123456789abcdef").decode()
    writer.write(
        f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    assert head.startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def test_a_client_that_answers_no_ping_is_closed() -> None:
    async with serving(ping_interval_s=0.1, pong_timeout_s=0.1, close_grace_s=0.2) as simulator:
        reader, writer = await upgraded(simulator)
        received = await asyncio.wait_for(reader.read(), WAIT_S)
        opcodes = []
        while received:
            opcodes.append(received[0] & 0x0F)
            received = received[2 + received[1] :]
        assert opcodes == [0x9, 0x8]  # one Ping, then the Close
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_answers_pings_stays() -> None:
    async with (
        serving(ping_interval_s=0.05, pong_timeout_s=5) as simulator,
        client(simulator, "ticker.SOL_USDC") as connection,
    ):
        for _ in range(10):
            await frame(connection)
        assert simulator.connections_accepted == 1


async def http_get(simulator: BackpackSimulator, path: str) -> tuple[str, bytes]:
    host, port = simulator.rest_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
    body = await asyncio.wait_for(reader.read(), WAIT_S)
    writer.close()
    await writer.wait_closed()
    return head.decode(), body


async def test_plain_http_is_answered_on_the_same_port() -> None:
    async with serving() as simulator:
        head, body = await http_get(simulator, "/api/v1/status?x=1")
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert "Content-Type: application/json\r\n" in head
        assert json.loads(body)["status"] == "Ok"
        head, _ = await http_get(simulator, "/nothing")
        assert head.startswith("HTTP/1.1 404 ")


async def test_rest_may_be_down_while_the_websocket_works() -> None:
    async with (
        serving(schedule=parse_faults("rest_down@0")) as simulator,
        client(simulator, "ticker.SOL_USDC") as connection,
    ):
        await until(lambda: simulator.faults.rest_down)
        head, _ = await http_get(simulator, "/api/v1/markets")
        assert head.startswith("HTTP/1.1 503 ")
        assert (await frame(connection))["stream"] == "ticker.SOL_USDC"


async def test_refused_connections_see_503_and_are_accepted_again() -> None:
    async with serving() as simulator:
        simulator.faults.refuse = True
        head, _ = await http_get(simulator, "/")
        assert head.startswith("HTTP/1.1 503 ")
        simulator.faults.refuse = False
        async with client(simulator, "ticker.SOL_USDC") as connection:
            await frame(connection)
