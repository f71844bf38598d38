"""What a deposit and a reset do to an account row. Pure, as positions.py."""

from __future__ import annotations

import msgspec

from exness_streams.domain.account import AccountRow, new_account
from exness_streams.domain.commands import Deposit, ResetAccount
from exness_streams.domain.events import AccountReset, Deposited
from exness_streams.domain.money import AMOUNT_MAX, to_money
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.transition import JournalPlace, Transition


def deposit(row: AccountRow, command: Deposit, at: JournalPlace) -> Transition | Rejection:
    """Add USD, unless the account would hold more than any amount may be."""
    amount = to_money(command.amount)
    if row.balance + amount > AMOUNT_MAX:
        return Rejection(
            RejectionCode.LIMIT_REACHED,
            details={"limit": "balance", "max": str(AMOUNT_MAX)},
        )
    event = Deposited(
        **at.head(row),  # type: ignore[arg-type]
        amount=amount,
        balance=to_money(row.balance + amount),
    )
    richer = msgspec.structs.replace(
        row,
        cash=to_money(row.cash + amount),
        deposited=to_money(row.deposited + amount),
        sequence=row.sequence + 1,
    )
    return Transition(richer, event)


def reset_account(row: AccountRow, command: ResetAccount, at: JournalPlace) -> Transition:
    """Begin anew. Sequence and remembered outcomes go on: a client that was away still sees the order of things."""
    fresh = msgspec.structs.replace(
        new_account(row.account_id, command.starting_balance), sequence=row.sequence + 1, outcomes=row.outcomes
    )
    event = AccountReset(
        **at.head(row),  # type: ignore[arg-type]
        balance=fresh.balance,
        positions_dropped=list(row.positions),
        orders_dropped=list(row.orders),
    )
    return Transition(fresh, event)
