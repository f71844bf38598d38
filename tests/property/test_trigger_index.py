"""The trigger index against a list that is searched from end to end, with few prices, so that most are shared."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.account import PendingOrder, Position
from exness_streams.domain.expiries import ExpiryIndex
from exness_streams.domain.frames import SymbolFrame
from exness_streams.domain.quotes import Quote
from exness_streams.domain.triggers import Item, TriggerIndex, TriggerKind, birth_order

SOL = "SOL_USDC"
ONE = Decimal(1)
MARKET = 100

offsets = st.integers(-2, 2)


class Drawn(NamedTuple):
    """One item. Prices in units away from the market; entry: that of a pending order, of which there are no exits."""

    account: int
    long: bool
    liquidation: int
    stop: int | None
    take: int | None
    entry: int | None
    is_limit: bool
    expires: int | None


drawn = st.builds(
    Drawn, st.integers(0, 3), st.booleans(), offsets, st.none() | offsets, st.none() | offsets,
    st.none() | offsets, st.booleans(), st.none() | st.integers(0, 3),
)  # fmt: skip


def price(offset: int) -> Decimal:
    return Decimal(MARKET + offset)


def item_of(nth: int, one: Drawn) -> Item:
    if one.entry is not None:
        return PendingOrder(
            order_id=f"ord_0_{nth}", symbol=SOL, asset="SOL", side="long" if one.long else "short",
            kind="limit" if one.is_limit else "stop", price=price(one.entry), margin=ONE, leverage=ONE, quantity=ONE,
            reserved_fee=ONE, fee_rate=ONE, maintenance_margin_rate=ONE, placed_ms=0, expires_ms=one.expires,
        )  # fmt: skip
    return Position(
        position_id=f"pos_0_{nth}", symbol=SOL, asset="SOL", side="long" if one.long else "short", margin=ONE,
        leverage=ONE, quantity=ONE, entry_price=ONE, liquidation_price=price(one.liquidation), fee_rate=ONE,
        maintenance_margin_rate=ONE, fee=ONE, opened_ms=0,
        stop_loss=None if one.stop is None else price(one.stop),
        take_profit=None if one.take is None else price(one.take),
    )  # fmt: skip


def naive_fired(items: list[tuple[int, Drawn]], bid: int, ask: int) -> list[tuple[str, TriggerKind]]:
    """Which items a tick fires, and why, by the rules as they are told to a trader."""
    found = []
    for nth, one in items:
        kinds = []
        if one.entry is None:
            now, sign = (bid, 1) if one.long else (ask, -1)  # what it could be closed at; a long loses when it falls
            if sign * now <= sign * one.liquidation:
                kinds.append(TriggerKind.LIQUIDATION)
            if one.stop is not None and sign * now <= sign * one.stop:
                kinds.append(TriggerKind.STOP_LOSS)
            if one.take is not None and sign * now >= sign * one.take:
                kinds.append(TriggerKind.TAKE_PROFIT)
        else:
            now = ask if one.long else bid
            waits_below = one.long == one.is_limit
            if now <= one.entry if waits_below else now >= one.entry:
                kinds.append(TriggerKind.ENTRY)
        if kinds:
            name = f"pos_0_{nth}" if one.entry is None else f"ord_0_{nth}"
            found.append((min(kinds), birth_order(name), name))
    return [(name, kind) for kind, _, name in sorted(found)]


@given(st.lists(drawn, max_size=40), st.data())
def test_the_index_fires_what_a_search_through_everything_finds(all_drawn: list[Drawn], data: st.DataObject) -> None:
    items = list(enumerate(all_drawn))
    loaded = data.draw(st.integers(0, len(items)))
    index, expiries = TriggerIndex(), ExpiryIndex()
    first = [(f"account-{one.account}", item_of(nth, one)) for nth, one in items[:loaded]]
    index.load(first)
    expiries.load((account, item) for account, item in first if isinstance(item, PendingOrder))
    for nth, one in items[loaded:]:
        account, item = f"account-{one.account}", item_of(nth, one)
        index.add(account, item)
        if isinstance(item, PendingOrder):
            expiries.change(account, {}, {item.order_id: item})
    removed = data.draw(st.sets(st.sampled_from(range(len(items))))) if items else set()
    for nth in sorted(removed, reverse=data.draw(st.booleans())):
        account, item = f"account-{all_drawn[nth].account}", item_of(nth, all_drawn[nth])
        index.remove(account, item)
        if isinstance(item, PendingOrder):
            expiries.change(account, {item.order_id: item}, {})
    left = [(nth, one) for nth, one in items if nth not in removed]
    bid = data.draw(offsets)
    ask = bid + data.draw(st.integers(0, 2))
    frame = SymbolFrame(SOL, Quote(2, 1, price(bid), price(bid), price(ask)))
    assert [(fired.item_id, fired.kind) for fired in index.fired_by(frame, 1)] == naive_fired(left, bid, ask)
    time_ms = data.draw(st.integers(0, 3))
    due = [(one.expires, nth) for nth, one in left if one.entry is not None and one.expires is not None]
    assert [order for _, order in expiries.due(time_ms)] == [f"ord_0_{n}" for e, n in sorted(due) if e <= time_ms]
