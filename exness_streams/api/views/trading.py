"""Opening, changing and closing positions, and the state of an account."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from aiohttp import web

from exness_streams.api import presenter
from exness_streams.api.bodies import CloseAllRequest, CloseRequest, ModifyRequest, OpenRequest
from exness_streams.api.commands import CommandDesk, DeskView, Incoming, json_response
from exness_streams.api.errors import ApiError, invalid_request
from exness_streams.api.requests import Body, account_of
from exness_streams.domain.account import Position
from exness_streams.domain.cell import Cell
from exness_streams.domain.checks import position_not_found
from exness_streams.domain.commands import CloseAllPositions, ClosePosition, ModifyPosition, OpenPosition
from exness_streams.domain.money import HUNDRED, MONEY_PLACES, ONE, ZERO
from exness_streams.domain.quotes import Side


class StateView(DeskView):
    """GET /api/v1/state"""

    async def get(self, request: web.Request) -> web.Response:
        account_id = account_of(request)
        cell = self._desk.cell_of(account_id)
        level = self._desk.engine.settings.margin_call_level
        return json_response(presenter.state_message(self._desk.row_of(cell, account_id), cell.quotes, level))


class OpenView(DeskView):
    """POST /api/v1/positions/open"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, OpenRequest)
        margin = body.number("margin")
        asset = body.text("asset", 64)
        side = body.side("type")
        leverage = body.number("leverage") if body.has("leverage") else ONE
        reference, slippage = _price_guard(body)
        stop_loss = body.optional_number("stopLoss", above=ZERO)
        take_profit = body.optional_number("takeProfit", above=ZERO)
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        terms = self._desk.terms_of(asset)
        command = OpenPosition(
            **incoming.base,
            asset=asset,
            terms=terms,
            side=side,
            margin=margin,
            leverage=leverage,
            reference_price=_reference(reference, slippage, incoming.cell, terms.symbol, side),
            slippage_percent=slippage,
            stop_loss=stop_loss,
            take_profit=take_profit,
        )
        return await self._desk.settle(incoming, command, terms.symbol)


class CloseView(DeskView):
    """POST /api/v1/positions/close"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, CloseRequest)
        position_id = body.text("positionId")
        reference, slippage = _price_guard(body)
        quantity = body.optional_number("quantity", above=ZERO, places_max=MONEY_PLACES)
        percentage = body.optional_number("percentage", above=ZERO, at_most=HUNDRED)
        if quantity is not None and percentage is not None:
            raise invalid_request("quantity", "left out when percentage is given: at most one of the two")
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        position = _position(self._desk, incoming.cell, incoming.account_id, position_id)
        if position is None and not incoming.has_key:
            raise ApiError.of(position_not_found(position_id))
        # A key has to be remembered: a position of this id may be opened before the request is repeated, or just now.
        command = ClosePosition(
            **incoming.base,
            position_id=position_id,
            reference_price=_closing_reference(incoming, position, reference, slippage),
            slippage_percent=slippage,
            quantity=quantity,
            percentage=percentage,
            margin_min=_margin_min(self._desk, position),
        )
        return await self._desk.settle(incoming, command, None if position is None else position.symbol)


class CloseAllView(DeskView):
    """POST /api/v1/positions/close-all"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, CloseAllRequest)
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        return await self._desk.settle(incoming, CloseAllPositions(**incoming.base))


class ModifyView(DeskView):
    """POST /api/v1/positions/modify"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, ModifyRequest)
        position_id = body.text("positionId")
        names = [name for name in ("stopLoss", "takeProfit") if body.mentions(name)]
        if not names:
            raise invalid_request("stopLoss", "given, or takeProfit: a price, or null to clear it")
        prices = {name: body.optional_number(name, above=ZERO) for name in names}
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        position = _position(self._desk, incoming.cell, incoming.account_id, position_id)
        if position is None and not incoming.has_key:
            raise ApiError.of(position_not_found(position_id))
        command = ModifyPosition(
            **incoming.base,
            position_id=position_id,
            stop_loss=prices.get("stopLoss", msgspec.UNSET),
            take_profit=prices.get("takeProfit", msgspec.UNSET),
        )
        needs_market = position is not None and any(price is not None for price in prices.values())
        return await self._desk.settle(incoming, command, position.symbol if position and needs_market else None)


def _closing_reference(
    incoming: Incoming, position: Position | None, reference: Decimal | None, slippage: Decimal | None
) -> Decimal | None:
    if position is None:
        return reference
    buys_as: Side = "short" if position.side == "long" else "long"
    return _reference(reference, slippage, incoming.cell, position.symbol, buys_as)


def _margin_min(desk: CommandDesk, position: Position | None) -> Decimal:
    terms = None if position is None else desk.engine.catalogue.find(position.symbol)
    return ONE if terms is None else terms.margin_min


def _position(desk: CommandDesk, cell: Cell, account_id: str, position_id: str) -> Position | None:
    return desk.row_of(cell, account_id).positions.get(position_id)


def _price_guard(body: Body) -> tuple[Decimal | None, Decimal | None]:
    reference = body.optional_number("currentPrice", above=ZERO)
    slippage = body.optional_number("slippage", at_least=ZERO, at_most=HUNDRED)
    return reference, slippage


def _reference(
    reference: Decimal | None, slippage: Decimal | None, cell: Cell, symbol: str, buys_as: Side
) -> Decimal | None:
    """With a tolerance but no price of the client's, the tolerance is from the market it can see now."""
    if reference is not None or slippage is None:
        return reference
    quote = cell.quotes.get(symbol)
    return None if quote is None else quote.opening_price(buys_as)
