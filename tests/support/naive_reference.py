"""A second, slow implementation of the trading rules, to compare the real one with.

It walks every position and every order on each tick, keeps no index, and computes in fractions, straight from
the rules as they are told to a trader. It shares no code with the package. Frames it knows only for their ends:
a position born inside a frame is checked for the first time against the frame's last quote.

third_rules: those since limit orders are filled at the market, none to be closed where it is opened, and quantities are
multiples of a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from naive_rules import (
    AMOUNT_MAX,
    Closing,
    Effect,
    Exits,
    NaiveAccount,
    NaiveOrder,
    NaivePosition,
    Opening,
    Placing,
    Tick,
    cents,
    down,
    liquidation_of,
    price_to_fill,
    reason_not_to_fill,
    reason_to_close,
    refused_terms,
    slipped,
    wrong_exits,
)


class Reference:
    """All accounts, folded tick by tick and command by command."""

    def __init__(
        self, starting_balance: Fraction, open_max: int, exposure_max: Fraction, *, third_rules: bool = False
    ) -> None:
        self.third_rules = third_rules
        self.accounts: dict[str, NaiveAccount] = {}
        self._starting_balance = starting_balance
        self._open_max, self._exposure_max = open_max, exposure_max
        self.market: dict[str, Tick] = {}
        self.states: dict[str, str] = {}

    def account(self, name: str) -> NaiveAccount:
        return self.accounts.get(name) or NaiveAccount(self._starting_balance)

    # What time and the market do

    def expire(self, now: int) -> Iterator[Effect]:
        """A record of this time is next: the orders that are over by then go, soonest first."""
        due = [
            (order.expires, order.birth, name)
            for name, account in self.accounts.items()
            for order in account.orders.values()
            if order.expires is not None and order.expires <= now
        ]
        for _, birth, name in sorted(due):
            order = self.accounts[name].orders.pop(birth)
            self.accounts[name].cash += order.held
            yield self._told(name, "expired", birth, order.price, order.margin)

    def frame(self, ticks: Iterable[Tick]) -> Iterator[Effect]:
        newborn: list[tuple[str, int]] = []
        ticks = list(ticks)
        ends = {tick.symbol: tick for tick in ticks}
        for tick in ticks:
            yield from self._tick(tick, newborn, ends)
        yield from self._check(newborn)

    def received(self, ticks: Iterable[tuple[Tick, int]], now: int) -> Iterator[Effect]:
        """A frame whose ticks say when they came: what is over by then goes first, and at its end what is over now."""
        newborn: list[tuple[str, int]] = []
        ticks = list(ticks)
        ends = {tick.symbol: tick for tick, _ in ticks}
        for tick, received in ticks:
            yield from self.expire(received)
            yield from self._tick(tick, newborn, ends)
        yield from self.expire(now)
        yield from self._check(newborn)

    def tell(self, states: dict[str, tuple[str, Fraction | None]]) -> Iterator[Effect]:
        """All markets that are not open: state, and the price of a settlement."""
        self.states = {symbol: state for symbol, (state, _) in states.items()}
        for symbol, (state, price) in states.items():
            if state == "settled" and price is not None:
                yield from self._settle(symbol, price)

    def _settle(self, symbol: str, price: Fraction) -> Iterator[Effect]:
        standing = [
            (isinstance(item, NaivePosition), item.birth, name)
            for name, account in self.accounts.items()
            for item in (*account.positions.values(), *account.orders.values())
            if item.symbol == symbol
        ]
        for is_position, birth, name in sorted(standing):
            if is_position:
                yield self._close(name, birth, "settlement", price)
            else:
                order = self._free(name, birth)
                yield self._told(name, "settlement", birth, order.price, order.margin)

    def _is_shut(self, symbol: str, *, opens: bool) -> bool:
        state = self.states.get(symbol, "open")
        return opens if state == "close_only" else state != "open"

    def _check(self, newborn: Iterable[tuple[str, int]]) -> Iterator[Effect]:
        for name, birth in newborn:
            position = self.accounts[name].positions[birth]
            found = reason_to_close(position, self.market[position.symbol])
            if found is not None:
                yield self._close(name, birth, found[1], found[2])

    def _tick(self, tick: Tick, newborn: list[tuple[str, int]], ends: dict[str, Tick]) -> Iterator[Effect]:
        """Everybody looks at the tick: liquidations first, then stops, profits, entries; of each, the oldest first."""
        self.market[tick.symbol] = tick
        found: list[tuple[int, int, str, str, Fraction]] = []
        for name, account in self.accounts.items():
            for position in account.positions.values():
                if position.symbol == tick.symbol and (name, position.birth) not in newborn:
                    reason = reason_to_close(position, tick)
                    if reason is not None:
                        found.append((reason[0], position.birth, name, reason[1], reason[2]))
            for order in account.orders.values():
                price = price_to_fill(order, tick) if order.symbol == tick.symbol else None
                if price is not None:
                    found.append((3, order.birth, name, "filled", price))
        for _, birth, name, what, price in sorted(found):
            if what == "filled":
                yield from self._fill(name, birth, price, newborn, ends[tick.symbol])
            else:
                yield self._close(name, birth, what, price)

    def _fill(
        self, name: str, birth: int, price: Fraction, newborn: list[tuple[str, int]], end: Tick
    ) -> Iterator[Effect]:
        order = self.accounts[name].orders[birth]
        refused = "unfillable" if down(order.margin * order.leverage / price, order.step) == 0 else None
        if self.states.get(order.symbol) == "close_only":
            refused = "close_only"
        if refused is None and self.third_rules:
            refused = reason_not_to_fill(order, price, end)
        if refused is not None:
            self._free(name, birth)
            yield self._told(name, refused, birth, order.price, order.margin)
            return
        newborn.append((name, birth))
        yield from self._become(name, birth, price)

    def _free(self, name: str, birth: int) -> NaiveOrder:
        order = self.accounts[name].orders.pop(birth)
        self.accounts[name].cash += order.held
        return order

    def _become(self, name: str, birth: int, price: Fraction) -> Iterator[Effect]:
        order = self._free(name, birth)
        yield self._told(name, "filled", birth, price, order.margin)
        quantity = down(order.margin * order.leverage / price, order.step)
        liquidation = liquidation_of(order.long, price, order.leverage, order.maintenance)
        position = NaivePosition(
            birth, order.symbol, order.long, order.margin, quantity, price, liquidation, order.fee_rate,
            *order.exits, order.leverage, cents(quantity * price * order.fee_rate), order.step,
        )  # fmt: skip
        yield self._opened(name, position)

    # What clients do

    def open(self, order: Opening, birth: int) -> Effect | str:
        """The effect, or the code of the refusal."""
        account = self.account(order.account)
        refused = refused_terms(order)
        if refused:
            return refused
        market = self.market.get(order.symbol)
        entry = None if market is None else market.ask if order.long else market.bid
        if market is None or entry is None or self._is_shut(order.symbol, opens=True):
            return "PRICE_UNAVAILABLE"
        sign = 1 if order.long else -1
        margin = cents(order.margin)
        quantity = down(margin * order.leverage / entry, self._step(order))
        liquidation = liquidation_of(order.long, entry, order.leverage, order.maintenance)
        exit_now = market.bid if order.long else market.ask
        worth = market.last if exit_now is None else exit_now
        fee = cents(quantity * entry * order.fee_rate)
        if liquidation > 0 and sign * worth <= sign * liquidation:
            return "INVALID_LEVERAGE"
        if quantity == 0:
            return "INVALID_MARGIN"
        if wrong_exits(order.long, order.exits, liquidation, worth):
            return "INVALID_TRIGGER"
        if margin + fee > account.cash:
            return "INSUFFICIENT_MARGIN"
        if slipped(order.long, entry, order.reference, order.slippage):
            return "SLIPPAGE_EXCEEDED"
        if self._is_over_limits(account, order.symbol, margin * order.leverage):
            return "LIMIT_REACHED"
        position = NaivePosition(
            birth, order.symbol, order.long, margin, quantity, entry, liquidation, order.fee_rate,
            *order.exits, order.leverage, fee, self._step(order),
        )  # fmt: skip
        self.accounts[order.account] = account
        return self._opened(order.account, position)

    def place(self, asked: Placing, birth: int, now: int) -> Iterator[Effect | str]:
        """The effects, or the code of the refusal."""
        refused = self._refused_order(asked, now)
        if refused is not None:
            yield refused
            return
        name, order = asked.opening.account, asked.opening
        account = self.accounts[name] = self.account(name)
        margin = cents(order.margin)
        reserved = cents(margin * order.leverage * order.fee_rate)
        waiting = account.orders[birth] = NaiveOrder(
            birth, order.symbol, order.long, asked.is_limit, asked.price, margin, order.leverage, reserved,
            order.fee_rate, order.maintenance, asked.expires, order.exits, self._step(order),
        )  # fmt: skip
        account.cash -= waiting.held
        yield self._told(name, "placed", birth, asked.price, margin)
        price = price_to_fill(waiting, self.market[order.symbol])
        if price is not None:
            yield from self._become(name, birth, price)

    def _refused_order(self, asked: Placing, now: int) -> str | None:
        order, account = asked.opening, self.account(asked.opening.account)
        if asked.expires is not None and asked.expires <= now:
            return "INVALID_REQUEST"
        refused = refused_terms(order)
        if refused:
            return refused
        market = self.market.get(order.symbol)
        current = None if market is None else market.ask if order.long else market.bid
        if market is None or current is None or self._is_shut(order.symbol, opens=True):
            return "PRICE_UNAVAILABLE"
        exit_now = market.bid if order.long else market.ask
        worth = market.last if exit_now is None else exit_now
        margin, sign = cents(order.margin), 1 if order.long else -1
        is_reached = sign * asked.price >= sign * current if asked.is_limit else sign * asked.price <= sign * current
        fills = self.third_rules and asked.is_limit and is_reached
        if self.third_rules:
            liquidated_now = liquidation_of(order.long, current, order.leverage, order.maintenance)
            if liquidated_now > 0 and sign * worth <= sign * liquidated_now:
                return "INVALID_LEVERAGE"
        entry, worth = (current, worth) if fills else (asked.price, asked.price)
        if down(margin * order.leverage / entry, self._step(order)) == 0:
            return "INVALID_MARGIN"
        liquidation = liquidation_of(order.long, entry, order.leverage, order.maintenance)
        if (is_reached and not fills) or wrong_exits(order.long, order.exits, liquidation, worth):
            return "INVALID_TRIGGER"
        if margin + cents(margin * order.leverage * order.fee_rate) > account.cash:
            return "INSUFFICIENT_MARGIN"
        return "LIMIT_REACHED" if self._is_over_limits(account, order.symbol, margin * order.leverage) else None

    def _step(self, order: Opening) -> Fraction | None:
        return order.step if self.third_rules else None

    def cancel(self, name: str, birth: int) -> Effect | str:
        if birth not in self.account(name).orders:
            return "ORDER_NOT_FOUND"
        order = self._free(name, birth)
        return self._told(name, "client", birth, order.price, order.margin)

    def modify(self, name: str, birth: int, changes: dict[str, Fraction | None]) -> Effect | str:
        """changes: stop_loss, take_profit or both; what is not named stays."""
        position = self.account(name).positions.get(birth)
        if position is None:
            return "POSITION_NOT_FOUND"
        wanted = Exits(**changes)
        if wanted != Exits():
            market = self.market[position.symbol]
            price = market.bid if position.long else market.ask
            if price is None or self._is_shut(position.symbol, opens=False):
                return "PRICE_UNAVAILABLE"
            if wrong_exits(position.long, wanted, position.liquidation, price):
                return "INVALID_TRIGGER"
        changed = self.accounts[name].positions[birth] = replace(position, **changes)  # type: ignore[arg-type]
        rest = (changed.stop_loss, changed.take_profit, changed.liquidation)
        return self._told(name, "modified", birth, changed.entry, changed.quantity, changed.entry_fee, rest)

    def close(self, order: Closing) -> Effect | str:
        position = self.account(order.account).positions.get(order.birth)
        if position is None:
            return "POSITION_NOT_FOUND"
        market = self.market[position.symbol]
        price = market.bid if position.long else market.ask
        if price is None or self._is_shut(position.symbol, opens=False):
            return "PRICE_UNAVAILABLE"
        quantity = position.quantity
        if order.quantity is not None:
            quantity = order.quantity
        elif order.percentage is not None:
            quantity = down(quantity * order.percentage / 100, position.step)
        if quantity > position.quantity:
            return "INVALID_REQUEST"
        if position.step is not None:
            quantity = down(quantity, position.step)
        if quantity <= 0:
            return "INVALID_REQUEST"
        if slipped(not position.long, price, order.reference, order.slippage):
            return "SLIPPAGE_EXCEEDED"
        if position.margin - cents(position.margin * quantity / position.quantity) < 1:
            quantity = position.quantity
        return self._close(order.account, order.birth, "manual", price, quantity)

    def close_all(self, name: str) -> list[Effect | str]:
        return [self.close(Closing(name, birth, None, None)) for birth in list(self.account(name).positions)]

    def deposit(self, name: str, amount: Fraction) -> Effect | str:
        account = self.account(name)
        if account.balance + amount > AMOUNT_MAX:
            return "LIMIT_REACHED"
        self.accounts[name] = account
        account.cash += amount
        account.deposited += amount
        return self._told(name, "deposited", -1, Fraction(0), amount)

    def reset(self, name: str) -> Effect:
        old = self.account(name)
        self.accounts[name] = NaiveAccount(self._starting_balance, events=old.events)
        dropped = (Fraction(len(old.positions)), Fraction(len(old.orders)))
        return self._told(name, "reset", -1, Fraction(0), Fraction(0), Fraction(0), dropped)

    # Money

    def _opened(self, name: str, position: NaivePosition) -> Effect:
        account = self.accounts[name]
        account.cash -= position.margin + position.entry_fee
        account.fees += position.entry_fee
        account.positions[position.birth] = position
        rest = (position.margin, position.liquidation, position.stop_loss, position.take_profit)
        return self._told(name, "opened", position.birth, position.entry, position.quantity, position.entry_fee, rest)

    def _close(self, name: str, birth: int, reason: str, price: Fraction, quantity: Fraction | None = None) -> Effect:
        account = self.accounts[name]
        position = account.positions[birth]
        whole = position.quantity
        quantity = whole if quantity is None else quantity
        margin, entry_fee = cents(position.margin * quantity / whole), cents(position.entry_fee * quantity / whole)
        move = price - position.entry if position.long else position.entry - price
        realized = max(cents(move * quantity), -margin)
        fee = min(cents(price * quantity * position.fee_rate), margin + realized)
        position.quantity -= quantity
        position.margin -= margin
        position.entry_fee -= entry_fee
        if not position.quantity:
            del account.positions[birth]
        account.cash += margin + realized - fee
        account.realized += realized
        account.fees += fee
        rest = (quantity, margin, entry_fee, position.quantity, position.margin, position.entry_fee)
        return self._told(name, reason, birth, price, realized, fee, rest)

    def _told(
        self,
        name: str,
        kind: str,
        birth: int,
        price: Fraction,
        amount: Fraction,
        fee: Fraction = Fraction(0),
        rest: tuple[Fraction | None, ...] = (),
    ) -> Effect:
        account = self.accounts[name]
        account.events += 1
        return Effect(name, account.events, kind, birth, price, amount, fee, account.balance, rest)

    def _is_over_limits(self, account: NaiveAccount, symbol: str, notional: Fraction) -> bool:
        items: list[NaivePosition | NaiveOrder] = [*account.positions.values(), *account.orders.values()]
        exposure = sum((item.margin * item.leverage for item in items if item.symbol == symbol), notional)
        return len(items) >= self._open_max or cents(exposure) > self._exposure_max
