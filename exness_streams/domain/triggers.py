"""The trigger index: finds what a price triggers, without a walk over positions.

A frame costs O(log n + fired) for each of its four staircases; rows stay in the store.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from sortedcontainers import SortedList

from exness_streams.domain.account import PendingOrder, Position
from exness_streams.domain.frames import Step, SymbolFrame
from exness_streams.domain.money import ZERO


class TriggerKind(IntEnum):
    """What a trigger does; the numbers are the order at one tick."""

    LIQUIDATION = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    ENTRY = 3


class Crossing(NamedTuple):
    """Which price has to move which way: a trigger fires when it is reached or passed."""

    watches_bid: bool
    fires_below: bool


BID_FALLS = Crossing(watches_bid=True, fires_below=True)
BID_RISES = Crossing(watches_bid=True, fires_below=False)
ASK_FALLS = Crossing(watches_bid=False, fires_below=True)
ASK_RISES = Crossing(watches_bid=False, fires_below=False)

_LOSS_OF = {"long": BID_FALLS, "short": ASK_RISES}
_GAIN_OF = {"long": BID_RISES, "short": ASK_FALLS}
_ENTRY_OF = {
    ("long", "limit"): ASK_FALLS,
    ("long", "stop"): ASK_RISES,
    ("short", "limit"): BID_RISES,
    ("short", "stop"): BID_FALLS,
}

Item = Position | PendingOrder


class Trigger(NamedTuple):
    """One price that closes one position, or fills one pending order."""

    price: Decimal
    kind: TriggerKind
    account_id: str
    item_id: str


class Fired(NamedTuple):
    """A trigger that was crossed, by which tick, at which price. Sorts in the order of execution.

    number: of the tick: its sequence, or its offset from the frame's `from`. before_ms: as the Step's.
    """

    number: int
    kind: TriggerKind
    birth: tuple[int, str]
    account_id: str
    item_id: str
    price: Decimal
    before_ms: int = 0


def triggers_of(account_id: str, item: Item) -> Iterator[tuple[Crossing, Trigger]]:
    """The triggers that a position or a pending order puts into the index."""
    if isinstance(item, PendingOrder):
        yield _ENTRY_OF[item.side, item.kind], Trigger(item.price, TriggerKind.ENTRY, account_id, item.order_id)
    else:
        yield from _exits_of(account_id, item)


def _exits_of(account_id: str, position: Position) -> Iterator[tuple[Crossing, Trigger]]:
    loss, gain, name = _LOSS_OF[position.side], _GAIN_OF[position.side], position.position_id
    if position.liquidation_price > ZERO:
        yield loss, Trigger(position.liquidation_price, TriggerKind.LIQUIDATION, account_id, name)
    if position.stop_loss is not None:
        yield loss, Trigger(position.stop_loss, TriggerKind.STOP_LOSS, account_id, name)
    if position.take_profit is not None:
        yield gain, Trigger(position.take_profit, TriggerKind.TAKE_PROFIT, account_id, name)


def item_id_of(item: Item) -> str:
    """Of a position or a pending order."""
    return item.order_id if isinstance(item, PendingOrder) else item.position_id


def first_exit(position: Position, price: Decimal) -> TriggerKind | None:
    """What closes a position that could be closed at `price` now, None when nothing does."""
    crossed = (
        trigger.kind
        for crossing, trigger in _exits_of("", position)
        if (price <= trigger.price if crossing.fires_below else price >= trigger.price)
    )
    return min(crossed, default=None)


def birth_order(item_id: str) -> tuple[int, str]:
    """Ids of positions, or of orders, in the order of their birth (`pos_0_9` before `pos_0_10`)."""
    return len(item_id), item_id


class TriggerIndex:
    """All triggers of a cell, by symbol and what they wait for, sorted by price.

    Thousands may share one price, a round number: so they are sorted by all that they are, and each one has its own
    place. By the price alone, removing one would mean a search among all that share it.
    """

    def __init__(self) -> None:
        self._of_symbol: dict[str, dict[Crossing, SortedList]] = {}

    def __len__(self) -> int:
        return sum(len(triggers) for lists in self._of_symbol.values() for triggers in lists.values())

    def load(self, items: Iterable[tuple[str, Item]]) -> None:
        """Build the index from (account id, position or order) pairs, faster than adding them one by one."""
        found: dict[str, dict[Crossing, list[Trigger]]] = {}
        for account_id, item in items:
            lists = found.setdefault(item.symbol, {})
            for crossing, trigger in triggers_of(account_id, item):
                lists.setdefault(crossing, []).append(trigger)
        self._of_symbol = {
            symbol: {crossing: SortedList(triggers) for crossing, triggers in lists.items()}
            for symbol, lists in found.items()
        }

    def add(self, account_id: str, item: Item) -> None:
        """Watch the triggers of a position or an order."""
        lists = self._of_symbol.setdefault(item.symbol, {})
        for crossing, trigger in triggers_of(account_id, item):
            triggers = lists.get(crossing)
            if triggers is None:
                triggers = lists[crossing] = SortedList()
            triggers.add(trigger)

    def remove(self, account_id: str, item: Item) -> None:
        """Forget the triggers of a position or an order. ValueError when they are not there."""
        for crossing, trigger in triggers_of(account_id, item):
            self._of_symbol[item.symbol][crossing].remove(trigger)

    def fired_by(self, frame: SymbolFrame, after_sequence: int) -> list[Fired]:
        """What a frame's ticks later than `after_sequence` set off: the first trigger of each item, in order."""
        return self._fired(frame, after_sequence, by_offset=False)

    def fired_by_offset(self, frame: SymbolFrame) -> list[Fired]:
        """What all of a frame's ticks set off, likewise; they are numbered by their offsets."""
        return self._fired(frame, -1, by_offset=True)

    def _fired(self, frame: SymbolFrame, after_sequence: int, *, by_offset: bool) -> list[Fired]:
        lists = self._of_symbol.get(frame.symbol)
        if lists is None:
            return []
        last = frame.last
        first: dict[str, Fired] = {}
        for crossing, steps, price in (
            (BID_FALLS, frame.bid_lows, last.bid),
            (BID_RISES, frame.bid_highs, last.bid),
            (ASK_FALLS, frame.ask_lows, last.ask),
            (ASK_RISES, frame.ask_highs, last.ask),
        ):
            triggers = lists.get(crossing)
            if not triggers or not _is_any_reached(triggers, crossing, steps, price):
                continue
            told = list(steps)
            if price is not None:
                told.append(Step(last.sequence, price, frame.offset, frame.before_ms))
            later = told if by_offset else [step for step in told if step.sequence > after_sequence]
            if not later:
                continue
            for fired in _crossed(triggers, crossing, later, by_offset=by_offset):
                known = first.get(fired.item_id)
                if known is None or fired < known:
                    first[fired.item_id] = fired
        return sorted(first.values())


