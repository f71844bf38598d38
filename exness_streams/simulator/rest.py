"""The simulator's REST API, in the forms of Backpack's: everything public. What needs an account is not there."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from exness_streams.market_data.rest import KLINES_PER_REQUEST_MAX
from exness_streams.simulator.faults import Faults
from exness_streams.simulator.history import DAY_S
from exness_streams.simulator.instrument import Instrument
from exness_streams.simulator.intervals import KLINE_INTERVALS, begin_of, end_of
from exness_streams.simulator.perpetuals import FUNDING_INTERVAL_S
from exness_streams.simulator.rows import (
    asset_rows,
    depth_row,
    funding_row,
    interest_row,
    kline_row,
    mark_row,
    market_row,
    ticker_row,
    trade_row,
)

ROWS_MAX = 1_000
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)
_TICKER_SPANS_S = {"1d": DAY_S, "1w": 7 * DAY_S}
_PRICE_TYPES = ("Last", "Index", "Mark")
_TURN_S = 3_600

_EMPTY = (
    "borrowLend/apy", "borrowLend/markets", "borrowLend/markets/history", "collateral", "market-holidays",
    "market-sessions", "prediction", "prediction/tags", "securities", "stockHolidays", "stockSessions", "wallets",
)  # fmt: skip
"""Nobody lends here, nothing is held, nothing is predicted, and no market has hours."""

Query = Mapping[str, str]


class HttpReply(msgspec.Struct, frozen=True):
    """An answer to a plain HTTP GET. retry_after_s: after so many seconds one may ask again."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after_s: int | None = None


class _Refused(Exception):
    """A request that can't be served; str() says why, as the exchange does."""


