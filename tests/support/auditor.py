"""The auditor of a workload: keeps its own books from the answers alone, and checks every answer as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

STARTING_BALANCE = Decimal(10_000)
MARGIN_MIN = Decimal(1)
_PLACES = Decimal("0.00000001")
STEPS = {"SOL": Decimal("0.01"), "BTC": Decimal("0.00001"), "ETH": Decimal("0.0001")}
"""Of quantities, as the simulated exchange tells them. A worker that has not heard it yet rounds to 8 places."""

Json = dict[str, Any]


def exact(body: bytes) -> Json:
    """JSON with its numbers as they are written."""
    decoded: Json = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    return decoded


@dataclass(frozen=True)
class Request:
    """One request under one idempotency key."""

    account: str
    key: str
    path: str
    body: Json


@dataclass(frozen=True)
class Answer:
    """What the platform said first."""

    status: int
    body: bytes


@dataclass
class Books:
    """One account as its clients know it. opened, orders: as the newest answer shows them; parts: partial closes."""

    opened: dict[str, Json] = field(default_factory=dict)
    closed: dict[str, Json] = field(default_factory=dict)
    parts: list[Json] = field(default_factory=list)
    orders: dict[str, Json] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    realized: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    deposited: Decimal = Decimal(0)
    events: int = 0

    @property
    def held(self) -> dict[str, Json]:
        """Positions that were opened and not wholly closed."""
        return {name: position for name, position in self.opened.items() if name not in self.closed}

    @property
    def waiting(self) -> dict[str, Json]:
        """Orders that were placed and not cancelled."""
        return {name: order for name, order in self.orders.items() if name not in self.cancelled}

    @property
    def margins(self) -> Decimal:
        """USD that positions and orders hold."""
        by_positions = sum((position["margin"] for position in self.held.values()), Decimal(0))
        return by_positions + sum((order["reservedMargin"] for order in self.waiting.values()), Decimal(0))

    @property
    def cash(self) -> Decimal:
        """USD that must be free."""
        return STARTING_BALANCE + self.deposited + self.realized - self.fees - self.margins


class Auditor:
    """Raises AssertionError at the first answer that can't be true."""

    def __init__(self) -> None:
        self.books: dict[str, Books] = {}
        self.answers: dict[str, tuple[Request, Answer]] = {}
        self._checks: dict[str, Callable[[Books, Json, Json], None]] = {
            "open": self._check_open,
            "close": self._check_close,
            "modify": self._check_modify,
            "place": self._check_place,
            "cancel": self._check_cancel,
            "deposit": self._check_deposit,
        }

    def check(self, request: Request, answer: Answer) -> None:
        """An answer to a request, the first one heard or a repeat."""
        known = self.answers.get(request.key)
        if known is not None:
            assert answer == known[1], f"{request} was answered by {known[1]}, and now by {answer}"
            return
        self.answers[request.key] = (request, answer)
        books = self.books.setdefault(request.account, Books())
        said = exact(answer.body)
        if answer.status in (200, 201):
            books.events += 1
            self._checks[request.path.rsplit("/", 1)[1]](books, request.body, said)
        else:
            assert _may_be_refused(books, request, answer.status, said), f"{request} was refused: {said}"

    def _check_open(self, books: Books, asked: Json, said: Json) -> None:
        for name in ("asset", "type", "margin", "leverage"):
            assert str(said[name]) == str(asked[name]), f"{name}: asked {asked}, got {said}"
        quantities = _rounded(said["margin"] * said["leverage"] / said["entryPrice"], said["asset"])
        assert said["quantity"] in quantities, f"quantity should be one of {quantities}: {said}"
        assert said["positionId"] not in books.opened, f"two opens made one position: {said}"
        books.opened[said["positionId"]] = said
        books.fees += said["fee"]

    def _check_close(self, books: Books, asked: Json, said: Json) -> None:
        position_id = said["positionId"]
        assert position_id == asked["positionId"], f"asked {asked}, got {said}"
        assert position_id not in books.closed, f"closed twice: {said}"
        position = books.opened[position_id]
        parts = _parts(position, asked)
        assert said["quantity"] in parts, f"one of {list(parts)} should be closed: {said}"
        quantity, margin = said["quantity"], parts[said["quantity"]]
        gain = (said["closePrice"] - position["entryPrice"]) * quantity
        gain = (gain if position["type"] == "long" else -gain).quantize(_PLACES)
        assert said["realizedPnL"] == max(gain, -margin), f"PnL should be {gain}: {said}"
        books.realized += said["realizedPnL"]
        books.fees += said["fee"]
        left = said["position"]
        if quantity == position["quantity"]:
            assert left is None, f"something is left: {said}"
            books.closed[position_id] = said
            return
        assert (left["quantity"], left["margin"]) == (position["quantity"] - quantity, position["margin"] - margin)
        _check_same(position, left, but=("quantity", "margin", "fee"))
        books.opened[position_id] = left
        books.parts.append(said)

    def _check_modify(self, books: Books, asked: Json, said: Json) -> None:
        wanted = asked["takeProfit"] and Decimal(asked["takeProfit"])
        assert said["takeProfit"] == wanted, f"asked {asked}, got {said}"
        _check_same(books.opened[said["positionId"]], said, but=("takeProfit",))
        books.opened[said["positionId"]] = said

    def _check_place(self, books: Books, asked: Json, said: Json) -> None:
        for name in ("asset", "type", "margin", "leverage", "kind", "price"):
            assert str(said[name]) == str(asked[name]), f"{name}: asked {asked}, got {said}"
        assert said["orderId"] not in books.orders, f"two orders are one: {said}"
        assert said["status"] == "open"
        books.orders[said["orderId"]] = said

    def _check_cancel(self, books: Books, asked: Json, said: Json) -> None:
        name = said["orderId"]
        assert name == asked["orderId"], f"asked {asked}, got {said}"
        assert name not in books.cancelled, f"cancelled twice: {said}"
        assert said == books.orders[name] | {"status": "cancelled"}, f"another order than {books.orders[name]}: {said}"
        books.cancelled.add(name)

    def _check_deposit(self, books: Books, asked: Json, said: Json) -> None:
        assert str(asked["amount"]) in said["message"], f"asked {asked}, got {said}"
        books.deposited += Decimal(str(asked["amount"]))

    def check_state(self, account: str, state: Json) -> None:
        """GET /api/v1/state of an account whose requests have all been answered."""
        books = self.books[account]
        shown = {position["positionId"]: position for position in state["positions"]}
        assert shown.keys() == books.held.keys(), f"{account}: positions differ"
        for name, position in books.held.items():
            _check_same(position, shown[name])
        assert {order["orderId"]: order for order in state["orders"]} == books.waiting, f"{account}: orders differ"
        account_figures = state["account"]
        assert state["balances"]["USD"] == books.cash, f"{account}: money is lost or made"
        assert state["balances"]["USD"] >= 0
        assert account_figures["realizedPnL"] == books.realized
        assert account_figures["usedMargin"] == books.margins
        assert account_figures["balance"] == books.cash + books.margins
        assert state["sequence"] == books.events, f"{account}: events nobody asked for"