def _is_any_reached(triggers: SortedList, crossing: Crossing, steps: Sequence[Step], price: Decimal | None) -> bool:
    """Whether a step or the last price reaches the nearest trigger: most frames reach none, and this is all they do."""
    if crossing.fires_below:
        nearest = triggers[-1].price
        return (price is not None and price <= nearest) or any(step.price <= nearest for step in steps)
    nearest = triggers[0].price
    return (price is not None and price >= nearest) or any(step.price >= nearest for step in steps)


def _crossed(triggers: SortedList, crossing: Crossing, steps: Sequence[Step], *, by_offset: bool) -> Iterator[Fired]:
    """Each trigger that the steps reach, with the first step that does."""
    # The last quote may lie inside the staircase; as a running extreme the steps are sorted for bisection.
    sign = -1 if crossing.fires_below else 1
    reached: list[Decimal] = []
    climbing: list[Step] = []
    for step in steps:
        level = sign * step.price
        if not reached or level > reached[-1]:
            reached.append(level)
            climbing.append(step)
    extreme = climbing[-1].price
    if crossing.fires_below:
        hit = triggers.irange(minimum=(extreme,))
    else:
        hit = triggers.irange(maximum=(extreme, len(TriggerKind)))  # after every trigger at that very price
    for price, kind, account_id, item_id in hit:
        step = climbing[bisect_left(reached, sign * price)]
        number = step.offset if by_offset else step.sequence
        yield Fired(number, kind, birth_order(item_id), account_id, item_id, step.price, step.before_ms)
