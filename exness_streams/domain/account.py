"""Accounts: one row holds everything that one client owns."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from exness_streams.domain.commands import OrderKind
from exness_streams.domain.formulas import profit
from exness_streams.domain.money import HUNDRED, ZERO, money_arithmetic, to_money
from exness_streams.domain.quotes import Quote, Side


class Position(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open position with isolated margin, on the terms it was opened on.

    asset: as the client spelt it; symbol: the instrument. margin, fee: USD (fee: paid at open).
    quantity: base asset. slippage: percent, as asked for. opened_ms: ms since the epoch. quantity_step: of what may be
    closed of it; None when it was not known, or not asked for yet (rules.QUANTITY_STEPS).
    """

    position_id: str
    symbol: str
    asset: str
    side: Side
    margin: Decimal
    leverage: Decimal
    quantity: Decimal
    entry_price: Decimal
    liquidation_price: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    fee: Decimal
    opened_ms: int
    slippage: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    quantity_step: Decimal | None = None

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        """USD at a price; a loss is shown no larger than the margin, for more can never be lost."""
        return max(profit(self.side, self.entry_price, mark_price, self.quantity), -self.margin)


class PendingOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order that waits for its price, on the terms it was placed on. Its margin and fee are held meanwhile.

    price: where it is filled, or the first quote beyond. quantity: base asset, if it were filled at that very price.
    reserved_fee: USD, enough for the fee of any fill. expires_ms, placed_ms: ms since the epoch. quantity_step: of what
    it buys; None as in Position.
    """

    order_id: str
    symbol: str
    asset: str
    side: Side
    kind: OrderKind
    price: Decimal
    margin: Decimal
    leverage: Decimal
    quantity: Decimal
    reserved_fee: Decimal
    fee_rate: Decimal
    maintenance_margin_rate: Decimal
    placed_ms: int
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    expires_ms: int | None = None
    quantity_step: Decimal | None = None

    @property
    def held(self) -> Decimal:
        """USD that the order keeps from the free cash."""
        return to_money(self.margin + self.reserved_fee)

    @property
    def position_id(self) -> str:
        """The id of the position that it becomes: a record of the journal places at most one order."""
        return "pos_" + self.order_id.removeprefix("ord_")


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one account.

    cash: USD free to trade. starting_balance, deposited, realized_pnl, fees: running totals, USD.
    sequence: number of events so far. outcomes: number of keyed outcomes remembered so far.
    applied_offset: the journal record that made this row.
    """

    account_id: str
    cash: Decimal
    starting_balance: Decimal
    deposited: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    sequence: int = 0
    outcomes: int = 0
    applied_offset: int = -1
    positions: dict[str, Position] = {}
    orders: dict[str, PendingOrder] = {}

    @property
    def used_margin(self) -> Decimal:
        """USD held by positions and pending orders."""
        by_positions = sum((position.margin for position in self.positions.values()), ZERO)
        # As `held` gives it, and rounded once: both parts have the places of money.
        by_orders = sum((order.margin + order.reserved_fee for order in self.orders.values()), ZERO)
        return to_money(by_positions + by_orders)

    @property
    def balance(self) -> Decimal:
        """Free cash plus what positions and pending orders hold."""
        return to_money(self.cash + self.used_margin)

    def exposure(self, symbol: str) -> Decimal:
        """USD of margin × leverage in one instrument, of positions and pending orders."""
        items: list[Position | PendingOrder] = [*self.positions.values(), *self.orders.values()]
        return sum((item.margin * item.leverage for item in items if item.symbol == symbol), ZERO)

    @property
    def is_conserved(self) -> bool:
        """Starting balance + deposits + realized PnL − fees is all there, and nothing is negative."""
        owed = self.starting_balance + self.deposited + self.realized_pnl - self.fees
        return owed == self.balance and self.cash >= ZERO


class Valuation(msgspec.Struct, frozen=True):
    """An account at the market, USD; margin_level in percent, None while no margin is used."""

    balance: Decimal
    equity: Decimal
    used_margin: Decimal
    free_margin: Decimal
    margin_level: Decimal | None
    unrealized_pnl: Decimal


def new_account(account_id: str, starting_balance: Decimal) -> AccountRow:
    """The row of an account that no record has touched yet."""
    balance = to_money(starting_balance)
    return AccountRow(account_id=account_id, cash=balance, starting_balance=balance)


def value_account(row: AccountRow, quotes: Mapping[str, Quote]) -> Valuation:
    """Value an account at the newest quotes; a position without any quote counts as unchanged since its entry.

    In any decimal context: pages and replies call it, too.
    """
    with money_arithmetic():
        return _value_account(row, quotes)


def _value_account(row: AccountRow, quotes: Mapping[str, Quote]) -> Valuation:
    unrealized = ZERO
    for position in row.positions.values():
        quote = quotes.get(position.symbol)
        if quote is not None:
            unrealized += position.unrealized_pnl(quote.mark_price(position.side))
    balance, used = row.balance, row.used_margin
    equity = to_money(balance + unrealized)
    return Valuation(
        balance=balance,
        equity=equity,
        used_margin=used,
        free_margin=to_money(equity - used),
        margin_level=to_money(equity / used * HUNDRED) if used else None,
        unrealized_pnl=to_money(unrealized),
    )
