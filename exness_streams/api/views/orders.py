"""Placing and cancelling pending orders."""

from __future__ import annotations

from exness_streams.api.bodies import CancelRequest, PlaceRequest
from exness_streams.api.commands import CommandView, Incoming
from exness_streams.domain.commands import CancelOrder, PlaceOrder
from exness_streams.domain.instruments import base_of
from exness_streams.domain.money import ONE


class PlaceView(CommandView[PlaceRequest]):
    """POST /api/v1/orders/place"""

    body = PlaceRequest

    def command(self, asked: PlaceRequest, incoming: Incoming) -> PlaceOrder:
        """The order, with its instrument's terms. 400 for an unknown instrument."""
        terms = self.desk.terms_of(asked.asset)
        return PlaceOrder(
            **incoming.base,
            asset=base_of(terms.symbol),
            terms=terms,
            side=asked.type,
            margin=asked.margin,
            leverage=ONE if asked.leverage is None else asked.leverage,
            kind=asked.kind,
            price=asked.price,
            stop_loss=asked.stop_loss,
            take_profit=asked.take_profit,
            expires_ms=None if asked.expires_at is None else int(asked.expires_at),
        )


class CancelView(CommandView[CancelRequest]):
    """POST /api/v1/orders/cancel"""

    body = CancelRequest

    def command(self, asked: CancelRequest, incoming: Incoming) -> CancelOrder:
        """The cancellation."""
        return CancelOrder(**incoming.base, order_id=asked.order_id)
