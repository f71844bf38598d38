"""Backpack's public REST API: which markets there are, candles of the past, and the best prices now."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from async_timeout import timeout

from exness_streams.domain.hosts import is_loopback
from exness_streams.domain.money import ZERO
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.ticks import is_price
from exness_streams.market_data.market_rows import MarketInfo, read_market, usual_size
from exness_streams.market_data.outside_times import utc_ms
from exness_streams.market_data.retry_after import retry_after_s

log = logging.getLogger(__name__)

_Row = TypeVar("_Row")

MARKETS_PATH = "/api/v1/markets"
KLINES_PATH = "/api/v1/klines"
TICKER_PATH, DEPTH_PATH = "/api/v1/ticker", "/api/v1/depth"
DEPTH_LEVELS = 5
"""The fewest that it tells."""

INTERVALS_S = {
    "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800,
    "1h": 3_600, "2h": 7_200, "4h": 14_400, "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400,
}  # fmt: skip
"""The intervals of klines and their lengths; they begin at whole multiples of them, UTC."""

KLINES_PER_REQUEST_MAX = 1_000
HISTORY_REQUESTS_MAX = 30
HISTORY_WINDOW_S = 60.0
"""Backpack answers 30 requests for history a minute. How many klines it puts into one answer it does not say."""

ATTEMPTS_MAX = 4
LOOK_S_MAX = 2.0
"""What is asked of the market now, says nothing of it later."""
PATIENCE_S_MAX = 30.0
"""So long a request waits for the exchange's leave to be sent; where it takes longer, it is given up at once."""
BODY_BYTES_MAX = 16 << 20
_CHUNK_BYTES = 1 << 16
EXCERPT_MAX = 120


class RestFault(Exception):
    """The exchange could not be asked, or what it answered can't be used; str() is one line.

    retry_after_s: for so long it wants no further request; None when it has not said.
    """

    def __init__(self, said: str, retry_after_s: float | None = None) -> None:
        super().__init__(said)
        self.retry_after_s = retry_after_s


class Kline(msgspec.Struct, frozen=True):
    """What became of a market in one interval. time_s: its beginning. Prices in quote, volume in base currency."""

    time_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Top(NamedTuple):
    """The best prices of a market now, quote currency. bid, ask: None when there is none. price: of the last trade."""

    bid: Decimal | None
    ask: Decimal | None
    price: Decimal


class RequestPace:
    """Keeps a number of requests in any window of time."""

    def __init__(self, requests_max: int = HISTORY_REQUESTS_MAX, window_s: float = HISTORY_WINDOW_S) -> None:
        self._window_s = window_s
        self._due_s: deque[float] = deque(maxlen=requests_max)

    def reserve(self, now_s: float) -> float:
        """Seconds to wait before the next request, which counts from then on."""
        full = len(self._due_s) == self._due_s.maxlen
        due_s = max(now_s, self._due_s[0] + self._window_s) if full else now_s
        self._due_s.append(due_s)
        return due_s - now_s


