"""Deposits and resets."""

from __future__ import annotations

from exness_streams.api.bodies import DepositRequest, ResetRequest
from exness_streams.api.commands import CommandView, Incoming
from exness_streams.domain.commands import Deposit, ResetAccount


class DepositView(CommandView[DepositRequest]):
    """POST /api/v1/account/deposit"""

    body = DepositRequest

    def command(self, asked: DepositRequest, incoming: Incoming) -> Deposit:
        """The deposit."""
        return Deposit(**incoming.base, amount=asked.amount)


class ResetView(CommandView[ResetRequest]):
    """POST /api/v1/account/reset"""

    body = ResetRequest

    def command(self, asked: ResetRequest, incoming: Incoming) -> ResetAccount:
        """The reset."""
        return ResetAccount(**incoming.base)
