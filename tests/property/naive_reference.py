"""A second, slow implementation of the trading rules, to compare the real one with.

It walks every position on each tick, keeps no index and no frames, and computes in fractions, straight from
the rules as they are told to a trader. It shares no code with the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import NamedTuple

PLACES = 10**8


class Tick(NamedTuple):
    symbol: str
    bid: Fraction | None
    ask: Fraction | None
    last: Fraction


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


class Closing(NamedTuple):
    account: str
    birth: int
    reference: Fraction | None
    slippage: Fraction | None


class Effect(NamedTuple):
    """One event, without its ids and times. kind: "opened", or the reason of a close."""

    account: str
    sequence: int
    kind: str
    birth: int
    price: Fraction
    amount: Fraction  # quantity bought, or PnL realized
    fee: Fraction
    balance: Fraction


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


@dataclass
class NaiveAccount:
    cash: Fraction
    realized: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    events: int = 0
    positions: dict[int, NaivePosition] = field(default_factory=dict)

    @property
    def balance(self) -> Fraction:
        return self.cash + sum(position.margin for position in self.positions.values())


def cents(amount: Fraction) -> Fraction:
    """8 places, half-even (which is how Python rounds a fraction)."""
    return Fraction(round(amount * PLACES), PLACES)


def price_of(amount: Fraction) -> Fraction:
    """8 places, or 8 significant digits below 1."""
    scale = PLACES
    while abs(amount) * scale < 10**7:
        scale *= 10
    return Fraction(round(amount * scale), scale)


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


class Reference:
    """All accounts, folded tick by tick and command by command."""

    def __init__(self, starting_balance: Fraction, positions_max: int) -> None:
        self.accounts: dict[str, NaiveAccount] = {}
        self._starting_balance = starting_balance
        self._positions_max = positions_max
        self._market: dict[str, Tick] = {}

    def account(self, name: str) -> NaiveAccount:
        return self.accounts.get(name) or NaiveAccount(self._starting_balance)

    def tick(self, tick: Tick) -> Iterator[Effect]:
        """Every position looks at every tick; those that close do so by reason, then by age."""
        self._market[tick.symbol] = tick
        closing = []
        for name, account in self.accounts.items():
            for position in account.positions.values():
                if position.symbol == tick.symbol:
                    found = reason_to_close(position, tick)
                    if found is not None:
                        closing.append((found[0], position.birth, name, found))
        for _, birth, name, (_, reason, price) in sorted(closing):
            yield self._close(name, birth, reason, price)

    def open(self, order: Opening, birth: int) -> Effect | str:
        """The effect, or the code of the refusal."""
        account = self.account(order.account)
        if not 1 <= order.leverage <= 100:
            return "INVALID_LEVERAGE"
        if order.margin < 1:
            return "INVALID_MARGIN"
        market = self._market.get(order.symbol)
        entry = None if market is None else market.ask if order.long else market.bid
        if market is None or entry is None:
            return "PRICE_UNAVAILABLE"
        sign = 1 if order.long else -1
        margin = cents(order.margin)
        quantity = Fraction(floor(margin * order.leverage / entry * PLACES), PLACES)
        liquidation = entry * (1 - sign * (1 / order.leverage - order.maintenance))
        liquidation = price_of(liquidation) if liquidation > 0 else Fraction(0)
        exit_now = market.bid if order.long else market.ask
        worth = market.last if exit_now is None else exit_now
        if liquidation > 0 and sign * worth <= sign * liquidation:
            return "INVALID_LEVERAGE"
        if quantity == 0:
            return "INVALID_MARGIN"
        fee = cents(quantity * entry * order.fee_rate)
        if margin + fee > account.cash:
            return "INSUFFICIENT_MARGIN"
        if slipped(order.long, entry, order.reference, order.slippage):
            return "SLIPPAGE_EXCEEDED"
        if len(account.positions) >= self._positions_max:
            return "LIMIT_REACHED"
        self.accounts[order.account] = account
        account.cash -= margin + fee
        account.fees += fee
        account.events += 1
        account.positions[birth] = NaivePosition(
            birth, order.symbol, order.long, margin, quantity, entry, liquidation, order.fee_rate
        )
        return Effect(order.account, account.events, "opened", birth, entry, quantity, fee, account.balance)

    def close(self, order: Closing) -> Effect | str:
        position = self.account(order.account).positions.get(order.birth)
        if position is None:
            return "POSITION_NOT_FOUND"
        market = self._market[position.symbol]
        price = market.bid if position.long else market.ask
        if price is None:
            return "PRICE_UNAVAILABLE"
        if slipped(not position.long, price, order.reference, order.slippage):
            return "SLIPPAGE_EXCEEDED"
        return self._close(order.account, order.birth, "manual", price)

    def _close(self, name: str, birth: int, reason: str, price: Fraction) -> Effect:
        account = self.accounts[name]
        position = account.positions.pop(birth)
        move = price - position.entry if position.long else position.entry - price
        realized = max(cents(move * position.quantity), -position.margin)
        left = position.margin + realized
        fee = min(cents(price * position.quantity * position.fee_rate), left)
        account.cash += left - fee
        account.realized += realized
        account.fees += fee
        account.events += 1
        return Effect(name, account.events, reason, birth, price, realized, fee, account.balance)


def slipped(buys: bool, fill: Fraction, reference: Fraction | None, percent: Fraction | None) -> bool:
    if reference is None or percent is None:
        return False
    worst = reference * (100 + percent) / 100 if buys else reference * (100 - percent) / 100
    return fill > worst if buys else fill < worst
