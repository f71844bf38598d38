"""The one door for a command: a request becomes a record of the journal, and its outcome an answer."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import web

from exness_streams.api.access.caller import account_of, caller_of
from exness_streams.api.accounts import Accounts
from exness_streams.api.answers import answer
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import Request
from exness_streams.api.errors import ApiError, unknown_asset
from exness_streams.api.ports import FrameAges, Journal, TradingRules
from exness_streams.api.price_grid import check_grid
from exness_streams.api.request_ids import request_id_of
from exness_streams.api.requests import Body, idempotency_of, read_body
from exness_streams.domain.account import AccountRow, Position
from exness_streams.domain.cell import Cell, Reply
from exness_streams.domain.checks import check_terms, order_not_found, position_not_found, refuse_stale, refuse_state
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    IdempotencyKey,
    ModifyPosition,
    OpenPosition,
    PlaceOrder,
)
from exness_streams.domain.identity import AccessCommand
from exness_streams.domain.instruments import Catalogue, Terms
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.outcomes import is_repeat, repeat_of
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.engine.gateway import NotWritten, OutcomeUnknown, Overloaded

Asked = TypeVar("Asked", bound=Request)


class Incoming:
    """A request that has come as far as its account's cell. base: what every command carries, time and id included."""

    def __init__(self, accounts: Accounts, cell: Cell, base: dict[str, Any]) -> None:
        self._accounts = accounts
        self.cell, self.base = cell, base

    @cached_property
    def row(self) -> AccountRow:
        """The account as it is now."""
        return self._accounts.row_of(self.cell, self.base["account_id"])

    def position(self, position_id: str) -> Position | None:
        """An open position of the account."""
        return self.row.positions.get(position_id)

    @property
    def repeat(self) -> web.Response | None:
        """The answer to a request that was settled before, whatever the market does now."""
        keyed: IdempotencyKey | None = self.base["idempotency"]
        known = None if keyed is None else self.cell.remembered(self.base["account_id"], keyed.key)
        return None if known is None or keyed is None else answer(repeat_of(known, keyed), repeated=True)


class Newcomers(Protocol):
    """Who may begin how many accounts."""

    async def begin_account(self, request: web.Request, account_id: str) -> None:
        """Called before the first command of an account that is not there yet. ApiError when it may not be."""


class CommandDesk:
    """What the routes of commands share."""

    def __init__(
        self,
        accounts: Accounts,
        journal: Journal,
        rules: TradingRules,
        catalogue: Catalogue,
        newcomers: Newcomers,
        frame_ages: FrameAges,
        refused: Counter[str],
    ) -> None:
        """refused: counts what is not taken, as in engine/engine.py, REFUSED_FOR."""
        self._frame_ages, self._refused = frame_ages, refused
        self.accounts = accounts
        self.catalogue = catalogue
        self.newcomers = newcomers
        self._journal = journal
        self._rules = rules
        # A command's id names the client that waits in this process, so it must differ from every other process's.
        self._process = uuid.uuid4().hex
        self._numbers = itertools.count()

    def take(
        self,
        account_id: str,
        idempotency: IdempotencyKey | None,
        credential: str | None = None,
        request_id: str | None = None,
    ) -> Incoming:
        """Bring a request whose fields are all right to its cell, with a stamp of its own. 503 without the cell."""
        base = {
            **self.stamp(account_id, credential),
            "starting_balance": self._rules.starting_balance,
            "quote_age_ms_max": self._rules.max_quote_age_ms,
            "limits": self._rules.limits(),
            "idempotency": idempotency,
            "request_id": request_id,
        }
        return Incoming(self.accounts, self.accounts.cell_of(account_id), base)

    def stamp(self, account_id: str, credential: str | None) -> dict[str, Any]:
        """What every command carries, whatever it is about."""
        return {
            "command_id": f"{self._process}-{next(self._numbers)}",
            "account_id": account_id,
            "time_ms": int(time.time() * 1000),
            "credential": credential,
        }

    def terms_of(self, asset: str) -> Terms:
        """The instrument of a base asset or symbol. 400 when there is none."""
        terms = self.catalogue.find(asset)
        if terms is None:
            raise unknown_asset("asset", asset, self.catalogue)
        return terms

    def terms_for(self, command: Command, incoming: Incoming) -> Terms | None:
        """The terms on offer now of the instrument that a command sets prices in, None when it sets none."""
        match command:
            case OpenPosition() | PlaceOrder():
                return command.terms
            case ModifyPosition():
                position = incoming.position(command.position_id)
                return None if position is None else self.catalogue.terms_of(position.symbol)
            case _:
                return None

    def admit(self, command: Command, incoming: Incoming) -> None:
        """503 for a command that could only fill the journal: its cell is behind, or no prices come to it.

        Asked before an account begins, and after what can be answered without a record.
        """
        partition = incoming.cell.partition
        try:
            self._journal.check_room(partition)
        except Overloaded as behind:
            raise self._overloaded(behind) from behind
        age_s, age_ms_max = self._frame_ages.age_s(partition), command.quote_age_ms_max
        if age_s is not None and age_s * 1000 > age_ms_max and _needs_market(command, incoming):
            self._refused["no_prices"] += 1
            words = f"none has come for {age_s * 1000:.0f} ms, at most {age_ms_max} ms is allowed"
            raise ApiError(503, RejectionCode.PRICE_UNAVAILABLE.value, f"no price to trade on: {words}")

    def _overloaded(self, behind: Overloaded) -> ApiError:
        self._refused["overload"] += 1
        return ApiError(503, "OVERLOADED", str(behind))

    async def settle(self, cell: Cell, command: Command | AccessCommand) -> Reply:
        """Into the journal, and back with the outcome. 503 when it is certainly not there, 504 when nobody knows."""
        try:
            return await self._journal.submit(cell.partition, command)
        except Overloaded as behind:
            raise self._overloaded(behind) from behind
        except NotWritten as fault:
            raise ApiError(503, "NOT_READY", f"the request was not accepted: {fault}") from fault
        except OutcomeUnknown as fault:
            raise ApiError(
                504,
                "OUTCOME_UNKNOWN",
                f"{fault}: repeat the request with the same Idempotency-Key to learn the outcome",
            ) from fault