_LASTING = (
    "margin", "leverage", "quantity", "entryPrice", "liquidationPrice", "type", "fee", "stopLoss", "takeProfit"
)  # fmt: skip


def _check_same(known: Json, shown: Json, but: tuple[str, ...] = ()) -> None:
    for part in _LASTING:
        if part not in but:
            assert shown[part] == known[part], f"{part} of {known['positionId']} has changed: {known}, now {shown}"


def _rounded(quantity: Decimal, asset: str) -> list[Decimal]:
    """What it may be rounded down to: to the step, or to 8 places."""
    return [quantity // unit * unit for unit in (STEPS[asset], _PLACES)]


def _parts(position: Json, asked: Json) -> dict[Decimal, Decimal]:
    """The margin by the quantity that a close may take: all, too, when less than the smallest margin would be left."""
    whole, margin = position["quantity"], position["margin"]
    parts = {}
    for quantity in _rounded(whole * asked.get("percentage", 100) / 100, position["asset"]):
        share = (margin * quantity / whole).quantize(_PLACES)
        if quantity == whole or margin - share < MARGIN_MIN:
            parts[whole] = margin
        else:
            parts[quantity] = share
    return parts


def _may_be_refused(books: Books, request: Request, status: int, said: Json) -> bool:
    """For funds; and for a margin, or a part of a position, that comes to less than a step."""
    asked, details = request.body, said.get("details", {})
    if status != 400:
        return False
    if request.path.endswith(("/open", "/place")):
        if said["error"] == "INSUFFICIENT_MARGIN":
            return True
        notional = Decimal(str(asked["margin"])) * asked["leverage"]
        step = STEPS[asked["asset"]]
        return said["error"] == "INVALID_MARGIN" and notional < step * Decimal(details["price"])
    if request.path.endswith("/close") and said["error"] == "INVALID_REQUEST" and "percentage" in asked:
        position = books.opened[asked["positionId"]]
        return bool(position["quantity"] * asked["percentage"] / 100 < STEPS[position["asset"]])
    return False
