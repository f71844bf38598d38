"""Opening and closing positions, and the state of an account."""

from __future__ import annotations

import itertools
import time
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from exness_streams.api import presenter
from exness_streams.api.errors import ApiError
from exness_streams.api.requests import Body, account_of, idempotency_of, read_body
from exness_streams.domain.account import new_account
from exness_streams.domain.cell import Cell, repeat_of
from exness_streams.domain.commands import ClosePosition, Command, OpenPosition
from exness_streams.domain.events import PositionOpened
from exness_streams.domain.money import HUNDRED, ONE, ZERO, money_arithmetic
from exness_streams.domain.quotes import Side
from exness_streams.domain.records import Outcome
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.trading import check_terms, position_not_found, refuse_stale
from exness_streams.engine.gateway import NotWritten, OutcomeUnknown
from exness_streams.messages import json_encoder

if TYPE_CHECKING:
    from exness_streams.engine.app import Engine

OPEN_FIELDS = ("margin", "asset", "type", "leverage", "currentPrice", "slippage")
CLOSE_FIELDS = ("positionId", "currentPrice", "slippage")


def json_response(message: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A message as JSON with exact numbers."""
    return web.Response(
        body=json_encoder.encode(message), status=status, headers=headers, content_type="application/json"
    )


class TradingViews:
    """The routes that read or change an account."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # A command's id names the client that waits in this process, so it must differ from every other process's.
        self._process = uuid.uuid4().hex
        self._numbers = itertools.count()

    def _cell_of(self, account_id: str) -> Cell:
        engine = self._engine
        if not engine.is_ready:
            raise ApiError(503, "NOT_READY", "the platform is starting: it is reading what was acknowledged before")
        cell = engine.cells.cell(engine.partition_of(account_id))
        if cell is None:
            raise ApiError(503, "REBALANCING", "the account is moving to another worker")
        return cell

    async def state(self, request: web.Request) -> web.Response:
        """GET /api/v1/state"""
        account_id = account_of(request)
        cell = self._cell_of(account_id)
        row = cell.account(account_id) or new_account(account_id, self._engine.settings.starting_balance)
        return json_response(presenter.state_message(row, cell.quotes))

    async def open(self, request: web.Request) -> web.Response:
        """POST /api/v1/positions/open"""
        account_id = account_of(request)
        body = await read_body(request)
        body.only(OPEN_FIELDS)
        margin = body.number("margin")
        asset = body.text("asset", 64)
        side = body.side("type")
        leverage = body.number("leverage") if body.has("leverage") else ONE
        reference, slippage = _price_guard(body)
        base = self._command_base(request, account_id, body)
        cell = self._cell_of(account_id)
        repeat = self._repeat(cell, base)
        if repeat is not None:
            return repeat
        terms = self._engine.catalogue.find(asset)
        if terms is None:
            assets = self._engine.catalogue.assets
            raise ApiError.of(
                Rejection(RejectionCode.UNKNOWN_ASSET, f"asset must be one of {', '.join(assets)}", {"allowed": assets})
            )
        command = OpenPosition(
            **base,
            asset=asset,
            terms=terms,
            side=side,
            margin=margin,
            leverage=leverage,
            reference_price=reference
            if reference is not None
            else self._edge_price(cell, terms.symbol, side, slippage),
            slippage_percent=slippage,
        )
        with money_arithmetic():
            refused = check_terms(command)
        return await self._settle(cell, command, refused, terms.symbol)

    async def close(self, request: web.Request) -> web.Response:
        """POST /api/v1/positions/close"""
        account_id = account_of(request)
        body = await read_body(request)
        body.only(CLOSE_FIELDS)
        position_id = body.text("positionId")
        reference, slippage = _price_guard(body)
        base = self._command_base(request, account_id, body)
        cell = self._cell_of(account_id)
        repeat = self._repeat(cell, base)
        if repeat is not None:
            return repeat
        row = cell.account(account_id)
        position = None if row is None else row.positions.get(position_id)
        if position is None:
            if base["idempotency"] is None:
                raise ApiError.of(position_not_found(position_id))
            # Its key has to be remembered: a position of this id may be opened before the request is repeated.
            return await self._submit(cell, ClosePosition(**base, position_id=position_id))
        other_side: Side = "short" if position.side == "long" else "long"
        command = ClosePosition(
            **base,
            position_id=position_id,
            reference_price=(
                reference if reference is not None else self._edge_price(cell, position.symbol, other_side, slippage)
            ),
            slippage_percent=slippage,
        )
        return await self._settle(cell, command, None, position.symbol)

    def _command_base(self, request: web.Request, account_id: str, body: Body) -> dict[str, Any]:
        settings = self._engine.settings
        return {
            "command_id": f"{self._process}-{next(self._numbers)}",
            "account_id": account_id,
            "time_ms": int(time.time() * 1000),
            "starting_balance": settings.starting_balance,
            "quote_age_ms_max": settings.max_quote_age_ms,
            "limits": settings.limits(),
            "idempotency": idempotency_of(request, body),
        }

    def _edge_price(self, cell: Cell, symbol: str, buys_as: Side, slippage: Decimal | None) -> Decimal | None:
        """With a tolerance but no price of the client's, the tolerance is from the market it can see now."""
        quote = cell.quotes.get(symbol)
        return None if slippage is None or quote is None else quote.opening_price(buys_as)

    def _repeat(self, cell: Cell, base: dict[str, Any]) -> web.Response | None:
        """The answer to a request that was settled before, whatever the market does now."""
        keyed = base["idempotency"]
        known = None if keyed is None else cell.remembered(base["account_id"], keyed.key)
        if known is None:
            return None
        return _answer(repeat_of(known, keyed.fingerprint), repeated=True)

    async def _settle(self, cell: Cell, command: Command, refused: Rejection | None, symbol: str) -> web.Response:
        if refused is None:
            refused = refuse_stale(
                cell.quotes.get(symbol), symbol, command.time_ms, self._engine.settings.max_quote_age_ms
            )
        if refused is not None:
            raise ApiError.of(refused)
        return await self._submit(cell, command)

    async def _submit(self, cell: Cell, command: Command) -> web.Response:
        try:
            reply = await self._engine.gateway.submit(cell.partition, command)
        except NotWritten as fault:
            raise ApiError(503, "NOT_READY", f"the order was not taken: {fault}") from fault
        except OutcomeUnknown as fault:
            raise ApiError(
                504, "OUTCOME_UNKNOWN", f"{fault}: repeat the request with the same Idempotency-Key to learn it"
            ) from fault
        return _answer(reply.outcome, reply.repeated)


def _price_guard(body: Body) -> tuple[Decimal | None, Decimal | None]:
    reference = body.optional_number("currentPrice", above=ZERO)
    slippage = body.optional_number("slippage", at_least=ZERO, at_most=HUNDRED)
    return reference, slippage


def _answer(outcome: Outcome, repeated: bool) -> web.Response:
    headers = {"Idempotent-Replayed": "true"} if repeated else None
    if isinstance(outcome, Rejection):
        # A conflict is about this request, not the answer to an earlier one.
        is_first = outcome.code is RejectionCode.IDEMPOTENCY_CONFLICT
        raise ApiError.of(outcome, None if is_first else headers)
    if isinstance(outcome, PositionOpened):
        return json_response(presenter.opened_message(outcome), 201, headers)
    return json_response(presenter.closed_message(outcome), 200, headers)