class SimulatedRest:
    """Answers GET requests about `instruments`, as the faults will have it."""

    def __init__(self, instruments: Mapping[str, Instrument], faults: Faults) -> None:
        self._instruments = instruments
        self._faults = faults
        self._routes: dict[str, Callable[[Query], Any | Awaitable[Any]]] = {
            "assets": lambda _: asset_rows(one.listing for one in instruments.values()),
            "markets": lambda _: [self._market_row(one) for one in instruments.values()],
            "market": lambda query: self._market_row(self._instrument(query)),
            "ticker": lambda query: self._ticker_row(self._instrument(query), query),
            "tickers": lambda query: [self._ticker_row(one, query) for one in instruments.values()],
            "depth": self._depth,
            "klines": self._klines,
            "markPrices": lambda query: [mark_row(one.market, self._now_s()) for one in self._perpetuals(query)],
            "openInterest": lambda query: [interest_row(one.listing, self._now_s()) for one in self._perpetuals(query)],
            "fundingRates": self._funding_rates,
            "trades": self._trades,
            "trades/history": self._trades,
            "status": lambda _: {"status": "Ok", "message": None},
            "time": lambda _: self._now_us() // 1000,
            **dict.fromkeys(_EMPTY, lambda _: []),
        }

    async def answer(self, path: str) -> HttpReply:
        """The answer to a path with its query."""
        if self._faults.slow_rest_s:
            await asyncio.sleep(self._faults.slow_rest_s)
        if self._faults.rest_down:
            return HttpReply(503, b"down on demand\n", "text/plain")
        if self._faults.rate_limit_s:
            return too_many(self._faults.rate_limit_s)
        parts = urlsplit(path)
        name = parts.path.removeprefix("/api/v1/")
        if name == "ping" and name != parts.path:
            return HttpReply(200, b"pong", "text/plain")
        route = self._routes.get(name) if name != parts.path else None
        if route is None:
            return _refusal(404, "RESOURCE_NOT_FOUND", "Not Found")
        try:
            rows = route({key: values[-1] for key, values in parse_qs(parts.query).items()})
            return HttpReply(200, msgspec.json.encode(await rows if inspect.isawaitable(rows) else rows))
        except _Refused as refused:
            return _refusal(400, "INVALID_CLIENT_REQUEST", str(refused))

    def _now_us(self) -> int:
        return time.time_ns() // 1000 + round(self._faults.skew_s * 1_000_000)

    def _now_s(self) -> int:
        return self._now_us() // 1_000_000

    def _instrument(self, query: Query) -> Instrument:
        instrument = self._instruments.get(query.get("symbol", ""))
        if instrument is None:
            raise _Refused("Invalid market symbol")
        return instrument

    def _perpetuals(self, query: Query) -> list[Instrument]:
        """Of one market or of all; those that are no perpetuals have none of it."""
        wanted = [self._instrument(query)] if "symbol" in query else list(self._instruments.values())
        return [one for one in wanted if one.market.is_perpetual]

    def _market_row(self, instrument: Instrument) -> dict[str, Any]:
        return market_row(instrument, self._faults.state(instrument.symbol))

    def _ticker_row(self, instrument: Instrument, query: Query) -> dict[str, Any]:
        span_s = _TICKER_SPANS_S.get(query.get("interval", "1d"))
        if span_s is None:
            raise _invalid("interval", "TickerInterval")
        last = None if instrument.symbol in self._faults.no_last else instrument.market.last
        return ticker_row(instrument.listing, instrument.until(self._now_s(), span_s), last)

    def _depth(self, query: Query) -> dict[str, Any]:
        instrument = self._instrument(query)
        limit = query.get("limit", str(DEPTH_LIMITS[-1]))
        if limit not in map(str, DEPTH_LIMITS):
            raise _invalid("limit", "DepthLimit")
        book = self._faults.shown(instrument.symbol, instrument.book())
        return depth_row(instrument, book, int(limit), self._now_us())

    def _trades(self, query: Query) -> list[dict[str, Any]]:
        instrument = self._instrument(query)
        limit, offset = _number(query, "limit", 100), _number(query, "offset", 0)
        if limit > ROWS_MAX:
            raise _Refused(f"limit is at most {ROWS_MAX}")
        newest_first = list(reversed(instrument.trades))
        return [trade_row(instrument.listing, past) for past in newest_first[offset : offset + limit]]

    def _funding_rates(self, query: Query) -> list[dict[str, Any]]:
        instrument = self._instrument(query)
        limit, offset = _number(query, "limit", 100), _number(query, "offset", 0)
        if not instrument.market.is_perpetual:
            return []
        newest_s = self._now_s() // FUNDING_INTERVAL_S * FUNDING_INTERVAL_S
        ends = range(newest_s, instrument.history.begin_s, -FUNDING_INTERVAL_S)
        return [funding_row(instrument.symbol, end_s) for end_s in ends[offset : offset + min(limit, ROWS_MAX)]]

    async def _klines(self, query: Query) -> list[dict[str, Any]]:
        instrument, now_s = self._instrument(query), self._now_s()
        interval, price_type = query.get("interval", ""), query.get("priceType", "Last")
        if interval not in KLINE_INTERVALS:
            raise _invalid("interval", "KlineInterval")
        if price_type not in _PRICE_TYPES:
            raise _invalid("priceType", "KlinePriceType")
        start_s, end_s = _number(query, "startTime", None), min(_number(query, "endTime", now_s), now_s + 1)
        begin_s = begin_of(interval, max(start_s, instrument.history.begin_s))
        if begin_s < start_s:
            begin_s = end_of(interval, begin_s)
        rows: list[dict[str, Any]] = []
        while begin_s < end_s and len(rows) < KLINES_PER_REQUEST_MAX:
            span_s = (begin_s, end_of(interval, begin_s))
            candle = instrument.history.candle(begin_s, span_s[1] - begin_s)
            rows.append(kline_row(instrument.listing, span_s, candle, price_type == "Last"))
            if begin_s % _TURN_S == 0:
                await asyncio.sleep(0)  # a day takes 10 ms to make up, and prices move in this loop
            begin_s = span_s[1]
        return rows


def too_many(seconds: float) -> HttpReply:
    """What one gets who asks too often."""
    refusal = _refusal(429, "TOO_MANY_REQUESTS", "Too many requests")
    return msgspec.structs.replace(refusal, retry_after_s=max(1, round(seconds)))


def _refusal(status: int, code: str, message: str) -> HttpReply:
    return HttpReply(status, msgspec.json.encode({"code": code, "message": message}))


def _invalid(parameter: str, kind: str) -> _Refused:
    return _Refused(f'failed to parse parameter `{parameter}`: failed to parse "{kind}": Expect a valid value.')


def _number(query: Query, name: str, default: int | None) -> int:
    text = query.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _Refused(f"Invalid {name}: it is a whole number, of seconds if it is a time")
    return int(text)
