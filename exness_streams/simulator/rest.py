"""The simulator's REST API, in the forms of Backpack's: the markets, and klines of their past."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from exness_streams.market_data.rest import INTERVALS_S, KLINES_PATH, KLINES_PER_REQUEST_MAX, MARKETS_PATH
from exness_streams.simulator.frames import short_text
from exness_streams.simulator.history import PAST_MINUTES, SimulatedHistory
from exness_streams.simulator.market import SimulatedMarket

STATUS_PATH = "/api/v1/status"
_TURN_S = 3_600


class HttpReply(msgspec.Struct, frozen=True):
    """An answer to a plain HTTP GET."""

    status: int
    body: bytes
    content_type: str = "application/json"


class SimulatedRest:
    """Answers GET requests about `markets`. past_minutes: how long they have been listed when they begin to move."""

    def __init__(self, markets: Mapping[str, SimulatedMarket], seed: int, past_minutes: int = PAST_MINUTES) -> None:
        self._markets = markets
        self._seed = seed
        self._past_minutes = past_minutes
        self._histories: dict[str, SimulatedHistory] = {}

    def begin(self, now_s: int) -> None:
        """The markets begin to move: what comes before is made up, what comes now is recorded."""
        self._histories = {
            symbol: SimulatedHistory(market.listing, self._seed, market.last, now_s, self._past_minutes)
            for symbol, market in self._markets.items()
        }

    def record(self, market: SimulatedMarket, quantity: int) -> None:
        """The market's last price is new. quantity: traded at it, in steps; 0: the price was set."""
        history = self._histories.get(market.symbol)
        if history is not None:
            history.record(market.last, quantity, int(time.time()))

    async def answer(self, path: str) -> HttpReply | None:
        """The answer to a path with its query; None for what Backpack does not know (404)."""
        parts = urlsplit(path)
        if parts.path == STATUS_PATH:
            return _reply({"status": "Ok", "message": None})
        if parts.path == MARKETS_PATH:
            return _reply([_market_row(market) for market in self._markets.values()])
        if parts.path == KLINES_PATH:
            return await self._klines({name: values[-1] for name, values in parse_qs(parts.query).items()})
        return None

    async def _klines(self, query: Mapping[str, str]) -> HttpReply:
        market = self._markets.get(query.get("symbol", ""))
        history = self._histories.get(query.get("symbol", ""))
        length_s = INTERVALS_S.get(query.get("interval", ""))
        start, end = query.get("startTime", ""), query.get("endTime", str(int(time.time())))
        if market is None or history is None:
            return _refusal("Invalid market symbol")
        if length_s is None:
            return _refusal("Invalid interval")
        if not all(text.isascii() and text.isdigit() and len(text) <= 10 for text in (start, end)):
            return _refusal("Invalid startTime or endTime: they are seconds")
        first_s = max(int(start), history.begin_s) // length_s * length_s
        if first_s < int(start):
            first_s += length_s
        end_s = min(int(end), int(time.time()) + 1, first_s + KLINES_PER_REQUEST_MAX * length_s)
        rows = []
        for start_s in range(first_s, end_s, length_s):
            rows.append(_kline_row(market, history, start_s, length_s))
            if (start_s - first_s) % _TURN_S == 0:
                await asyncio.sleep(0)  # a day takes 10 ms to make up, and prices move in this loop
        return _reply(rows)


def _reply(document: Any) -> HttpReply:
    return HttpReply(200, msgspec.json.encode(document))


def _refusal(message: str) -> HttpReply:
    return HttpReply(400, msgspec.json.encode({"code": "INVALID_CLIENT_REQUEST", "message": message}))


def _market_row(market: SimulatedMarket) -> dict[str, Any]:
    listing = market.listing
    tick, step = short_text(1, listing.price_places), short_text(1, listing.quantity_places)
    base, _, rest = market.symbol.partition("_")
    return {
        "symbol": market.symbol,
        "baseSymbol": base,
        "quoteSymbol": rest.removesuffix("_PERP"),
        "marketType": "PERP" if market.is_perpetual else "SPOT",
        "orderBookState": "Open",
        "createdAt": "2025-01-21T06:34:54.691858",
        "filters": {
            "price": {"minPrice": tick, "maxPrice": None, "tickSize": tick},
            "quantity": {"minQuantity": step, "maxQuantity": None, "stepSize": step},
        },
    }


def _kline_row(market: SimulatedMarket, history: SimulatedHistory, start_s: int, length_s: int) -> dict[str, Any]:
    candle = history.candle(start_s, length_s)
    times = {"start": _time_text(start_s), "end": _time_text(start_s + length_s)}
    if candle is None:
        nothing = {"open": None, "high": None, "low": None, "close": None}
        return {**times, **nothing, "volume": "0", "quoteVolume": "0", "trades": "0"}
    places, quantity_places = market.listing.price_places, market.listing.quantity_places
    return {
        **times,
        "open": short_text(candle.open, places),
        "high": short_text(candle.high, places),
        "low": short_text(candle.low, places),
        "close": short_text(candle.close, places),
        "volume": short_text(candle.volume, quantity_places),
        "quoteVolume": short_text(candle.quote_volume, places + quantity_places),
        "trades": str(candle.trades),
    }


def _time_text(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
