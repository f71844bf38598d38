"""The trigger index: which price moves fire what, and in which order."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from math import log2
from typing import Any

import pytest
from trading_samples import SOL, optional, quote

from exness_streams.domain.account import PendingOrder, Position
from exness_streams.domain.expiries import ExpiryIndex
from exness_streams.domain.frames import Step, SymbolFrame
from exness_streams.domain.quotes import Side
from exness_streams.domain.triggers import Fired, Item, TriggerIndex, TriggerKind, birth_order

Kind = TriggerKind


def position(
    name: str, side: Side = "long", liquidation: str = "0", *, stop: str | None = None, take: str | None = None
) -> Position:
    one = Decimal(1)
    return Position(
        position_id=name, symbol=SOL, asset="SOL", side=side, margin=one, leverage=one, quantity=one, entry_price=one,
        liquidation_price=Decimal(liquidation), fee_rate=one, maintenance_margin_rate=one, fee=one, opened_ms=0,
        stop_loss=optional(stop), take_profit=optional(take),
    )  # fmt: skip


def index_of(*positions: Position) -> TriggerIndex:
    index = TriggerIndex()
    for one in positions:
        index.add("demo", one)
    return index


def tick(bid: str | None, ask: str | None) -> SymbolFrame:
    return SymbolFrame(SOL, quote(bid, ask, 9))


def what(fired: list[Fired]) -> list[tuple[str, TriggerKind, Decimal]]:
    return [(one.item_id, one.kind, one.price) for one in fired]


@pytest.mark.parametrize(
    ("side", "bid", "ask", "kind"),
    [
        ("long", "91", "1000", None), ("long", "90", "1", Kind.STOP_LOSS), ("long", "80", "1", Kind.LIQUIDATION),
        ("long", "110", "1", Kind.TAKE_PROFIT), ("long", "109", "111", None), ("long", None, "1", None),
        ("short", "1", "109", None), ("short", "1", "110", Kind.STOP_LOSS), ("short", "1", "120", Kind.LIQUIDATION),
        ("short", "1", "90", Kind.TAKE_PROFIT), ("short", "89", "91", None), ("short", "1", None, None),
    ],
)  # fmt: skip
def test_longs_leave_at_the_bid_and_shorts_at_the_ask(
    side: Side, bid: str | None, ask: str | None, kind: TriggerKind | None
) -> None:
    """Liquidation goes before stop loss where one tick reaches both."""
    if side == "long":
        index = index_of(position("pos_0_1", "long", "80", stop="90", take="110"))
    else:
        index = index_of(position("pos_0_1", "short", "120", stop="110", take="90"))
    fired = index.fired_by(tick(bid, ask), 0)
    price = optional(bid if side == "long" else ask)
    assert what(fired) == ([] if kind is None else [("pos_0_1", kind, price)])


def test_at_one_tick_kinds_go_first_and_then_age() -> None:
    index = index_of(
        position("pos_0_10", liquidation="90"),
        position("pos_0_11", stop="95"),
        position("pos_0_3", stop="95"),
        position("pos_0_9", liquidation="85"),
        position("pos_0_1", "short", take="100"),
    )
    fired = index.fired_by(tick("80", "81"), 0)
    assert [one.item_id for one in fired] == ["pos_0_9", "pos_0_10", "pos_0_3", "pos_0_11", "pos_0_1"]


def test_the_first_tick_through_a_trigger_fills_it() -> None:
    index = index_of(position("pos_0_1", liquidation="90"), position("pos_0_2", liquidation="84", take="99"))
    steps = tuple(Step(nth, Decimal(price)) for nth, price in [(1, "95"), (2, "89"), (4, "85")])
    highs = (Step(1, Decimal(95)), Step(3, Decimal(100)))
    frame = SymbolFrame(SOL, quote("83", "84", 5), bid_lows=steps, bid_highs=highs)
    assert [(one.number, one.item_id, one.price) for one in index.fired_by(frame, 0)] == [
        (2, "pos_0_1", Decimal(89)),
        (3, "pos_0_2", Decimal(100)),
    ]


def test_steps_that_had_their_effect_are_skipped() -> None:
    index = index_of(position("pos_0_1", liquidation="90"))
    frame = SymbolFrame(SOL, quote("95", "96", 5), bid_lows=(Step(1, Decimal(91)), Step(2, Decimal(85))))
    assert index.fired_by(frame, 2) == []
    assert len(index.fired_by(frame, 1)) == 1


def test_another_symbol_fires_nothing() -> None:
    index = index_of(position("pos_0_1", liquidation="90"))
    assert index.fired_by(SymbolFrame("BTC_USDC", quote("1", "1", 2)), 0) == []


def test_what_is_removed_fires_no_more_and_twins_stay() -> None:
    twins = [position("pos_0_1", liquidation="90", stop="95"), position("pos_0_2", liquidation="90", stop="95")]
    index = index_of(*twins)
    assert len(index) == 4
    index.remove("demo", twins[0])
    assert [one.item_id for one in index.fired_by(tick("1", "1"), 0)] == ["pos_0_2"]
    with pytest.raises(ValueError, match="not in list"):
        index.remove("demo", twins[0])


def test_ids_sort_by_birth() -> None:
    names = ["pos_0_10", "pos_0_9", "pos_0_100", "pos_0_11"]
    assert sorted(names, key=birth_order) == ["pos_0_9", "pos_0_10", "pos_0_11", "pos_0_100"]


# What many share costs no more than what each has alone. Counted, since time is the machine's.


class Compared:
    """How often numbers of these kinds were compared."""

    times = 0


def _counting(base: type) -> Any:
    def counted(name: str) -> Callable[[Any, Any], Any]:
        compare = getattr(base, name)

        def method(self: Any, other: Any) -> Any:
            Compared.times += 1
            return compare(self, other)

        return method

    methods: dict[str, Any] = {name: counted(name) for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__")}
    return type(f"Counting{base.__name__}", (base,), {**methods, "__hash__": base.__hash__})


Price, Time = _counting(Decimal), _counting(int)


def order(name: str, price: Decimal, expires_ms: int | None = None) -> PendingOrder:
    one = Decimal(1)
    return PendingOrder(
        order_id=name, symbol=SOL, asset="SOL", side="long", kind="limit", price=price, margin=one, leverage=one,
        quantity=one, reserved_fee=one, fee_rate=one, maintenance_margin_rate=one, placed_ms=0, expires_ms=expires_ms,
    )  # fmt: skip


def at(nth: int, **exits: Any) -> Position:
    known = position(f"pos_0_{nth}")
    return Position(**{**{name: getattr(known, name) for name in known.__struct_fields__}, **exits})


SHARED: dict[str, Callable[[int, int], Item]] = {
    "stop loss": lambda nth, level: at(nth, stop_loss=Price(50 + level)),
    "liquidation": lambda nth, level: at(nth, liquidation_price=Price(50 + level)),
    "take profit": lambda nth, level: at(nth, take_profit=Price(50 + level)),
    "entry": lambda nth, level: order(f"ord_0_{nth}", Price(50 + level)),
    "end": lambda nth, level: order(f"ord_0_{nth}", Decimal(50), Time(50 + level)),
}


def costs_of(kind: str, count: int, levels: int) -> tuple[float, float]:
    """Comparisons for adding and for removing one of `count` items that share `levels` prices, or times."""
    items = [(f"account-{nth * 7919 % 997}", SHARED[kind](nth, nth % levels)) for nth in range(count)]
    triggers, expiries = TriggerIndex(), ExpiryIndex()
    draw = random.Random(1)
    costs = []
    for is_added in (True, False):
        draw.shuffle(items)
        Compared.times = 0
        for account_id, item in items:
            if kind == "end":
                assert isinstance(item, PendingOrder)
                orders = {item.order_id: item}
                expiries.change(account_id, *(({}, orders) if is_added else (orders, {})))
            elif is_added:
                triggers.add(account_id, item)
            else:
                triggers.remove(account_id, item)
        costs.append(Compared.times / count)
    assert (len(triggers), len(expiries)) == (0, 0)
    return costs[0], costs[1]


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("count", [500, 4_000])
def test_a_price_or_a_time_that_thousands_share_costs_no_more_than_their_own(kind: str, count: int) -> None:
    own = costs_of(kind, count, levels=count)
    for levels in (1, 2, 10):
        shared = costs_of(kind, count, levels)
        for alone, together in zip(own, shared, strict=True):
            assert alone <= 3 * log2(count) + 10
            assert together <= 2.5 * alone, (levels, alone, together)


def test_a_side_that_is_empty_hides_nothing_of_the_other() -> None:
    index = index_of(position("pos_0_1", "long", "80"), position("pos_0_2", "short", "120"))
    assert what(index.fired_by(tick(None, "120"), 0)) == [("pos_0_2", Kind.LIQUIDATION, Decimal(120))]
    assert what(index.fired_by(tick("80", None), 0)) == [("pos_0_1", Kind.LIQUIDATION, Decimal(80))]


@pytest.mark.parametrize(("last", "price"), [("111", "112"), ("113", "112"), ("109", "112"), ("112", "112")])
def test_a_step_counts_wherever_the_last_quote_is(last: str, price: str) -> None:
    index = index_of(position("pos_0_1", "long", "1", take="112"))
    highs = (Step(6, Decimal(110)), Step(7, Decimal(112)))
    fired = index.fired_by(SymbolFrame(SOL, quote(last, "200", 9), (), highs), 0)
    assert what(fired) == [("pos_0_1", Kind.TAKE_PROFIT, Decimal(price))]
    assert fired[0].number == 7
