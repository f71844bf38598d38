"""A whole platform in this process, in a thread of its own, and a client that sends anything at all."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web_app
from faust.types import AppT
from ports import free_port

from exness_streams.engine.engine import APP_ID
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.processes.engine_worker import Platform
from exness_streams.settings.platform import load_settings
from exness_streams.simulator.faults import MarketState
from exness_streams.simulator.server import BackpackSimulator
from exness_streams.transport.embedded.reader import LogReader

GIVE_UP_S = 60.0
POLL_S = 0.01
STARTED = (("SOL_USDC", "150.00", "150.10"), ("BTC_USDC", "65000.0", "65010.0"), ("ETH_USDC", "3500.00", "3501.00"))

OPEN = "/api/v1/positions/open"
CLOSE = "/api/v1/positions/close"
STATE = "/api/v1/state"


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body with its numbers as they are written."""
        return json.loads(self.body, parse_float=Decimal, parse_int=Decimal)


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true. TimeoutError when it never is."""
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_at_s:
        if found := condition():
            return found
        time.sleep(POLL_S)
    raise TimeoutError("it never came true")


def until_committed(log_dir: Path, topic: str = JOURNAL_TOPIC) -> None:
    """Wait until a topic is committed up to where it ends now: answers are given before (0025).

    For events: what histories take of them comes after the commit of the journal that gave them.
    """
    reader = LogReader(log_dir)

    def is_committed() -> bool:
        with reader.snapshot() as snapshot:
            return all((snapshot.committed(APP_ID, tp) or 0) >= end for tp, end in ends.items())

    with reader.snapshot() as snapshot:
        tps = [(topic, partition) for partition in range(snapshot.topics()[topic])]
        ends = {tp: snapshot.end(tp) for tp in tps}
    until(is_committed)


class PlatformThread:
    """A platform on simulated prices. Its prices stand still until a test moves them.

    past_minutes: how long its markets have been listed; the candles of a month are most of the work of a start.
    exchange: the markets that are listed, if other ones than those on offer. closed: those that are closed from the
    beginning, and of which nothing is sent.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        past_minutes: int = 90,
        exchange: Collection[str] = (),
        closed: Collection[str] = (),
        **settings: Any,
    ) -> None:
        self._past_minutes, self._exchange, self._closed = past_minutes, exchange, closed
        self.port = free_port()
        # A test asks as often as it likes, makes accounts at will, and moves prices as far as it likes.
        free = {"rate_limit": "", "address_rate_limit": "", "new_accounts_limit": "", "price_band": 0}
        self.settings = load_settings(data_dir=data_dir, port=self.port, **free | settings)
        self.platform: Platform | None = None
        self.failed: BaseException | None = None
        self._connections: set[socket.socket] = set()
        self._has_ended = False
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._until = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="platform")

    def start(self, without: Collection[str] = ()) -> PlatformThread:
        """Start it, and wait until all markets can be traded on, but for some. Raises what ended it instead."""
        # In one process the handle of a table, and RocksDB's lock with it, lives until it is collected: a platform that
        # was here before may still hold them.
        gc.collect()
        self._thread.start()
        until(lambda: self._ready.is_set() or not self._thread.is_alive())
        if not self._ready.is_set():
            raise self.failed or RuntimeError("the platform has ended")
        begun_ms = time.time_ns() // 1_000_000
        for symbol, bid, ask in (market for market in STARTED if market[0] not in without):
            self.set_price(symbol, bid, ask, told_from_ms=begun_ms)
        return self

    def stop(self) -> None:
        """Stop it and wait. Raises what made it fail."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._until.set)
            self._thread.join(GIVE_UP_S)
        if not self._thread.is_alive():
            self._let_go()
        if self.failed is not None:
            raise self.failed

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the platform's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(GIVE_UP_S)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call something in the platform's event loop."""

        async def call() -> Any:
            return function(*arguments)

        return self.run(call())

    def set_price(self, symbol: str, bid: str | None, ask: str | None, *, told_from_ms: int = 0) -> None:
        """Set the book of a market, and wait until orders would fill at it.

        told_from_ms: a quote from before says nothing. What a platform remembers as it starts may be this very book,
        and is followed by a first ticker without one.
        """
        wanted = [None if price is None else Decimal(price) for price in (bid, ask)]

        def is_there() -> bool:
            market = next(m for m in self.get("/api/v1/markets").json["markets"] if m["symbol"] == symbol)
            return [market["bid"], market["ask"]] == wanted and market["timestamp"] >= told_from_ms

        self.call(self.simulator.set_price, symbol, *wanted, Decimal(bid or ask or "1"))
        until(is_there)

    def get(self, path: str, account: str = "demo") -> Reply:
        """GET a path."""
        return self.send("GET", path, headers={"X-Account": account})

    def post(self, path: str, body: Any, account: str = "demo", key: str | None = None) -> Reply:
        """POST a body as JSON."""
        headers = {"X-Account": account, "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.send("POST", path, json.dumps(body).encode(), headers)

    def state(self, account: str = "demo") -> Any:
        """GET /api/v1/state."""
        return self.get(STATE, account).json

    def send(self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """Send anything: header values as latin-1, the body as it is."""
        connection = self.connection()
        connection.connect()
        client = connection.sock
        self._connections.add(client)
        try:
            if self._has_ended:  # but its port is still open
                raise ConnectionResetError
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers), response.read())
        finally:
            self._connections.discard(client)
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """A new one to the web server."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=GIVE_UP_S)

    def _let_go(self) -> None:
        """Of all that it was made of: Faust's signals and a cache of aiohttp's hold it while the process lives."""
        if self.platform is not None:
            signal, app = AppT.on_partitions_revoked, self.platform.engine.app
            signal._filter_receivers.pop(signal._create_id(app), None)
            if hasattr(web_app, "_cached_build_middleware"):  # not in every release
                web_app._cached_build_middleware.cache_clear()
            self.platform = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self.failed = self._loop.run_until_complete(self._serve())
        except Exception as error:
            self.failed = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._hang_up()

    def _hang_up(self) -> None:
        """The end of a process of its own would close the connections that it left open as it crashed."""
        self._has_ended = True
        for connection in list(self._connections):
            with suppress(OSError):  # it is closed by now
                connection.shutdown(socket.SHUT_RDWR)

    async def _serve(self) -> BaseException | None:
        symbols = self._exchange or self.settings.instruments
        async with BackpackSimulator(
            symbols, rate=0, ticker_interval_s=0.1, close_grace_s=1, past_minutes=self._past_minutes
        ) as simulator:
            self.simulator = simulator
            simulator.faults.states.update(dict.fromkeys(self._closed, MarketState.CLOSED))
            self.platform = Platform(self.settings, simulator.url, simulator.rest_url)

            async def on_ready() -> None:
                while not simulator.subscriptions:  # noqa: ASYNC110 - the simulator has no event for it
                    await asyncio.sleep(POLL_S)
                self._ready.set()

            return await self.platform.run(self._until, on_ready)
