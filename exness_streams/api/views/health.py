"""The banner, the instruments, and what a supervisor asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from aiohttp import web

from exness_streams import __version__
from exness_streams.api.answers import json_response
from exness_streams.api.api_view import ApiView
from exness_streams.api.market_list import MarketList
from exness_streams.api.ports import Conditions, FoldingCells, Health, Markets, Quotes, TradingRules
from exness_streams.api.presenter import market_message
from exness_streams.domain.market_states import MarketState, MarketTold, StateReason, is_traded
from exness_streams.domain.quotes import AHEAD_MS_MAX, Quote
from exness_streams.engine.cell_conditions import NOT_READY, CellCondition, CellState
from exness_streams.engine.market_board import in_words

FAST_MS_MAX = 30_000
"""A clock that is ahead by so much of that of the frames is no frame that was long on its way."""


def banner(*, can_mail: bool) -> web.Response:
    """What `/` tells programs; a browser gets the page. can_mail: whether a server for mail is configured."""
    return json_response(
        {
            "name": "Exness Streams",
            "version": __version__,
            "message": "A leveraged-trading platform as a stream-processing application",
            "emailService": "configured" if can_mail else "not configured",
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "endpoints": {
                "state": "GET /api/v1/state",
                "open": "POST /api/v1/positions/open",
                "close": "POST /api/v1/positions/close",
                "closeAll": "POST /api/v1/positions/close-all",
                "modify": "POST /api/v1/positions/modify",
                "placeOrder": "POST /api/v1/orders/place",
                "cancelOrder": "POST /api/v1/orders/cancel",
                "deposit": "POST /api/v1/account/deposit",
                "reset": "POST /api/v1/account/reset",
                "trades": "GET /api/v1/trades",
                "equity": "GET /api/v1/equity",
                "markets": "GET /api/v1/markets",
                "candles": "GET /api/v1/candles",
                "stream": "GET /ws",
                "openapi": "GET /api/v1/openapi.json",
                "asyncapi": "GET /api/v1/asyncapi.json",
                "live": "GET /livez",
                "ready": "GET /readyz",
                "metrics": "GET /metrics",
            },
        }
    )


class MarketsView(ApiView):
    """GET /api/v1/markets"""

    def __init__(
        self, app: Any, web_server: Any, markets: MarketList, market: Quotes, exchange: Markets, rules: TradingRules
    ) -> None:
        super().__init__(app, web_server)
        self._markets, self._market, self._exchange, self._rules = markets, market, exchange, rules

    async def get(self, request: web.Request) -> web.Response:
        """Every instrument on offer, then those in which something stands still; and how the feed is."""
        now_ms, age_ms_max = int(time.time() * 1000), self._rules.max_quote_age_ms
        quotes, days, limits = self._market.quotes, self._market.days, self._rules.limits()
        market_ms, messages = self._market.market_ms, []
        for terms, told in self._markets.rows():
            quote, day = quotes.get(terms.symbol), days.get(terms.symbol)
            is_fresh = quote is not None and quote.is_fresh(now_ms, age_ms_max, market_ms)
            listed = self._exchange.listed(terms.symbol)
            messages.append(market_message(terms, quote, limits, day, listed, is_fresh=is_fresh, told=told))
        return json_response({"markets": messages, "feed": self._exchange.feed_status()})


class LiveView(ApiView):
    """GET /livez: answers while the process does; restart it when this fails."""

    async def get(self, request: web.Request) -> web.Response:
        """Always the same."""
        return json_response({"status": "ok"})


class ReadyView(ApiView):
    """GET /readyz: 503 while requests can't be served; without usable prices they can, but it is degraded."""

    def __init__(
        self,
        app: Any,
        web_server: Any,
        health: Health,
        cells: FoldingCells,
        is_recovered: Callable[[], bool],
        conditions: Conditions,
        symbols: Sequence[str],
        quote_age_ms_max: int,
    ) -> None:
        super().__init__(app, web_server)
        self._health, self._cells, self._is_recovered = health, cells, is_recovered
        self._conditions = conditions
        self._symbols, self._quote_age_ms_max = symbols, quote_age_ms_max

    async def get(self, request: web.Request) -> web.Response:
        """Status and reasons, the first of them why it is unready; notes, which degrade nothing; then each cell."""
        conditions, apart = self._conditions.look(), self._clock_apart()
        reasons = []
        if self._health.fault is not None:
            reasons.append(str(self._health.fault))
        elif not self._is_recovered():
            reasons.append("tables are being recovered")
        elif not self._cells.is_ready:
            reasons.append(f"{self._cells.lag} journal records are still to be folded")
        elif cut_off := self._health.cut_off:
            reasons.append(cut_off)
        else:
            reasons += [_words(one) for one in conditions if one.state in NOT_READY]
            if not reasons and apart and not self._health.is_clock_right:  # else it is the other's that is wrong
                reasons.append(apart)
        feed = self._health.feed_status()
        is_unready, notes = bool(reasons), list[str]()
        reasons += [why for why in (apart, self._health.clock_fault()) if why and why not in reasons]
        if self._cells.partitions:  # a worker without cells hears of no price, and passes requests on
            about, notes = self._about_prices(feed)
            reasons += about
        reasons += [_words(one) for one in conditions if one.state is CellState.BEHIND]
        if refused := self._health.upkeep_fault():
            reasons.append(f"the daily checkpoint is refused: {refused}")
        if differ := self._health.settings_fault():
            reasons.append(differ)
        status = "unready" if is_unready else "degraded" if reasons else "ok"
        cells = [
            {"partition": one.partition, "state": one.state.value, "reason": one.reason, "since": one.since_ms}
            for one in conditions
        ]
        body = {"status": status, "reasons": reasons, "notes": notes, "feed": feed, "cells": cells}
        return json_response(body, 503 if is_unready else 200, {"Retry-After": "1"} if is_unready else None)

    def _clock_apart(self) -> str:
        """How this worker's clock differs from that of the worker that makes the price frames, so that no order fills.

        To a clock that is behind every quote is of the future, to one that is ahead all are old.
        """
        ahead_ms = self._cells.clock_ahead_ms(int(time.time() * 1000))
        if ahead_ms is None or -AHEAD_MS_MAX <= ahead_ms <= FAST_MS_MAX:
            return ""
        side = "behind" if ahead_ms < 0 else "ahead of"
        return (
            f"this machine's clock is {abs(ahead_ms) / 1000:.1f} s {side} that of the worker that makes the price "
            "frames: set both by a time service"
        )

    def _about_prices(self, feed: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """What somebody has to look into, and what stays as it is."""
        said, notes = list[str](), list[str]()
        if feed["status"] != "connected":
            why = feed.get("reason")
            said.append(f"the feed of prices is {feed['status']}" + (f": {why}" if why else ""))
        now_ms, cells, markets = int(time.time() * 1000), self._cells, self._cells.markets
        concern = dict.fromkeys([*self._symbols, *sorted(cells.standing())])
        for market in markets.values():
            if market.symbol in concern:
                (notes if _is_for_good(market) else said).append(in_words(market))
        # Of one that is not traded it is enough to say so.
        traded = [symbol for symbol in concern if is_traded(markets.get(symbol))]
        said += reasons_not_to_trade(traded, cells.quotes, now_ms, self._quote_age_ms_max, cells.market_ms)
        return said, notes


def _is_for_good(market: MarketTold) -> bool:
    # Else a platform would be degraded for ever, and nobody would see what else ails it.
    return market.state is MarketState.SETTLED or market.reason is StateReason.NOT_OFFERED


def _words(condition: CellCondition) -> str:
    return f"cell {condition.partition} is {condition.state.value}: {condition.reason}"


def reasons_not_to_trade(
    symbols: Iterable[str], quotes: Mapping[str, Quote], now_ms: int, age_ms_max: int, market_ms: int = 0
) -> list[str]:
    """Why orders at the market are refused for lack of a price, each reason with its symbols; empty when none is.

    market_ms: as in Quote.is_fresh.
    """
    refused: dict[str, list[str]] = {}
    for symbol in symbols:
        quote = quotes.get(symbol)
        if quote is None:
            refused.setdefault("no quote has arrived yet", []).append(symbol)
        elif quote.aged_from_ms - now_ms > AHEAD_MS_MAX:
            refused.setdefault("the newest quote is ahead of this machine's clock", []).append(symbol)
        elif not quote.is_fresh(now_ms, age_ms_max, market_ms):
            refused.setdefault(f"the newest quote is older than {age_ms_max} ms", []).append(symbol)
        elif not quote.is_two_sided:
            refused.setdefault("a side of the book is empty", []).append(symbol)
    return [f"{', '.join(named)}: {reason}" for reason, named in refused.items()]
