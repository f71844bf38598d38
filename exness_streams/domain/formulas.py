"""Isolated margin: PnL, fees and the liquidation price.

Inside the money context (money.money_arithmetic). Formulas: docs/trading-rules.md, Margin and liquidation.
"""

from __future__ import annotations

from decimal import Decimal

from exness_streams.domain.money import HUNDRED, ONE, ZERO, to_money, to_price, to_quantity
from exness_streams.domain.quotes import Side


def opening_quantity(margin: Decimal, leverage: Decimal, entry_price: Decimal, step: Decimal | None = None) -> Decimal:
    """Base asset bought or sold by `margin` USD at `leverage`: margin × leverage / entry, rounded down.

    step: the instrument's, as in money.to_quantity.
    """
    return to_quantity(margin * leverage / entry_price, step)


def liquidation_price(side: Side, entry_price: Decimal, leverage: Decimal, maintenance_rate: Decimal) -> Decimal:
    """Where the loss has eaten the margin down to the maintenance margin.

    Long: entry × (1 − 1/leverage + rate). Short: entry × (1 + 1/leverage − rate). Never below zero.
    """
    distance = ONE / leverage - maintenance_rate
    raw = entry_price * (ONE - distance if side == "long" else ONE + distance)
    return to_price(raw) if raw > ZERO else ZERO


def profit(side: Side, entry_price: Decimal, price: Decimal, quantity: Decimal) -> Decimal:
    """PnL in USD of `quantity` bought (long) or sold (short) at `entry_price` and valued at `price`."""
    move = price - entry_price if side == "long" else entry_price - price
    return to_money(move * quantity)


def realized_profit(side: Side, entry_price: Decimal, price: Decimal, quantity: Decimal, margin: Decimal) -> Decimal:
    """PnL of a fill that closes: a loss never exceeds the margin, whatever gap the market made."""
    return max(profit(side, entry_price, price, quantity), -margin)


def fill_fee(quantity: Decimal, price: Decimal, fee_rate: Decimal) -> Decimal:
    """Commission in USD on the notional of a fill."""
    return to_money(quantity * price * fee_rate)


def is_beyond_slippage(buys: bool, fill: Decimal, reference: Decimal, slippage_percent: Decimal) -> bool:
    """Whether a fill is worse than the reference price by more than the tolerance."""
    tolerance = slippage_percent / HUNDRED
    return fill > reference * (ONE + tolerance) if buys else fill < reference * (ONE - tolerance)
