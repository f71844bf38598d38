"""A stream by way of a worker that does not own the account, with a fake owner that does what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from event_loop import at_rest
from forwarding_worker import serving
from guards import API_KEY, guard, signed
from trading_samples import terms

from exness_streams.api.access.guard import FORWARDED
from exness_streams.api.access.rate_limits import RateLimits
from exness_streams.api.door import Door
from exness_streams.api.encoded_states import EncodedStates
from exness_streams.api.errors import ApiError, error_middleware
from exness_streams.api.forwarding import Forwarding
from exness_streams.api.market_list import MarketList
from exness_streams.api.stream import reader as stream_reader
from exness_streams.api.stream import relay as stream_relay
from exness_streams.api.stream.hub import DISPLACED, StreamHub
from exness_streams.api.stream.reader import BEHIND_BYTES
from exness_streams.api.stream.view import StreamViews
from exness_streams.domain.instruments import Catalogue
from exness_streams.messages import JOURNAL_TOPIC, PLAIN_TOPICS
from exness_streams.settings.access import AccessSettings
from exness_streams.transport.freshness import AlwaysFresh

GIVE_UP_S = 30.0

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


NO_RATES = RateLimits(AccessSettings(rate_limit="", address_rate_limit="", new_accounts_limit=""))
CATALOGUE = Catalogue([terms("SOL_USDC"), terms("BTC_USDC")])


@dataclass
class FakeOwner:
    """Another worker. serve: what it does with a stream before it closes it."""

    serve: Serve
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, dict(request.headers)))
        response = web.WebSocketResponse()
        await response.prepare(request)
        try:
            await self.serve(response)
        finally:
            self.left.set()
        return response


@dataclass
class Worker:
    """The worker that clients ask; `topics` says who owns the cells that it does not."""

    url: str
    hub: StreamHub
    topics: dict[str, Any]
    stopping: asyncio.Event


@asynccontextmanager
async def worker(owner_url: str | None, **limits: int) -> AsyncIterator[Worker]:
    topics: dict[str, Any] = {} if owner_url is None else {owner_url: {JOURNAL_TOPIC: list(range(8))}}
    stopping = asyncio.Event()
    own_guard = guard()
    web_app = web.Application(middlewares=[error_middleware, Door([]).middleware, own_guard.middleware])
    engine: Any = SimpleNamespace(
        app=SimpleNamespace(
            router=SimpleNamespace(external_topics_metadata=lambda: deepcopy(topics)),
            conf=SimpleNamespace(canonical_url="http://127.0.0.1:1"),
            should_stop=False,
            wait_until_stopped=stopping.wait,
        ),
        cells=(cells := SimpleNamespace(cell=lambda partition: None, quotes={})),
        fresh_cells=cells,
        partition_of=lambda account_id: int(account_id[-1]),
        is_shared=True,
        topics=PLAIN_TOPICS,
        feed_status=lambda: {"status": "unknown"},
    )

    def cell_of(account_id: str) -> None:
        raise ApiError(503, "REBALANCING", "the account is moving to another worker")

    accounts: Any = SimpleNamespace(cell_of=cell_of)
    hub = StreamHub(engine.cells, engine, engine.app, AlwaysFresh(), **limits)
    states, forwarding = EncodedStates(accounts, Decimal(60), quote_age_ms_max=5_000), Forwarding(engine, own_guard)
    markets = MarketList(CATALOGUE, SimpleNamespace(markets={}, standing=tuple), terms)
    StreamViews(accounts, states, engine.app, hub, forwarding, markets, NO_RATES).mount(web_app)
    async with serving(web_app) as url:
        yield Worker(url, hub, topics, stopping)


@asynccontextmanager
async def relayed(serve: Serve, **limits: int) -> AsyncIterator[tuple[FakeOwner, Worker]]:
    owner = FakeOwner(serve)
    owner_app = web.Application()
    owner_app.router.add_get("/ws", owner.answer)
    async with serving(owner_app) as owner_url, worker(owner_url, **limits) as there:
        yield owner, there


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0, **options) as socket:
        yield socket


async def goodbye(socket: aiohttp.ClientWebSocketResponse) -> tuple[Any, str]:
    """Code and reason of the close frame that comes next."""
    message = await socket.receive(GIVE_UP_S)
    assert message.type is WSMsgType.CLOSE, message
    return message.data, message.extra or ""


async def echo(response: web.WebSocketResponse) -> None:
    """Says every text again."""
    async for message in response:
        await response.send_str(f"again {message.data}")


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), GIVE_UP_S)


async def test_both_directions_pass_and_the_owner_learns_whom_it_is_for() -> None:
    async with relayed(echo) as (owner, there):
        key = API_KEY.format(account="a3")
        headers = {"Authorization": f"Bearer {key}", "X-Other": "no"}
        async with connected(
            f"{there.url}/ws?account=a3&numbers=string&symbols=SOL,BTC_USDC", headers=headers
        ) as socket:
            for text in ("one", '{"type":"resync"}', "\u2603" * 1000):
                await socket.send_str(text)
                assert (await socket.receive(GIVE_UP_S)).data == f"again {text}"
            assert len(there.hub) == 1
        await asyncio.wait_for(owner.left.wait(), GIVE_UP_S)
        await until(lambda: len(there.hub) == 0)
    [(path, sent)] = owner.seen
    assert path == "/ws?numbers=string&symbols=BTC_USDC,SOL_USDC"
    assert (sent["X-Account"], sent["Authorization"]) == ("a3", f"Bearer {key}")
    told = signed(sent[FORWARDED])
    assert (told["m"], told["p"], told["address"]) == ("GET", path, "127.0.0.1")
    assert "X-Other" not in sent


@pytest.mark.parametrize(("code", "reason"), [(1013, "too slow"), (1012, "moving"), (1001, ""), (4000, "x" * 120)])
async def test_the_owners_goodbye_is_passed_on(code: int, reason: str) -> None:
    async def serve(response: web.WebSocketResponse) -> None:
        await response.send_str("hello")
        await response.close(code=code, message=reason.encode())

    async with relayed(serve) as (_, there), connected(f"{there.url}/ws?account=a3") as socket:
        assert (await socket.receive(GIVE_UP_S)).data == "hello"
        assert await goodbye(socket) == (code, reason)


async def test_an_owner_that_dies_means_connect_again() -> None:
    async def serve(response: web.WebSocketResponse) -> None:
        transport: Any = response._req.transport  # type: ignore[union-attr]
        await response.send_str("hello")
        transport.abort()

    async with relayed(serve) as (_, there), connected(f"{there.url}/ws?account=a3") as socket:
        message = await socket.receive(GIVE_UP_S)
        if message.type is WSMsgType.TEXT:
            message = await socket.receive(GIVE_UP_S)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)


async def test_an_account_that_moves_means_connect_again() -> None:
    async with relayed(echo) as (_, there), connected(f"{there.url}/ws?account=a3") as socket:
        await socket.send_str("x")
        await socket.receive(GIVE_UP_S)
        (topics,) = there.topics.values()
        topics[JOURNAL_TOPIC].remove(3)
        assert (await goodbye(socket))[0] == 1012


async def test_a_worker_that_stops_says_goodbye_for_the_owner() -> None:
    async with relayed(echo) as (owner, there), connected(f"{there.url}/ws?account=a3") as socket:
        await socket.send_str("x")
        await socket.receive(GIVE_UP_S)
        there.stopping.set()
        assert (await goodbye(socket))[0] == 1012
        await asyncio.wait_for(owner.left.wait(), GIVE_UP_S)


async def refused(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


async def test_a_stream_is_passed_on_once_only() -> None:
    async with relayed(echo) as (owner, there):
        assert await refused(f"{there.url}/ws?account=a3", **{FORWARDED: "1"}) == 503
        assert not owner.seen


async def test_what_is_wrong_is_said_by_the_first_worker() -> None:
    async with relayed(echo) as (owner, there):
        assert await refused(f"{there.url}/ws?account=a!3") == 400
        assert await refused(f"{there.url}/ws?account=a3", Origin="http://elsewhere.example") == 403
        assert not owner.seen


async def test_without_an_owner_that_answers_there_is_no_upgrade() -> None:
    async with worker(None) as there:
        assert await refused(f"{there.url}/ws?account=a3") == 503
    async with worker("http://127.0.0.1:9") as there:
        assert await refused(f"{there.url}/ws?account=a3") == 503
    async with relayed(echo) as (_, there), worker(there.url) as first:
        assert await refused(f"{first.url}/ws?account=a3") == 503, "the owner was asked, and passes nothing on"


async def test_a_worker_that_is_full_says_so() -> None:
    async with (
        relayed(echo, readers_max=1) as (_, there),
        connected(f"{there.url}/ws?account=a3") as oldest,
        connected(f"{there.url}/ws?account=a4"),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.7", 0))) as elsewhere,
        elsewhere.ws_connect(f"{there.url}/ws?account=a5") as stranger,
    ):
        assert await goodbye(oldest) == (1013, DISPLACED)
        assert (await goodbye(stranger))[0] == 1013
        assert there.hub.refused == 1


async def test_a_slow_reader_slows_the_owner_down_and_loses_nothing() -> None:
    sent = 0
    total, size = 400, 64 * 1024

    async def serve(response: web.WebSocketResponse) -> None:
        nonlocal sent
        for number in range(total):
            await response.send_str(f"{number:<{size}}")
            sent = number + 1
        await response.close(code=1013, message=b"enough")

    async with relayed(serve) as (_, there), connected(f"{there.url}/ws?account=a3") as socket:
        await until(lambda: sent == total or any(reader.unread_bytes > BEHIND_BYTES for reader in there.hub._all))
        assert await at_rest(lambda: sent) < total, "what nobody reads was taken from the owner all the same"
        for number in range(total):
            assert int((await socket.receive(GIVE_UP_S)).data) == number
        assert await goodbye(socket) == (1013, "enough")


async def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader, "DRAIN_STALL_S", 0.2)
    monkeypatch.setattr(stream_reader, "CLOSE_GRACE_S", 0.05)
    monkeypatch.setattr(stream_relay, "LEAVE_S_MAX", 0.05)

    async def serve(response: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):
            while True:
                await response.send_str("x" * 100_000)

    async with relayed(serve) as (owner, there), connected(f"{there.url}/ws?account=a3"):
        await asyncio.wait_for(owner.left.wait(), GIVE_UP_S)
        await until(lambda: len(there.hub) == 0)
        assert there.hub.slow_closed == 1