class CommandView(ApiView, Generic[Asked]):
    """A POST that changes an account. A route says what its body is, and which command is made of it."""

    body: type[Asked]

    def __init__(self, app: Any, web_server: Any, desk: CommandDesk) -> None:
        super().__init__(app, web_server)
        self.desk = desk

    def command(self, asked: Asked, incoming: Incoming) -> Command:
        """The command, complete. ApiError when there can be none."""
        raise NotImplementedError

    async def post(self, request: web.Request) -> web.Response:
        """Read, check, find the account, answer a repeat, stamp, submit, answer: for every command in this order."""
        account_id = account_of(request)  # complains first, as on the routes without a body
        body = await read_body(request)
        try:
            asked = self.body.read(body)
        except ApiError:
            if (settled := self._settled_before(request, account_id, body)) is not None:
                return settled
            raise
        keyed, known_as = idempotency_of(request, body), request_id_of(request)
        incoming = self.desk.take(account_id, keyed, caller_of(request).credential, known_as)
        if (repeat := incoming.repeat) is not None:
            return repeat
        command = self.command(asked, incoming)
        if (refused := certain_refusal(command, incoming)) is not None:
            raise ApiError.of(refused)
        check_grid(command, self.desk.terms_for(command, incoming))
        self.desk.admit(command, incoming)
        if not incoming.cell.has(account_id):
            await self.desk.newcomers.begin_account(request, account_id)
        reply = await self.desk.settle(incoming.cell, command)
        return answer(reply.outcome, repeated=reply.repeated)

    def _settled_before(self, request: web.Request, account_id: str, body: Body) -> web.Response | None:
        """The answer to a true repeat of what an earlier release took, and this one would refuse by its form."""
        if "Idempotency-Key" not in request.headers or (keyed := idempotency_of(request, body)) is None:
            return None
        known = self.desk.accounts.cell_of(account_id).remembered(account_id, keyed.key)
        if known is None or not is_repeat(known, keyed):
            return None
        return answer(known.outcome, repeated=True)


def certain_refusal(command: Command, incoming: Incoming) -> Rejection | None:
    """What the fold would certainly refuse: told at once, it costs no record. None when the fold has to decide."""
    match command:
        case OpenPosition() | PlaceOrder():
            with money_arithmetic():
                refused = check_terms(command)
            return refused or _stale(command, command.terms.symbol, incoming)
        case ClosePosition() | ModifyPosition():
            position = incoming.position(command.position_id)
            if position is not None:
                return _stale(command, position.symbol, incoming) if _needs_market(command, incoming) else None
            refused = position_not_found(command.position_id)
        case CancelOrder() if command.order_id not in incoming.row.orders:
            refused = order_not_found(command.order_id)
        case _:
            return None
    # A key has to be remembered: one of this id may be opened before the request is repeated, or just now.
    return refused if command.idempotency is None else None


def _needs_market(command: Command, incoming: Incoming) -> bool:
    """Whether the fold refuses it without a price. Deposits, resets and cancellations need none."""
    match command:
        case OpenPosition() | PlaceOrder():
            return True
        case ClosePosition():
            return incoming.position(command.position_id) is not None
        case ModifyPosition():
            sets_price = bool(command.stop_loss or command.take_profit)
            return sets_price and incoming.position(command.position_id) is not None
        case CloseAllPositions():
            return bool(incoming.row.positions)
        case _:
            return False


def _stale(command: Command, symbol: str, incoming: Incoming) -> Rejection | None:
    cell = incoming.cell
    opens = isinstance(command, OpenPosition | PlaceOrder)
    return refuse_state(cell.markets.get(symbol), opens=opens) or refuse_stale(
        cell.quotes.get(symbol), symbol, command.time_ms, command.quote_age_ms_max, cell.market_ms
    )
