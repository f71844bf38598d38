"""Depositing into an account, and beginning anew."""

from __future__ import annotations

from aiohttp import web

from exness_streams.api.bodies import DepositRequest, ResetRequest
from exness_streams.api.commands import DeskView
from exness_streams.domain.commands import Deposit, ResetAccount
from exness_streams.domain.money import MONEY_PLACES, ZERO


class DepositView(DeskView):
    """POST /api/v1/account/deposit"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, DepositRequest)
        amount = body.required_number("amount", above=ZERO, places_max=MONEY_PLACES)
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        return await self._desk.settle(incoming, Deposit(**incoming.base, amount=amount))


class ResetView(DeskView):
    """POST /api/v1/account/reset"""

    async def post(self, request: web.Request) -> web.Response:
        body = await self._desk.body_of(request, ResetRequest)
        body.choice("confirm", ("RESET",))
        incoming = self._desk.take(request, body)
        if incoming.repeat is not None:
            return incoming.repeat
        return await self._desk.settle(incoming, ResetAccount(**incoming.base))
