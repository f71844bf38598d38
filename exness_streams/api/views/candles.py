"""Candles for charts, answered by the worker that keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.errors import ApiError, invalid_request, unknown_asset
from exness_streams.api.ports import Candles
from exness_streams.api.requests import limit_of, only_known
from exness_streams.domain.candle_spans import Told
from exness_streams.domain.candles import INTERVALS_S, Candle
from exness_streams.domain.instruments import Catalogue
from exness_streams.engine.candle_reader import LIMIT_MAX
from exness_streams.engine.history import NotOwned
from exness_streams.messages import CandleMessage, CandlesMessage, MissingSpan
from exness_streams.transport.freshness import Freshness

LIMIT_DEFAULT = 500
INTERVAL_DEFAULT = "1m"
MOVING = "the candles are moving to another worker"

_TIME_S = re.compile(r"[0-9]{1,10}")
_SYMBOL = re.compile(r"[A-Za-z0-9._-]{1,64}")


class CandlesView(ApiView):
    """GET /api/v1/candles"""

    query = None

    def __init__(
        self,
        app: Any,
        web_server: Any,
        catalogue: Catalogue,
        candles: Candles,
        is_recovered: Callable[[], bool],
        freshness: Freshness,
    ) -> None:
        super().__init__(app, web_server)
        self._freshness = freshness
        self._catalogue, self._candles, self._is_recovered = catalogue, candles, is_recovered

    async def get(self, request: web.Request) -> web.Response:
        only_known(request, "symbol", "interval", "limit", "before")
        symbol = self._symbol(request.query.get("symbol", ""))
        interval = request.query.get("interval", INTERVAL_DEFAULT)
        if interval not in INTERVALS_S:
            raise invalid_request("interval", f"unknown interval; this route accepts: {', '.join(INTERVALS_S)}")
        limit = limit_of(request.query.get("limit", str(LIMIT_DEFAULT)), LIMIT_MAX)
        before_s = _time_of(request.query.get("before"))
        if not self._is_recovered():
            raise ApiError(503, "NOT_READY", "the platform is starting: it is still reading its tables")
        try:
            if before_s is None:
                found = await self._candles.newest(symbol, interval, limit)
            else:
                found = await self._candles.before(symbol, interval, before_s, limit)
            told = self._candles.told(symbol)
            begin_s = self._candles.begin_s(symbol, INTERVALS_S[interval]) if len(found) < limit else None
        except NotOwned:
            raise ApiError(503, "REBALANCING", MOVING) from None
        if not self._freshness.is_fresh():  # after the wait for them
            raise ApiError(503, "REBALANCING", MOVING)
        return json_response(candles_message(symbol, interval, found, told, begin_s, before_s))

    def _symbol(self, text: str) -> str:
        if not _SYMBOL.fullmatch(text):
            said = '"symbol" is not an instrument' if text else 'missing query parameter "symbol"'
            raise invalid_request("symbol", f"{said}; give one such as SOL_USDC, or its base asset")
        terms = self._catalogue.find(text)
        if terms is None:
            raise unknown_asset("symbol", text, self._catalogue)
        return terms.symbol


def candles_message(
    symbol: str,
    interval: str,
    found: Sequence[Candle],
    told: Told,
    begin_s: int | None = None,
    before_s: int | None = None,
) -> CandlesMessage:
    """Candles as the API shows them. told: for which time the exchange's history was asked.

    begin_s: since when these would be all, None when there may be older ones. before_s: until when they were asked for.
    """
    length_s = INTERVALS_S[interval]
    shown = [
        CandleMessage(
            one.time_s, one.first, one.high, one.low, one.last, one.volume, complete=told.completes(one, length_s)
        )
        for one in found
    ]
    missing = [MissingSpan(first, end) for first, end in told.missing(found, length_s, begin_s, before_s)]
    return CandlesMessage(symbol, interval, shown, missing)


def _time_of(text: str | None) -> int | None:
    """The query parameter `before`. 400 unless it is absent or whole seconds since the epoch."""
    if text is not None and not _TIME_S.fullmatch(text):
        raise invalid_request(
            "before", '"before" is not a time; give whole seconds since the epoch, such as the "time" of a candle'
        )
    return None if text is None else int(text)
