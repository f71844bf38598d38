"""A Backpack server for demos and tests: real protocol, real socket, invented prices, faults on demand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from exness_streams.domain.instruments import is_symbol
from exness_streams.simulator.clients import Clients
from exness_streams.simulator.faults import GARBAGE, Faults, ScheduledFault
from exness_streams.simulator.frames import (
    book_ticker_frame,
    mark_price_frame,
    ticker_frame,
    trade_frame,
)
from exness_streams.simulator.history import PAST_MINUTES
from exness_streams.simulator.market import SimulatedMarket, SimulatedQuote, listing_of
from exness_streams.simulator.rest import SimulatedRest

logger = logging.getLogger(__name__)

DEFAULT_SYMBOLS = ("SOL_USDC", "BTC_USDC", "ETH_USDC")

RATE_MAX = 100_000
REQUEST_BYTES_MAX = 1 << 16

_BATCH_INTERVAL_S_MIN = 0.005
_STEPS_PER_TURN = 100


class BackpackSimulator:
    """A server that speaks Backpack's public protocols for `symbols`: websocket, and REST on the same port.

    Given `seed`, each symbol's sequence of prices is the same in every run, whoever listens; event times are
    the clock's. Raises ValueError for a symbol, rate or schedule that cannot be simulated.

    rate: book updates per second and symbol; 0: the books stand still. ticker_interval_s: of `ticker` and
    `markPrice`. port 0: any free one, see `url` once started.
    ping_interval_s, pong_timeout_s: a Ping goes out so often, and without a Pong in time the connection is
    closed (120 s after the last one, by default). close_grace_s: for clients to answer the Close at the end.
    schedule: faults that come by the clock; `faults` may also be set at any time.
    past_minutes: how long the markets have been listed when it starts, and so have candles.
    """

    def __init__(
        self,
        symbols: Iterable[str] = DEFAULT_SYMBOLS,
        *,
        seed: int = 1,
        rate: float = 10.0,
        host: str = "127.0.0.1",
        port: int = 0,
        ticker_interval_s: float = 1.0,
        ping_interval_s: float = 60.0,
        pong_timeout_s: float = 60.0,
        close_grace_s: float = 30.0,
        compression: bool = True,
        schedule: Iterable[ScheduledFault] = (),
        past_minutes: int = PAST_MINUTES,
    ) -> None:
        self.seed = seed
        self._markets = {symbol: SimulatedMarket(listing_of(symbol), seed) for symbol in symbols}
        self._schedule = tuple(schedule)
        self._rate = rate
        self._host, self._port = host, port
        self._ticker_interval_s = ticker_interval_s
        self._ping_interval_s, self._pong_timeout_s = ping_interval_s, pong_timeout_s
        self._close_grace_s = close_grace_s
        self._compression = compression
        self._rest = SimulatedRest(self._markets, seed, past_minutes)
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.faults = Faults()
        self._clients = Clients(self.faults)
        self._check()

    def _check(self) -> None:
        for symbol in self._markets:
            if not is_symbol(symbol):
                raise ValueError(f"{symbol!r} is not a symbol")
        if not 0 <= self._rate <= RATE_MAX:
            raise ValueError(f"rate {self._rate} is not between 0 and {RATE_MAX} updates a second")
        for fault in self._schedule:
            if fault.symbol:
                self._market(fault.symbol)

    def resume(self, bids: Mapping[str, Decimal]) -> None:
        """Before the start: markets go on from these bids; one that is not named begins as ever. ValueError."""
        for symbol, bid in bids.items():
            self._market(symbol).resume(bid)

    async def start(self) -> None:
        """Listens, and lets the markets move. Raises OSError when the port is taken."""
        self._server = await serve(
            self._clients.serve,
            self._host,
            self._port,
            process_request=self._process_request,
            compression="deflate" if self._compression else None,
            ping_interval=self._ping_interval_s,
            ping_timeout=self._pong_timeout_s,
            close_timeout=self._close_grace_s,
            max_size=REQUEST_BYTES_MAX,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        self._rest.begin(int(time.time()))
        work = [self._send_tickers(), self._follow_schedule()]
        if self._rate:
            work.append(self._move_books())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]
        logger.info("simulated Backpack on %s: %s", self.url, ", ".join(self._markets))

    async def stop(self) -> None:
        """Sends Close frames, and waits for the clients to answer them. Raises what a task has raised."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        server.close()
        await server.wait_closed()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def __aenter__(self) -> BackpackSimulator:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def serve_forever(self) -> None:
        """Starts, and serves until cancelled."""
        async with self:
            await asyncio.gather(*self._tasks)

    @property
    def url(self) -> str:
        """Where clients connect, `ws://host:port`."""
        return f"ws://{self._authority}"

    @property
    def rest_url(self) -> str:
        """Where plain HTTP requests go, `http://host:port`."""
        return f"http://{self._authority}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols on offer."""
        return tuple(self._markets)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._clients)

    @property
    def connections_accepted(self) -> int:
        """How many clients have ever connected."""
        return self._clients.accepted

    @property
    def subscriptions(self) -> frozenset[str]:
        """The streams that somebody is subscribed to now."""
        return self._clients.subscriptions

    def quote(self, symbol: str) -> SimulatedQuote:
        """The symbol's prices now. Raises ValueError for a symbol that is not on offer."""
        return self._market(symbol).quote()

    def set_price(self, symbol: str, bid: Decimal | None, ask: Decimal | None, last: Decimal | None = None) -> None:
        """Pins the book, and sends it and a ticker at once. None: an empty side. last defaults to the middle.

        The prices stay until `release_price`; the book is sent again with every ticker, as its quantities
        change. Raises ValueError for prices off the tick grid or crossed.
        """
        market = self._market(symbol)
        market.pin(bid, ask, last)
        self._announce(market)

    def release_price(self, symbol: str) -> None:
        """Lets a pinned symbol walk again."""
        self._market(symbol).release()

    def jump(self, symbol: str, factor: Decimal) -> None:
        """A gap: every price of the symbol times `factor`, sent at once. Raises ValueError for factor ≤ 0."""
        market = self._market(symbol)
        market.jump(factor)
        self._announce(market)

    def drop_connections(self) -> None:
        """Ends every connection without a Close frame."""
        self._clients.cut_all()

    def send_garbage(self) -> None:
        """Sends each of the GARBAGE frames to every client."""
        for frame in GARBAGE:
            self._clients.put_all(frame)

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def _market(self, symbol: str) -> SimulatedMarket:
        market = self._markets.get(symbol)
        if market is None:
            raise ValueError(f"{symbol!r} is not simulated; there are {', '.join(self._markets)}")
        return market

    async def _move_books(self) -> None:
        """Moves every market `rate` times a second: many steps at a time where the timer is too coarse."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        steps = 0
        while True:
            await asyncio.sleep(max(1 / self._rate, _BATCH_INTERVAL_S_MIN))
            due = int((loop.time() - started_s) * self._rate) - steps
            if due > self._rate + 1:
                # The process was paused: go on from now, and do not make up for the lost time.
                started_s = loop.time() - steps / self._rate
                due = 1
            for count in range(1, due + 1):
                for market in self._markets.values():
                    self._move(market)
                if count % _STEPS_PER_TURN == 0:
                    await asyncio.sleep(0)
            steps += due

    def _move(self, market: SimulatedMarket) -> None:
        if market.pinned:
            return
        trade = market.step()
        if trade is not None:
            self._rest.record(market, trade.quantity)
        stream = f"trade.{market.symbol}"
        if trade is not None and self._clients.wants(stream):
            self._clients.deliver(stream, trade_frame(market, trade, self._event_us(market)))
        self._send_book(market)

    async def _send_tickers(self) -> None:
        while True:
            await asyncio.sleep(self._ticker_interval_s)
            for market in self._markets.values():
                if market.pinned:
                    market.new_quantities()
                    self._send_book(market)
                self._send_ticker(market)

    def _announce(self, market: SimulatedMarket) -> None:
        self._rest.record(market, 0)
        self._send_book(market)
        self._send_ticker(market)

    def _send_book(self, market: SimulatedMarket) -> None:
        stream = f"bookTicker.{market.symbol}"
        if self._clients.wants(stream):
            hidden_side = self.faults.hidden_sides.get(market.symbol)
            self._clients.deliver(stream, book_ticker_frame(market, self._event_us(market), hidden_side))

    def _send_ticker(self, market: SimulatedMarket) -> None:
        self._clients.deliver(f"ticker.{market.symbol}", ticker_frame(market, self._event_us(market)))
        if market.is_perpetual:
            frame = mark_price_frame(market, self._event_us(market))
            self._clients.deliver(f"markPrice.{market.symbol}", frame)

    def _event_us(self, market: SimulatedMarket) -> int:
        return market.next_event_us(time.time_ns() // 1000)

    async def _follow_schedule(self) -> None:
        """Begins and ends the scheduled faults, at their seconds after the start; then waits for ever."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        changes = [(fault.at_s, True, fault) for fault in self._schedule]
        changes += [
            (fault.at_s + fault.duration_s, False, fault) for fault in self._schedule if fault.duration_s is not None
        ]
        for at_s, begins, fault in sorted(changes, key=lambda change: change[0]):
            await asyncio.sleep(started_s + at_s - loop.time())
            logger.warning("simulated fault %s: %s", "begins" if begins else "ends", fault.kind)
            if begins:
                self._begin(fault)
            else:
                self.faults.end(fault)
        await loop.create_future()

    def _begin(self, fault: ScheduledFault) -> None:
        if fault.kind == "drop":
            self.drop_connections()
        elif fault.kind == "garbage":
            self.send_garbage()
        elif fault.kind == "jump":
            self.jump(fault.symbol, fault.factor)
        else:
            self.faults.begin(fault)

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Lets websocket handshakes pass, and answers plain HTTP on the same port."""
        if self.faults.refuse:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "refused on demand\n")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        if self.faults.rest_down:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "down on demand\n")
        reply = await self._rest.answer(request.path)
        if reply is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "not found\n")
        headers = Headers()
        headers["Content-Type"] = reply.content_type
        headers["Content-Length"] = str(len(reply.body))
        headers["Connection"] = "close"
        return Response(reply.status, HTTPStatus(reply.status).phrase, headers, reply.body)
