"""A Backpack server for demos and tests: real protocol, real socket, invented prices, faults on demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from exness_streams.domain.instruments import is_symbol
from exness_streams.simulator.broadcast import Broadcast
from exness_streams.simulator.clients import Clients
from exness_streams.simulator.faults import GARBAGE, Faults, MarketState, ScheduledFault
from exness_streams.simulator.history import PAST_MINUTES
from exness_streams.simulator.instrument import Instrument
from exness_streams.simulator.market import SimulatedQuote, listing_of
from exness_streams.simulator.rest import HttpReply, SimulatedRest, too_many
from exness_streams.simulator.streams import DEPTH_ROUND_S

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

    rate: book updates per second and symbol; 0: the books stand still. ticker_interval_s: of `ticker`, `markPrice` and
    `kline`. port 0: any free one, see `url` once started.
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
        symbols = tuple(symbols)
        _check(symbols, rate)
        self.seed = seed
        self._past_minutes = past_minutes
        self._instruments = {
            symbol: Instrument(listing_of(symbol), seed, rate=rate, past_minutes=past_minutes) for symbol in symbols
        }
        self._schedule = tuple(schedule)
        self._rate = rate
        self._host, self._port = host, port
        self._ticker_interval_s = ticker_interval_s
        self._ping_interval_s, self._pong_timeout_s = ping_interval_s, pong_timeout_s
        self._close_grace_s = close_grace_s
        self._compression = compression
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.faults = Faults()
        self._clients = Clients(self.faults)
        self._rest = SimulatedRest(self._instruments, self.faults)
        self._broadcast = Broadcast(self._instruments, self._clients, self.faults)
        self._spiked: set[str] = set()
        for fault in self._schedule:
            if fault.symbol:
                self._instrument(fault.symbol)

    def resume(self, bids: Mapping[str, Decimal]) -> None:
        """Before the start: markets go on from these bids; one that is not named begins as ever. ValueError."""
        for symbol, bid in bids.items():
            self._instrument(symbol).market.resume(bid)

    def add(self, bids: Mapping[str, Decimal | None]) -> None:
        """Markets more, while it runs, that go on from these bids; None: begins as ever. ValueError."""
        _check(bids, self._rate)
        for symbol, bid in bids.items():
            instrument = Instrument(listing_of(symbol), self.seed, rate=self._rate, past_minutes=self._past_minutes)
            if bid is not None:
                instrument.market.resume(bid)
            instrument.begin(self._broadcast.now_s())
            self._instruments[symbol] = instrument

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
        for instrument in self._instruments.values():
            instrument.begin(self._broadcast.now_s())
        work = [self._send_tickers(), self._send_depths(), self._follow_schedule()]
        if self._rate:
            work.append(self._move_books())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]
        logger.info("simulated Backpack on %s: %s", self.url, ", ".join(self._instruments))

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
        return tuple(self._instruments)

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
        return self._instrument(symbol).market.quote()

    def set_price(self, symbol: str, bid: Decimal | None, ask: Decimal | None, last: Decimal | None = None) -> None:
        """Pins the book, and sends it and a ticker at once. None: an empty side. last defaults to the middle.

        The prices stay until `release_price`; the book is sent again with every ticker, as its quantities
        change. Raises ValueError for prices off the tick grid or crossed.
        """
        instrument = self._instrument(symbol)
        instrument.pin(bid, ask, last, self._broadcast.now_s())
        self._announce(instrument)

    def release_price(self, symbol: str) -> None:
        """Lets a pinned symbol walk again."""
        self._instrument(symbol).market.release()

    def jump(self, symbol: str, factor: Decimal) -> None:
        """A gap: every price of the symbol times `factor`, sent at once. Raises ValueError for factor ≤ 0."""
        instrument = self._instrument(symbol)
        instrument.jump(factor, self._broadcast.now_s())
        self._announce(instrument)

    def spike(self, symbol: str, factor: Decimal) -> None:
        """One book and one ticker with every price times `factor`, which was never so; the next are right again."""
        instrument = self._instrument(symbol)
        self._broadcast.spike(instrument, factor)
        instrument.market.new_quantities()
        self._spiked.add(symbol)

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

    def _instrument(self, symbol: str) -> Instrument:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise ValueError(f"{symbol!r} is not simulated; there are {', '.join(self._instruments)}")
        return instrument

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
                for instrument in self._instruments.values():
                    self._move(instrument)
                if count % _STEPS_PER_TURN == 0:
                    await asyncio.sleep(0)
            steps += due

    def _move(self, instrument: Instrument) -> None:
        if instrument.market.pinned or self.faults.state(instrument.symbol) is not MarketState.OPEN:
            return
        emit_us = self._broadcast.emit_us(instrument)
        trade = instrument.move(emit_us)
        if trade is not None:
            self._broadcast.trade(instrument, trade, emit_us)
        self._broadcast.book(instrument)

    async def _send_tickers(self) -> None:
        while True:
            await asyncio.sleep(self._ticker_interval_s)
            for instrument in self._instruments.values():
                if instrument.market.pinned or instrument.symbol in self._spiked:
                    self._spiked.discard(instrument.symbol)
                    instrument.market.new_quantities()
                    self._broadcast.book(instrument)
                self._broadcast.ticker(instrument)
            self._broadcast.klines()
            self._broadcast.open_interest()

    async def _send_depths(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(DEPTH_ROUND_S)
            self._broadcast.depths(number := number + 1)

    def _announce(self, instrument: Instrument) -> None:
        self._broadcast.book(instrument)
        self._broadcast.ticker(instrument)

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
                self._show(fault)
        await loop.create_future()

    def _begin(self, fault: ScheduledFault) -> None:
        if fault.kind == "drop":
            self.drop_connections()
        elif fault.kind == "garbage":
            self.send_garbage()
        elif fault.kind == "jump":
            self.jump(fault.symbol, fault.factor)
        elif fault.kind == "spike":
            self.spike(fault.symbol, fault.factor)
        else:
            self.faults.begin(fault)
            self._show(fault)

    def _show(self, fault: ScheduledFault) -> None:
        """A market whose fault has begun or ended looks different: its book is a new one."""
        if fault.symbol:
            instrument = self._instrument(fault.symbol)
            instrument.market.new_quantities()
            self._announce(instrument)

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Lets websocket handshakes pass, and answers plain HTTP on the same port."""
        if self.faults.refuse:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "refused on demand\n")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return _response(await self._rest.answer(request.path))
        return _response(too_many(self.faults.rate_limit_s)) if self.faults.rate_limit_s else None


def _check(symbols: Iterable[str], rate: float) -> None:
    for symbol in symbols:
        if not is_symbol(symbol):
            raise ValueError(f"{symbol!r} is not a symbol")
    if not 0 <= rate <= RATE_MAX:
        raise ValueError(f"rate {rate} is not between 0 and {RATE_MAX} updates a second")


def _response(reply: HttpReply) -> Response:
    headers = Headers()
    headers["Content-Type"] = reply.content_type
    headers["Content-Length"] = str(len(reply.body))
    headers["Connection"] = "close"
    if reply.retry_after_s is not None:
        headers["Retry-After"] = str(reply.retry_after_s)
    return Response(reply.status, HTTPStatus(reply.status).phrase, headers, reply.body)