class BackpackRest:
    """A client of the public part, for one event loop at a time.

    base_url: of the API, without a slash at its end. timeout_s: of one request with its answer. retry_s: pause
    before the first repeat after HTTP 429 or 5xx, doubled for each further one. Where the exchange says how long
    (Retry-After), none of our requests is sent before.
    skipped: rows of any answer that could not be read. Every method raises RestFault.
    """

    def __init__(
        self, base_url: str, *, timeout_s: float = 10.0, retry_s: float = 0.5, pace: RequestPace | None = None
    ) -> None:
        self.base_url = base_url
        self.skipped = 0
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._pace = RequestPace() if pace is None else pace
        self._not_before_s = 0.0

    async def fetch_markets(self) -> list[MarketInfo]:
        """All markets, in the exchange's order."""
        async with self._session() as session:
            return self._rows(MARKETS_PATH, await self._document(session, MARKETS_PATH, {}), read_market)

    async def fetch_klines(self, symbol: str, interval: str, start_s: int, end_s: int) -> list[Kline]:
        """The klines that begin in [start_s, end_s), oldest first; intervals without a trade are left out.

        interval: one of INTERVALS_S, ValueError for another. Long ranges are asked for in several requests, as many
        a minute as the exchange allows: 30,000 klines a minute.
        """
        step_s = INTERVALS_S.get(interval)
        if step_s is None:
            raise ValueError(f"interval {interval!r} is not one of {', '.join(INTERVALS_S)}")
        found: dict[int, Kline] = {}
        from_s = -(-start_s // step_s) * step_s
        async with self._session() as session:
            while from_s < end_s:
                until_s = min(end_s, from_s + KLINES_PER_REQUEST_MAX * step_s)
                page = await self._page(session, symbol, interval, from_s, until_s)
                found.update((kline.time_s, kline) for kline in page)
                # Should an answer hold fewer than were asked for, the next one begins where it ends.
                from_s = max(kline.time_s for kline in page) + step_s if page else until_s
        return [found[time_s] for time_s in sorted(found)]

    async def fetch_top(self, symbol: str) -> Top:
        """A market's best prices. It is asked once, and given up soon: what comes late is of no use."""
        depth_query = {"symbol": symbol, "limit": str(DEPTH_LEVELS)}
        async with self._session() as session:
            try:
                async with timeout(LOOK_S_MAX):
                    ticker, depth = await asyncio.gather(
                        self._document(session, TICKER_PATH, {"symbol": symbol}, attempts_max=1, patience_s=0),
                        self._document(session, DEPTH_PATH, depth_query, attempts_max=1, patience_s=0),
                    )
            except asyncio.TimeoutError:
                raise self._fault(DEPTH_PATH, f"no answer within {LOOK_S_MAX:g} s") from None
        try:
            return _top(ticker, depth)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise self._fault(DEPTH_PATH, f"the answer can't be used: {error}") from None

    async def _page(
        self, session: aiohttp.ClientSession, symbol: str, interval: str, from_s: int, until_s: int
    ) -> list[Kline]:
        await asyncio.sleep(self._pace.reserve(asyncio.get_running_loop().time()))
        query = {"symbol": symbol, "interval": interval, "startTime": str(from_s), "endTime": str(until_s)}
        klines = self._rows(KLINES_PATH, await self._document(session, KLINES_PATH, query), _kline)
        return [kline for kline in klines if from_s <= kline.time_s < until_s]

    def _session(self) -> aiohttp.ClientSession:
        # A simulator on this machine is never behind the proxy that the environment may name.
        return aiohttp.ClientSession(
            timeout=self._timeout, trust_env=not is_loopback(urlsplit(self.base_url).hostname or "")
        )

    async def _document(
        self,
        session: aiohttp.ClientSession,
        path: str,
        query: Mapping[str, str],
        *,
        attempts_max: int = ATTEMPTS_MAX,
        patience_s: float = PATIENCE_S_MAX,
    ) -> bytes:
        """The body of an answer, asked for again while the exchange is busy."""
        for attempt in range(1, attempts_max + 1):
            await self._leave(path, patience_s)
            try:
                async with session.get(self.base_url + path, params=query, allow_redirects=False) as response:
                    body = await _bounded_body(response)
                    status, retry_after = response.status, response.headers.get("Retry-After", "")
            except asyncio.TimeoutError:
                raise self._fault(path, f"no answer within {self._timeout_s:g} s") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise self._fault(path, _described(error)) from error
            if status == 200:
                return body
            asked_s = retry_after_s(status, retry_after)
            if asked_s is not None:
                self._not_before_s = asyncio.get_running_loop().time() + asked_s
            if (status != 429 and status < 500) or attempt == attempts_max:
                break
            if asked_s is None:
                pause_s = self._retry_s * (1 << attempt - 1)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # nosec B311 - spreads repetitions
        raise self._fault(path, f"HTTP {status} {in_one_line(body, EXCERPT_MAX)}".rstrip())

    async def _leave(self, path: str, patience_s: float) -> None:
        """Waits until the exchange wants to be asked again. RestFault when that takes too long."""
        wait_s = self._not_before_s - asyncio.get_running_loop().time()
        if wait_s > patience_s:
            fault = self._fault(path, f"the exchange wants no request for {wait_s:.0f} s more")
            raise RestFault(str(fault), wait_s)
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _rows(self, path: str, body: bytes, read: Callable[[msgspec.Raw], _Row | None]) -> list[_Row]:
        """The rows of a document. One that can't be read is counted; the first such of an answer is logged."""
        try:
            raws = _decode_rows(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._fault(path, f"the answer is not a JSON list: {in_one_line(body, EXCERPT_MAX)}") from None
        rows, skipped, first = [], 0, ""
        for raw in raws:
            try:
                row = read(raw)
            except (ValueError, ArithmeticError, RecursionError) as error:
                skipped += 1
                first = first or f"{in_one_line(error, EXCERPT_MAX)} in {in_one_line(bytes(raw), EXCERPT_MAX)}"
                continue
            if row is not None:
                rows.append(row)
        if skipped:
            self.skipped += skipped
            log.warning("%s of Backpack: %d of %d rows can't be read: %s", path, skipped, len(raws), first)
        return rows

    def _fault(self, path: str, said: str) -> RestFault:
        return RestFault(f"{self.base_url}{path}: {in_one_line(said, EXCERPT_MAX)}")


_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _TickerRow(msgspec.Struct, rename="camel"):
    last_price: Decimal | None = None


class _DepthRow(msgspec.Struct):
    asks: list[tuple[Decimal, Decimal]]
    bids: list[tuple[Decimal, Decimal]]


_decode_ticker = msgspec.json.Decoder(_TickerRow).decode
_decode_depth = msgspec.json.Decoder(_DepthRow).decode


def _top(ticker: bytes, depth: bytes) -> Top:
    """Whatever the order of the levels. Levels without a quantity are none. ValueError."""
    price, book = _decode_ticker(ticker).last_price, _decode_depth(depth)
    if price is None or not is_price(price):
        raise ValueError("lastPrice is no price")
    bid = max((level for level, quantity in book.bids if quantity), default=None)
    ask = min((level for level, quantity in book.asks if quantity), default=None)
    if not all(side is None or is_price(side) for side in (bid, ask)) or (bid and ask and bid > ask):
        raise ValueError("bids and asks are no book")
    return Top(bid, ask, price)


class _KlineRow(msgspec.Struct):
    start: str | int
    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    close: Decimal | None = None
    volume: Decimal | None = None


_decode_kline = msgspec.json.Decoder(_KlineRow).decode


def _kline(raw: msgspec.Raw) -> Kline | None:
    """None: nothing was traded, so it has no prices."""
    row = _decode_kline(raw)
    start_ms = utc_ms(row.start)
    if start_ms is None:
        raise ValueError("start is not a time")
    if row.open is None or row.high is None or row.low is None or row.close is None:
        return None
    if not (row.open or row.high or row.low or row.close):
        return None  # zeros are another way to say it
    first, high, low, last = usual_size(row.open), usual_size(row.high), usual_size(row.low), usual_size(row.close)
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ValueError("open or close outside of low to high")
    volume = ZERO if not row.volume else usual_size(row.volume)
    return Kline(start_ms // 1000, first, high, low, last, volume)


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"the answer is larger than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _described(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be reached: {error.os_error}"
    return str(error) or type(error).__name__
