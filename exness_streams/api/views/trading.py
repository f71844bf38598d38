"""Opening, changing and closing positions, and the state of an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from aiohttp import web

from exness_streams.api.access.caller import account_of
from exness_streams.api.accounts import Accounts
from exness_streams.api.api_view import ApiView
from exness_streams.api.bodies import CloseAllRequest, CloseRequest, ModifyRequest, OpenRequest
from exness_streams.api.commands import CommandView, Incoming
from exness_streams.api.encoded_states import EncodedStates
from exness_streams.api.number_form import form_now
from exness_streams.domain.cell import Cell
from exness_streams.domain.commands import CloseAllPositions, ClosePosition, ModifyPosition, OpenPosition
from exness_streams.domain.instruments import base_of
from exness_streams.domain.money import ONE
from exness_streams.domain.quotes import Side


class StateView(ApiView):
    """GET /api/v1/state"""

    def __init__(self, app: Any, web_server: Any, accounts: Accounts, states: EncodedStates) -> None:
        super().__init__(app, web_server)
        self._accounts, self._states = accounts, states

    async def get(self, request: web.Request) -> web.Response:
        """The account as it is at the newest quotes."""
        account_id = account_of(request)
        cell = self._accounts.cell_of(account_id)
        content = self._states.state(cell, account_id, form_now()).content
        return web.Response(body=content, content_type="application/json")


class OpenView(CommandView[OpenRequest]):
    """POST /api/v1/positions/open"""

    body = OpenRequest

    def command(self, asked: OpenRequest, incoming: Incoming) -> OpenPosition:
        """The opening, with its instrument's terms. 400 for an unknown instrument."""
        terms = self.desk.terms_of(asked.asset)
        return OpenPosition(
            **incoming.base,
            asset=base_of(terms.symbol),
            terms=terms,
            side=asked.type,
            margin=asked.margin,
            leverage=ONE if asked.leverage is None else asked.leverage,
            reference_price=_reference(asked, incoming.cell, terms.symbol, asked.type),
            slippage_percent=asked.slippage,
            stop_loss=asked.stop_loss,
            take_profit=asked.take_profit,
        )


class CloseView(CommandView[CloseRequest]):
    """POST /api/v1/positions/close"""

    body = CloseRequest

    def command(self, asked: CloseRequest, incoming: Incoming) -> ClosePosition:
        """The closing. Of a position that is not there (any more) it says only what the client says."""
        position = incoming.position(asked.position_id)
        reference, margin_min = asked.current_price, ONE
        if position is not None:
            buys_as: Side = "short" if position.side == "long" else "long"
            reference = _reference(asked, incoming.cell, position.symbol, buys_as)
            terms = self.desk.catalogue.find(position.symbol)
            margin_min = ONE if terms is None else terms.margin_min
        return ClosePosition(
            **incoming.base,
            position_id=asked.position_id,
            reference_price=reference,
            slippage_percent=asked.slippage,
            quantity=asked.quantity,
            percentage=asked.percentage,
            margin_min=margin_min,
            forgives_rounding=True,
        )


class CloseAllView(CommandView[CloseAllRequest]):
    """POST /api/v1/positions/close-all"""

    body = CloseAllRequest

    def command(self, asked: CloseAllRequest, incoming: Incoming) -> CloseAllPositions:
        """The closing of all."""
        return CloseAllPositions(**incoming.base)


class ModifyView(CommandView[ModifyRequest]):
    """POST /api/v1/positions/modify"""

    body = ModifyRequest

    def command(self, asked: ModifyRequest, incoming: Incoming) -> ModifyPosition:
        """The change."""
        return ModifyPosition(
            **incoming.base,
            position_id=asked.position_id,
            stop_loss=asked.stop_loss,
            take_profit=asked.take_profit,
        )


def _reference(asked: OpenRequest | CloseRequest, cell: Cell, symbol: str, buys_as: Side) -> Decimal | None:
    """With a tolerance but no price of the client's, the tolerance is from the market it can see now."""
    if asked.current_price is not None or asked.slippage is None:
        return asked.current_price
    quote = cell.quotes.get(symbol)
    return None if quote is None else quote.opening_price(buys_as)
