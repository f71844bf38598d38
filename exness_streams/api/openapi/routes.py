"""What each route takes and answers: the table behind the OpenAPI document.

A new route needs a row here beside its row in routes.py (a test compares the two): its method and path, one
sentence, the type of each success by status, the codes of its refusals, and the type of its body if it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from exness_streams import messages
from exness_streams.api import bodies
from exness_streams.api.openapi.access_routes import ACCESS_TEXTS
from exness_streams.api.openapi.public import Alive, Banner, Markets, Ready
from exness_streams.api.openapi.route_text import JSON, OF_A_COMMAND, OF_AN_ACCOUNT, RouteText
from exness_streams.api.stream import messages as stream_messages
from exness_streams.domain.candles import INTERVALS_S
from exness_streams.domain.events import CloseReason, Event

_OF_TERMS = ("UNKNOWN_ASSET", "INVALID_LEVERAGE", "INVALID_MARGIN")
_OF_A_FILL = ("PRICE_UNAVAILABLE", "SLIPPAGE_EXCEEDED")
_OF_PRICES = ("INVALID_PRICE", "INVALID_TRIGGER")
_OF_FUNDS = ("INSUFFICIENT_MARGIN", "LIMIT_REACHED")

_A_NUMBER = {"type": ["number", "string"]}
_NOT_BOTH = {
    "not": {"required": ["quantity", "percentage"], "properties": {"quantity": _A_NUMBER, "percentage": _A_NUMBER}}
}
_CURSOR = {"type": "string", "description": "The nextCursor of the previous answer, to read older entries"}


def _limit(default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": 500, "default": default, "description": "How many"}


_CANDLES: Mapping[str, Mapping[str, Any]] = {
    "symbol": {
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]{1,64}$",
        "description": "An instrument, or its base asset",
    },
    "interval": {
        "type": "string",
        "enum": list(INTERVALS_S),
        "default": "1m",
        "description": "The length of each; they begin at whole multiples of it, UTC, and weeks on Mondays",
    },
    "limit": {**_limit(500), "maximum": 1000},
    "before": {
        "type": "integer",
        "minimum": 0,
        "maximum": 9_999_999_999,
        "description": "Only candles that begin before this time, s: for older ones, the time of the oldest known",
    },
}
_POSITION_LINKS = {"closePosition": ("positionId", "positionId"), "modifyPosition": ("positionId", "positionId")}


_PUBLIC = (
    RouteText(
        method="GET",
        path="/",
        name="getBanner",
        tag="service",
        summary="A banner with links to the API; text/html gets the page, a WebSocket the first instrument's /ws",
        answers={200: Banner},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/livez",
        name="isAlive",
        tag="service",
        summary="Answers while the process does; restart it when this fails",
        answers={200: Alive},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/readyz",
        name="isReady",
        tag="service",
        summary="Whether requests can be served; a feed that is away, or a missing quote, only degrades",
        answers={200: Ready, 503: Ready},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/metrics",
        name="getMetrics",
        tag="service",
        summary="Metrics for Prometheus; OpenMetrics when Accept asks for it. With sign-in only on EXNESS_METRICS_PORT",
        answers={200: {"text/plain": str, "application/openmetrics-text": str}},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/api/v1/openapi.json",
        name="getOpenApi",
        tag="service",
        summary="This document",
        answers={200: dict[str, Any]},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/api/v1/asyncapi.json",
        name="getAsyncApi",
        tag="service",
        summary="The AsyncAPI 3 document: the messages of /ws and of the public topics",
        answers={200: dict[str, Any]},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/api/v1/markets",
        name="getMarkets",
        tag="markets",
        summary="The instruments on offer, then those left in which something stands: terms, newest quote, state",
        answers={200: Markets},
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/api/v1/candles",
        name="getCandles",
        tag="markets",
        summary="The newest candles of an instrument, oldest first; the last may still grow",
        answers={200: messages.CandlesMessage},
        refusals=(*OF_AN_ACCOUNT, "UNKNOWN_ASSET"),
        query=_CANDLES,
        required=("symbol",),
        for_account=False,
    ),
    RouteText(
        method="GET",
        path="/ws",
        name="stream",
        tag="account",
        summary="A WebSocket: the account's state, then its events and the market as they come",
        answers={101: None},
        refusals=(*OF_AN_ACCOUNT, "UNKNOWN_ASSET", "UPGRADE_REQUIRED", "FORBIDDEN"),
        query={
            "account": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "As X-Account"},
            "numbers": {"enum": ["number", "string"], "default": "number", "description": "How decimals are written"},
            "symbols": {
                "type": "string",
                "description": "Assets or symbols whose market data is sent, as SOL,BTC_USDC",
            },
        },
        frames=(
            stream_messages.ConnectionMessage,
            messages.StateMessage,
            *get_args(Event),
            stream_messages.MarketDataUpdate,
            stream_messages.MarketDayUpdate,
            stream_messages.FeedMessage,
            stream_messages.HeartbeatMessage,
            stream_messages.PongMessage,
            stream_messages.StreamErrorMessage,
        ),
    ),
)

_POSITIONS = (
    RouteText(
        method="POST",
        path="/api/v1/positions/open",
        name="openPosition",
        tag="positions",
        summary="Open a position at the market",
        body=bodies.OpenRequest,
        answers={201: messages.PositionMessage},
        refusals=(*OF_A_COMMAND, *_OF_TERMS, *_OF_A_FILL, *_OF_PRICES, *_OF_FUNDS),
        examples={
            "long": {"margin": 1000, "asset": "SOL", "type": "long", "leverage": 2, "currentPrice": 150},
            "strings": {"margin": "250.50", "asset": "BTC_USDC", "type": "short", "leverage": "10"},
        },
        links=_POSITION_LINKS,
    ),
    RouteText(
        method="POST",
        path="/api/v1/positions/close",
        name="closePosition",
        tag="positions",
        summary="Close a position at the market, in whole or in part",
        body=bodies.CloseRequest,
        body_rule=_NOT_BOTH,
        answers={200: messages.CloseMessage},
        refusals=(*OF_A_COMMAND, "POSITION_NOT_FOUND", *_OF_A_FILL),
        examples={
            "half": {"positionId": "pos_0_1", "percentage": 50},
            "whole": {"positionId": "pos_0_1"},
        },
    ),
    RouteText(
        method="POST",
        path="/api/v1/positions/close-all",
        name="closeAllPositions",
        tag="positions",
        summary="Close every open position; one result for each",
        body=bodies.CloseAllRequest,
        answers={200: messages.CloseAllMessage},
        refusals=(*OF_A_COMMAND, "PRICE_UNAVAILABLE"),
        examples={"all": {}},
    ),
    RouteText(
        method="POST",
        path="/api/v1/positions/modify",
        name="modifyPosition",
        tag="positions",
        summary="Set or clear a position's stop loss and take profit",
        body=bodies.ModifyRequest,
        body_rule={"minProperties": 2},
        answers={200: messages.PositionMessage},
        refusals=(*OF_A_COMMAND, "POSITION_NOT_FOUND", "PRICE_UNAVAILABLE", *_OF_PRICES),
        examples={"clear": {"positionId": "pos_0_1", "stopLoss": None, "takeProfit": None}},
    ),
)

_ORDERS = (
    RouteText(
        method="POST",
        path="/api/v1/orders/place",
        name="placeOrder",
        tag="orders",
        summary="Place a limit or stop order, which reserves its margin and fee; a limit at the market fills at once",
        body=bodies.PlaceRequest,
        answers={201: messages.OrderMessage},
        refusals=(*OF_A_COMMAND, *_OF_TERMS, "PRICE_UNAVAILABLE", *_OF_PRICES, *_OF_FUNDS),
        examples={
            "limit": {"margin": 100, "asset": "SOL", "type": "long", "leverage": 5, "kind": "limit", "price": 1},
        },
        links={"cancelOrder": ("orderId", "orderId")},
    ),
    RouteText(
        method="POST",
        path="/api/v1/orders/cancel",
        name="cancelOrder",
        tag="orders",
        summary="Cancel a pending order",
        body=bodies.CancelRequest,
        answers={200: messages.OrderMessage},
        refusals=(*OF_A_COMMAND, "ORDER_NOT_FOUND"),
        examples={"cancel": {"orderId": "ord_0_1"}},
    ),
)

_ACCOUNT = (
    RouteText(
        method="GET",
        path="/api/v1/state",
        name="getState",
        tag="account",
        summary="Balances, open positions at the market, pending orders, and the account's figures",
        answers={200: messages.StateMessage},
        refusals=OF_AN_ACCOUNT,
    ),
    RouteText(
        method="GET",
        path="/api/v1/trades",
        name="getTrades",
        tag="account",
        summary="Closed trades, newest first; with Accept: text/csv all of them as CSV, without limit and cursor",
        answers={200: {JSON: messages.TradesMessage, "text/csv": str}},
        refusals=OF_AN_ACCOUNT,
        query={
            "limit": _limit(50),
            "cursor": _CURSOR,
            "symbol": {
                "type": "string",
                "pattern": "^[A-Za-z0-9._-]{1,64}$",
                "description": "Only trades of this instrument",
            },
            "reason": {"enum": list(get_args(CloseReason)), "description": "Only trades closed for this reason"},
        },
    ),
    RouteText(
        method="GET",
        path="/api/v1/equity",
        name="getEquity",
        tag="account",
        summary="The balance after each event that changed it, oldest first",
        answers={200: messages.EquityMessage},
        refusals=OF_AN_ACCOUNT,
        query={"limit": _limit(500), "cursor": _CURSOR},
    ),
    RouteText(
        method="POST",
        path="/api/v1/account/deposit",
        name="deposit",
        tag="account",
        summary="Add USD",
        body=bodies.DepositRequest,
        answers={200: messages.BalanceMessage},
        refusals=(*OF_A_COMMAND, "LIMIT_REACHED"),
        examples={"deposit": {"amount": 500}},
    ),
    RouteText(
        method="POST",
        path="/api/v1/account/reset",
        name="resetAccount",
        tag="account",
        summary="Start again: drops positions and orders without a trade, and restores the starting balance",
        body=bodies.ResetRequest,
        answers={200: messages.BalanceMessage},
        refusals=OF_A_COMMAND,
        examples={"reset": {"confirm": "RESET"}},
    ),
)

ROUTE_TEXTS = (*_ACCOUNT, *_POSITIONS, *_ORDERS, *ACCESS_TEXTS, *_PUBLIC)
