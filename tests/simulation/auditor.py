"""The auditor of a workload: keeps its own books from the answers alone, and checks every answer as it comes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any

STARTING_BALANCE = Decimal(10_000)
_STEP = Decimal("0.00000001")

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
    """One account as its clients know it."""

    opened: dict[str, Json] = field(default_factory=dict)
    closed: dict[str, Json] = field(default_factory=dict)

    @property
    def held(self) -> dict[str, Json]:
        """Positions that were opened and not closed."""
        return {name: position for name, position in self.opened.items() if name not in self.closed}

    @property
    def realized(self) -> Decimal:
        """USD, of all closes."""
        return sum((closed["realizedPnL"] for closed in self.closed.values()), Decimal(0))

    @property
    def cash(self) -> Decimal:
        """USD that must be free."""
        fees = sum((done["fee"] for done in (*self.opened.values(), *self.closed.values())), Decimal(0))
        margins = sum((position["margin"] for position in self.held.values()), Decimal(0))
        return STARTING_BALANCE + self.realized - fees - margins


class Auditor:
    """Raises AssertionError at the first answer that can't be true."""

    def __init__(self) -> None:
        self.books: dict[str, Books] = {}
        self.answers: dict[str, tuple[Request, Answer]] = {}

    def check(self, request: Request, answer: Answer) -> None:
        """An answer to a request, the first one heard or a repeat."""
        known = self.answers.get(request.key)
        if known is not None:
            assert answer == known[1], f"{request} was answered by {known[1]}, and now by {answer}"
            return
        self.answers[request.key] = (request, answer)
        books = self.books.setdefault(request.account, Books())
        said = exact(answer.body)
        if answer.status == 201:
            self._check_open(books, request.body, said)
        elif answer.status == 200:
            self._check_close(books, request.body, said)
        else:
            assert (answer.status, said["error"]) == (400, "INSUFFICIENT_MARGIN"), f"{request} was refused: {said}"
            assert request.path.endswith("/open"), f"{request} was refused: {said}"

    def _check_open(self, books: Books, asked: Json, said: Json) -> None:
        for name in ("asset", "type", "margin", "leverage"):
            assert str(said[name]) == str(asked[name]), f"{name}: asked {asked}, got {said}"
        quantity = (said["margin"] * said["leverage"] / said["entryPrice"]).quantize(_STEP, ROUND_DOWN)
        assert said["quantity"] == quantity, f"quantity should be {quantity}: {said}"
        assert said["positionId"] not in books.opened, f"two opens made one position: {said}"
        books.opened[said["positionId"]] = said

    def _check_close(self, books: Books, asked: Json, said: Json) -> None:
        position_id = said["positionId"]
        assert position_id == asked["positionId"], f"asked {asked}, got {said}"
        assert position_id not in books.closed, f"closed twice: {said}"
        assert said["position"] is None, f"something is left: {said}"
        position = books.opened[position_id]
        gain = (said["closePrice"] - position["entryPrice"]) * position["quantity"]
        gain = (gain if position["type"] == "long" else -gain).quantize(_STEP)
        assert said["realizedPnL"] == max(gain, -position["margin"]), f"PnL should be {gain}: {said}"
        books.closed[position_id] = said

    def check_state(self, account: str, state: Json) -> None:
        """GET /api/v1/state of an account whose requests have all been answered."""
        books = self.books[account]
        shown = {position["positionId"]: position for position in state["positions"]}
        assert shown.keys() == books.held.keys(), f"{account}: positions differ"
        for name, position in books.held.items():
            for part in ("margin", "leverage", "quantity", "entryPrice", "liquidationPrice", "type", "fee"):
                assert shown[name][part] == position[part], f"{part} of {name} has changed"
        margins = sum((position["margin"] for position in shown.values()), Decimal(0))
        account_figures = state["account"]
        assert state["balances"]["USD"] == books.cash, f"{account}: money is lost or made"
        assert state["balances"]["USD"] >= 0
        assert account_figures["realizedPnL"] == books.realized
        assert account_figures["usedMargin"] == margins
        assert account_figures["balance"] == books.cash + margins
        assert state["sequence"] == len(books.opened) + len(books.closed), f"{account}: events nobody asked for"
