"""Placing and cancelling pending orders."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from exness_streams.api.bodies import CancelRequest, PlaceRequest
from exness_streams.api.commands import DeskView
from exness_streams.api.errors import ApiError
from exness_streams.api.requests import Body
from exness_streams.domain.checks import order_not_found
from exness_streams.domain.commands import CancelOrder, PlaceOrder
from exness_streams.domain.money import ONE, ZERO


class PlaceView(DeskView):
    """POST /api/v1/orders/place"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, PlaceRequest)
        fields = _place_fields(body)
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        terms = self._desk.terms_of(fields["asset"])
        command = PlaceOrder(**incoming.base, **fields, terms=terms)
        return await self._desk.settle(incoming, command, terms.symbol)


class CancelView(DeskView):
    """POST /api/v1/orders/cancel"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, CancelRequest)
        order_id = body.text("orderId")
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        row = self._desk.row_of(incoming.cell, incoming.account_id)
        if order_id not in row.orders and not incoming.has_key:
            raise ApiError.of(order_not_found(order_id))
        return await self._desk.settle(incoming, CancelOrder(**incoming.base, order_id=order_id))


def _place_fields(body: Body) -> dict[str, Any]:
    return {
        "margin": body.number("margin"),
        "asset": body.text("asset", 64),
        "side": body.side("type"),
        "leverage": body.number("leverage") if body.has("leverage") else ONE,
        "kind": body.choice("kind", ("limit", "stop")),
        "price": body.required_number("price", above=ZERO),
        "stop_loss": body.optional_number("stopLoss", above=ZERO),
        "take_profit": body.optional_number("takeProfit", above=ZERO),
        "expires_ms": body.optional_time_ms("expiresAt"),
    }
