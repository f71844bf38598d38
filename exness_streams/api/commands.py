"""The way of a request that changes an account: to the cell's owner, into the journal, and back as an answer."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exness_streams.api import presenter
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import Request
from exness_streams.api.errors import ApiError
from exness_streams.api.requests import Body, account_of, idempotency_of, read_body
from exness_streams.domain.account import AccountRow, new_account
from exness_streams.domain.cell import Cell, is_transient, repeat_of
from exness_streams.domain.checks import check_terms, refuse_stale
from exness_streams.domain.codec import Outcome, PositionsClosed
from exness_streams.domain.commands import Command, OpenPosition, PlaceOrder
from exness_streams.domain.events import (
    AccountReset,
    Deposited,
    OrderPlaced,
    PositionClosed,
    PositionModified,
    PositionOpened,
)
from exness_streams.domain.instruments import Terms
from exness_streams.domain.money import money_arithmetic
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.engine.gateway import NotWritten, OutcomeUnknown
from exness_streams.messages import json_encoder

if TYPE_CHECKING:
    from exness_streams.engine.engine import Engine


def json_response(message: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A message as JSON with exact numbers."""
    return web.Response(
        body=json_encoder.encode(message), status=status, headers=headers, content_type="application/json"
    )


class Incoming:
    """A request that has come as far as its account's cell. base: what every command carries."""

    def __init__(self, body: Body, cell: Cell, base: dict[str, Any]) -> None:
        self.body, self.cell, self.base = body, cell, base

    @property
    def account_id(self) -> str:
        account_id: str = self.base["account_id"]
        return account_id

    @property
    def has_key(self) -> bool:
        """Whether its outcome has to be remembered, a refusal included."""
        return self.base["idempotency"] is not None

    @property
    def repeat(self) -> web.Response | None:
        """The answer to a request that was settled before, whatever the market does now."""
        keyed = self.base["idempotency"]
        known = None if keyed is None else self.cell.remembered(self.account_id, keyed.key)
        return None if known is None else answer(repeat_of(known, keyed.fingerprint), repeated=True)


class CommandDesk:
    """What the views that change accounts share."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # A command's id names the client that waits in this process, so it must differ from every other process's.
        self._process = uuid.uuid4().hex
        self._numbers = itertools.count()

    def cell_of(self, account_id: str) -> Cell:
        """The cell of an account. 503 while it can't be served here."""
        if not self.engine.is_ready:
            raise ApiError(503, "NOT_READY", "the platform is starting: it is reading what was acknowledged before")
        cell = self.engine.cells.cell(self.engine.partition_of(account_id))
        if cell is None:
            raise ApiError(503, "REBALANCING", "the account is moving to another worker")
        return cell

    def row_of(self, cell: Cell, account_id: str) -> AccountRow:
        """An account's row, or the one that it would begin with."""
        return cell.account(account_id) or new_account(account_id, self.engine.settings.starting_balance)

    async def body_of(self, request: web.Request, kind: type[Request]) -> Body:
        """The request's body, with no other field than the route's."""
        account_of(request)  # complains first, as on the routes without a body
        body = await read_body(request)
        body.only(kind)
        return body

    def take(self, request: web.Request, body: Body) -> Incoming:
        """Bring a request whose fields are all right to its cell."""
        settings, account_id = self.engine.settings, account_of(request)
        base = {
            "command_id": f"{self._process}-{next(self._numbers)}",
            "account_id": account_id,
            "time_ms": int(time.time() * 1000),
            "starting_balance": settings.starting_balance,
            "quote_age_ms_max": settings.max_quote_age_ms,
            "limits": settings.limits(),
            "idempotency": idempotency_of(request, body),
        }
        return Incoming(body, self.cell_of(account_id), base)

    def terms_of(self, asset: str) -> Terms:
        """The instrument of a base asset or symbol. 400 when there is none."""
        terms = self.engine.catalogue.find(asset)
        if terms is None:
            assets = self.engine.catalogue.assets
            raise ApiError.of(
                Rejection(RejectionCode.UNKNOWN_ASSET, f"asset must be one of {', '.join(assets)}", {"allowed": assets})
            )
        return terms

    async def settle(self, incoming: Incoming, command: Command, symbol: str | None = None) -> web.Response:
        """Submit, unless the fold would certainly refuse: terms, or the stale market of `symbol`."""
        refused = None
        if isinstance(command, OpenPosition | PlaceOrder):
            with money_arithmetic():
                refused = check_terms(command)
        if refused is None and symbol is not None:
            quote = incoming.cell.quotes.get(symbol)
            refused = refuse_stale(quote, symbol, command.time_ms, command.quote_age_ms_max)
        if refused is not None:
            raise ApiError.of(refused)
        try:
            reply = await self.engine.gateway.submit(incoming.cell.partition, command)
        except NotWritten as fault:
            raise ApiError(503, "NOT_READY", f"the request was not taken: {fault}") from fault
        except OutcomeUnknown as fault:
            raise ApiError(
                504, "OUTCOME_UNKNOWN", f"{fault}: repeat the request with the same Idempotency-Key to learn it"
            ) from fault
        return answer(reply.outcome, repeated=reply.repeated)


class DeskView(ApiView):
    """A view that needs the desk."""

    def __init__(self, app: Any, web_server: Any, desk: CommandDesk) -> None:
        super().__init__(app, web_server)
        self._desk = desk


def answer(outcome: Outcome, *, repeated: bool) -> web.Response:
    """What the client is told of its command's outcome."""
    headers = {"Idempotent-Replayed": "true"} if repeated else None
    if isinstance(outcome, Rejection):
        # A conflict is about this request, not the answer to an earlier one.
        is_first = outcome.code is RejectionCode.IDEMPOTENCY_CONFLICT
        raise ApiError.of(outcome, None if is_first else headers)
    if isinstance(outcome, PositionsClosed) and is_transient(outcome):
        raise ApiError.of(_nothing_closed(outcome))
    created = isinstance(outcome, PositionOpened | OrderPlaced)
    return json_response(_message_of(outcome), 201 if created else 200, headers)


def _nothing_closed(outcome: PositionsClosed) -> Rejection:
    """No position had a market: as with a single close the key stays free, so the client is told to come again."""
    return Rejection(
        RejectionCode.PRICE_UNAVAILABLE,
        "none of the positions has a price to close at now",
        {"positions": [result.position_id for result in outcome.results]},
    )


def _message_of(outcome: Outcome) -> Any:
    match outcome:
        case PositionOpened() | PositionModified():
            return presenter.standing_message(outcome)
        case PositionClosed():
            return presenter.closed_message(outcome)
        case PositionsClosed():
            return presenter.close_all_message(outcome)
        case Deposited() | AccountReset():
            return presenter.balance_message(outcome)
        case Rejection():
            raise TypeError("a rejection is raised, not returned")
    return presenter.order_event_message(outcome)
