"""A client of the live stream that keeps what it is told, and folds an account's events as a page would."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp import WSMsgType

GIVE_UP_S = 60.0
STANDING = ("margin", "leverage", "quantity", "entryPrice", "liquidationPrice", "stopLoss", "takeProfit", "fee")
WAITING = ("kind", "price", "margin", "leverage", "quantity", "stopLoss", "takeProfit", "expiresAt")

Json = dict[str, Any]


def exact(text: str | bytes) -> Any:
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class Book:
    """An account as its snapshot and the events after it say; every event must be the next one."""

    def __init__(self, state: Json) -> None:
        self.sequence = state["sequence"]
        self.balance = state["account"]["balance"]
        self.positions = {one["positionId"]: {name: one[name] for name in STANDING} for one in state["positions"]}
        self.orders = {one["orderId"]: {name: one[name] for name in WAITING} for one in state["orders"]}

    def apply(self, event: Json) -> None:
        """AssertionError when an event is missing, or comes twice."""
        assert event["sequence"] == self.sequence + 1
        self.sequence, self.balance = event["sequence"], event["balance"]
        kind = event["type"]
        if kind in ("PositionOpened", "PositionModified"):
            self.positions[event["positionId"]] = {name: event[name] for name in STANDING}
        elif kind == "PositionClosed" and event["remaining"] is None:
            del self.positions[event["positionId"]]
        elif kind == "PositionClosed":
            left = event["remaining"]
            self.positions[event["positionId"]] |= {name: left[name] for name in STANDING if name in left}
        elif kind == "OrderPlaced":
            self.orders[event["orderId"]] = {name: event[name] for name in WAITING}
        elif kind.startswith("Order"):
            del self.orders[event["orderId"]]
        elif kind == "AccountReset":
            self.positions, self.orders = {}, {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Book) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Book({vars(self)})"


class StreamClient:
    """An open stream. Everything that was received stays in `received`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.received: list[Json] = []
        self.close_code: int | None = None
        self.close_reason = ""

    async def read(self) -> Json | None:
        """The next message; None once the stream is closed."""
        message = await self.socket.receive(GIVE_UP_S)
        if message.type is WSMsgType.TEXT:
            self.received.append(exact(message.data))
            return self.received[-1]
        if message.type is WSMsgType.CLOSE:
            self.close_code, self.close_reason = message.data, message.extra or ""
        return None

    async def next(self, *kinds: str) -> Json:
        """The next message of one of these types."""
        while (message := await self.read()) is not None:
            if message["type"] in kinds:
                return message
        raise AssertionError(f"closed with {self.close_code} {self.close_reason} before {kinds}")

    async def begin(self, symbols: int = 3) -> Book:
        """Read all that comes at once; the account's book."""
        await self.next("connection")
        book = Book(await self.next("state"))
        for _ in range(symbols):
            await self.next("market_data")
        await self.next("feed")
        return book

    async def closed(self) -> tuple[int | None, str]:
        """Read until the stream is closed; code and reason, None when there was no goodbye."""
        while await self.read() is not None:
            pass
        return self.close_code, self.close_reason

    @property
    def events(self) -> list[Json]:
        """The account events among what was received."""
        return [message for message in self.received if "eventId" in message]


@asynccontextmanager
async def stream(url: str, account: str, query: str = "", **options: Any) -> AsyncIterator[StreamClient]:
    """A stream of an account from a worker at http://host:port."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws?account={account}{query}", max_msg_size=0, **options) as socket,
    ):
        yield StreamClient(socket)
