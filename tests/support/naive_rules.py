"""What the naive reference knows: accounts and orders in fractions, and the trading rules one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import NamedTuple

PLACES = 10**8
AMOUNT_MAX = 10**12


class Tick(NamedTuple):
    symbol: str
    bid: Fraction | None
    ask: Fraction | None
    last: Fraction


class Exits(NamedTuple):
    stop_loss: Fraction | None = None
    take_profit: Fraction | None = None


class Opening(NamedTuple):
    account: str
    symbol: str
    long: bool
    margin: Fraction
    leverage: Fraction
    reference: Fraction | None
    slippage: Fraction | None
    fee_rate: Fraction
    maintenance: Fraction
    exits: Exits = Exits()
    step: Fraction | None = None


class Placing(NamedTuple):
    opening: Opening
    is_limit: bool
    price: Fraction
    expires: int | None


class Closing(NamedTuple):
    account: str
    birth: int
    reference: Fraction | None
    slippage: Fraction | None
    quantity: Fraction | None = None
    percentage: Fraction | None = None


class Effect(NamedTuple):
    """One event, without its ids and times. kind: what happened, or the reason of a close.

    amount: quantity bought, PnL realized, or USD. rest: what else the event tells, by kind.
    """

    account: str
    sequence: int
    kind: str
    birth: int
    price: Fraction
    amount: Fraction
    fee: Fraction
    balance: Fraction
    rest: tuple[Fraction | None, ...] = ()


@dataclass
class NaivePosition:
    birth: int
    symbol: str
    long: bool
    margin: Fraction
    quantity: Fraction
    entry: Fraction
    liquidation: Fraction
    fee_rate: Fraction
    stop_loss: Fraction | None = None
    take_profit: Fraction | None = None
    leverage: Fraction = Fraction(1)
    entry_fee: Fraction = Fraction(0)
    step: Fraction | None = None


@dataclass(frozen=True)
class NaiveOrder:
    birth: int
    symbol: str
    long: bool
    is_limit: bool
    price: Fraction
    margin: Fraction
    leverage: Fraction
    reserved_fee: Fraction
    fee_rate: Fraction
    maintenance: Fraction
    expires: int | None
    exits: Exits
    step: Fraction | None = None

    @property
    def held(self) -> Fraction:
        return self.margin + self.reserved_fee


@dataclass
class NaiveAccount:
    cash: Fraction
    realized: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    events: int = 0
    positions: dict[int, NaivePosition] = field(default_factory=dict)
    orders: dict[int, NaiveOrder] = field(default_factory=dict)
    deposited: Fraction = Fraction(0)

    @property
    def balance(self) -> Fraction:
        held = sum(position.margin for position in self.positions.values())
        return self.cash + held + sum(order.held for order in self.orders.values())


def cents(amount: Fraction) -> Fraction:
    """8 places, half-even (which is how Python rounds a fraction)."""
    return Fraction(round(amount * PLACES), PLACES)


def down(quantity: Fraction, step: Fraction | None) -> Fraction:
    """A multiple of the step, or 8 places; down."""
    unit = Fraction(1, PLACES) if step is None else step
    return floor(quantity / unit) * unit


def price_of(amount: Fraction) -> Fraction:
    """8 places, or 8 significant digits below 1."""
    scale = PLACES
    while abs(amount) * scale < 10**7:
        scale *= 10
    return Fraction(round(amount * scale), scale)


def liquidation_of(long: bool, entry: Fraction, leverage: Fraction, maintenance: Fraction) -> Fraction:
    price = entry * (1 - (1 if long else -1) * (1 / leverage - maintenance))
    return price_of(price) if price > 0 else Fraction(0)


def reason_to_close(position: NaivePosition, tick: Tick) -> tuple[int, str, Fraction] | None:
    """What a tick does to a position: (rank among reasons, reason, price), None when nothing."""
    exit_price = tick.bid if position.long else tick.ask
    if exit_price is None:
        return None
    sign = 1 if position.long else -1
    if position.liquidation > 0 and sign * exit_price <= sign * position.liquidation:
        return 0, "liquidation", exit_price
    if position.stop_loss is not None and sign * exit_price <= sign * position.stop_loss:
        return 1, "stop_loss", exit_price
    if position.take_profit is not None and sign * exit_price >= sign * position.take_profit:
        return 2, "take_profit", exit_price
    return None


def price_to_fill(order: NaiveOrder, tick: Tick) -> Fraction | None:
    """What a tick fills an order at: buyers pay the ask, sellers get the bid."""
    price = tick.ask if order.long else tick.bid
    if price is None:
        return None
    waits_for_a_fall = order.long == order.is_limit
    return price if (price <= order.price if waits_for_a_fall else price >= order.price) else None


def reason_not_to_fill(order: NaiveOrder, price: Fraction, end: Tick) -> str | None:
    """Why a position would be closed at the very price it is opened at, or by the spread alone.

    end: the last tick of the frame. While what opens costs no less there, what closes shows the spread at the fill.
    """
    sign = 1 if order.long else -1
    opens, closes = (end.ask, end.bid) if order.long else (end.bid, end.ask)
    lowest = sign * price
    if opens is not None and closes is not None and sign * opens >= sign * price:
        lowest = min(lowest, sign * closes)
    liquidation = liquidation_of(order.long, price, order.leverage, order.maintenance)
    if liquidation > 0 and lowest <= sign * liquidation:
        return "liquidation"
    stop, take = order.exits
    is_stopped = stop is not None and lowest <= sign * stop
    return "exit_passed" if is_stopped or (take is not None and sign * price >= sign * take) else None


def wrong_exits(long: bool, exits: Exits, liquidation: Fraction, market: Fraction) -> bool:
    """A stop loss has its place between liquidation and market, a take profit beyond the market."""
    sign = 1 if long else -1
    stop, take = exits
    if stop is not None and not sign * liquidation < sign * stop < sign * market:
        return True
    return take is not None and sign * take <= sign * market


def slipped(buys: bool, fill: Fraction, reference: Fraction | None, percent: Fraction | None) -> bool:
    if reference is None or percent is None:
        return False
    worst = reference * (100 + percent) / 100 if buys else reference * (100 - percent) / 100
    return fill > worst if buys else fill < worst


def refused_terms(order: Opening) -> str | None:
    if not 1 <= order.leverage <= 100:
        return "INVALID_LEVERAGE"
    return "INVALID_MARGIN" if order.margin < 1 else None
