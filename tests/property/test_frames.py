"""Frames lose nothing: what a frame fires is what walking every position on each of its ticks closes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rules import NaiveOrder, NaivePosition, Tick, price_to_fill, reason_to_close
from naive_view import fraction, naive_order, naive_position

from exness_streams.domain.account import PendingOrder, Position
from exness_streams.domain.frames import REFRESH_MS, FrameBuilder, Step, SymbolFrame
from exness_streams.domain.quotes import Quote
from exness_streams.domain.triggers import Item, TriggerIndex, TriggerKind

SYMBOL = "SOL_USDC"


class Closing(NamedTuple):
    sequence: int
    reason: str
    item_id: str
    price: Fraction


prices = st.integers(1, 30)
sides = st.one_of(st.none(), prices, prices, prices)
quotes = st.lists(st.tuples(sides, sides), min_size=1, max_size=25).map(
    lambda rows: [
        Quote(
            nth, nth, Decimal(10), None if bid is None else Decimal(bid) / 2, None if ask is None else Decimal(ask) / 2
        )
        for nth, (bid, ask) in enumerate(rows, 1)
    ]
)
triggers = st.one_of(st.none(), prices.map(lambda price: Decimal(price) / 2))


ONE, ZERO = Decimal(1), Decimal(0)


@st.composite
def item_lists(draw: st.DrawFn) -> list[Item]:
    """Positions and pending orders, in the order of their birth: 7, 8, 9, 10, …, which is not that of the text."""
    draw_item: dict[str, Callable[[st.DrawFn, int], Item]] = {"position": a_position, "order": an_order}
    kinds = draw(st.lists(st.sampled_from(["position", "order"]), min_size=1, max_size=8))
    return [draw_item[kind](draw, 7 + birth) for birth, kind in enumerate(kinds)]


def a_position(draw: st.DrawFn, birth: int) -> Position:
    return Position(
        position_id=f"pos_0_{birth}",
        symbol=SYMBOL,
        asset="SOL",
        side=draw(st.sampled_from(["long", "short"])),
        margin=ONE,
        leverage=ONE,
        quantity=ONE,
        entry_price=ONE,
        liquidation_price=draw(triggers) or ZERO,
        fee_rate=ZERO,
        maintenance_margin_rate=ZERO,
        fee=ZERO,
        opened_ms=0,
        stop_loss=draw(triggers),
        take_profit=draw(triggers),
    )


def an_order(draw: st.DrawFn, birth: int) -> PendingOrder:
    return PendingOrder(
        order_id=f"ord_0_{birth}",
        symbol=SYMBOL,
        asset="SOL",
        side=draw(st.sampled_from(["long", "short"])),
        kind=draw(st.sampled_from(["limit", "stop"])),
        price=draw(prices.map(lambda price: Decimal(price) / 2)),
        margin=ONE,
        leverage=ONE,
        quantity=ONE,
        reserved_fee=ZERO,
        fee_rate=ZERO,
        maintenance_margin_rate=ZERO,
        placed_ms=0,
    )


def id_of(item: Item) -> str:
    return item.order_id if isinstance(item, PendingOrder) else item.position_id


def what_a_tick_does(item: NaiveOrder | NaivePosition, tick: Tick) -> tuple[int, str, Fraction] | None:
    if isinstance(item, NaivePosition):
        return reason_to_close(item, tick)
    price = price_to_fill(item, tick)
    return None if price is None else (3, "entry", price)


def naive_closings(items: list[Item], ticks: list[Quote]) -> list[Closing]:
    live: dict[int, NaiveOrder | NaivePosition] = {
        birth: naive_order(birth, item) if isinstance(item, PendingOrder) else naive_position(birth, item)
        for birth, item in enumerate(items)
    }
    closings = []
    for quote in ticks:
        tick = Tick(SYMBOL, fraction(quote.bid), fraction(quote.ask), Fraction(quote.price))
        found = []
        for birth, item in live.items():
            closing = what_a_tick_does(item, tick)
            if closing is not None:
                found.append((closing[0], birth, closing))
        for _, birth, (_, reason, price) in sorted(found):
            del live[birth]
            closings.append(Closing(quote.sequence, reason, id_of(items[birth]), price))
    return closings


REASONS = {
    TriggerKind.LIQUIDATION: "liquidation",
    TriggerKind.STOP_LOSS: "stop_loss",
    TriggerKind.TAKE_PROFIT: "take_profit",
    TriggerKind.ENTRY: "entry",
}


def fired(index: TriggerIndex, frame: SymbolFrame, after: int) -> list[Closing]:
    return [
        Closing(one.number, REASONS[one.kind], one.item_id, Fraction(one.price)) for one in index.fired_by(frame, after)
    ]


def frame_of(ticks: list[Quote]) -> SymbolFrame:
    builder = FrameBuilder()
    for quote in ticks:
        builder.add(SYMBOL, quote)
    frame = builder.cut(0)
    assert frame is not None
    (symbol_frame,) = frame.symbols
    return symbol_frame


@settings(max_examples=examples(500), deadline=None)
@given(item_lists(), quotes)
def test_a_frame_fires_what_its_ticks_would_have_fired(items: list[Item], ticks: list[Quote]) -> None:
    index = TriggerIndex()
    index.load(("demo", item) for item in items)
    assert fired(index, frame_of(ticks), 0) == naive_closings(items, ticks)


@settings(max_examples=examples(200), deadline=None)
@given(item_lists(), quotes, st.lists(st.integers(1, 25), max_size=6))
def test_a_batch_may_be_cut_anywhere(items: list[Item], ticks: list[Quote], cuts: list[int]) -> None:
    """With one builder throughout, as the market agent has it: markets at rest are left out of frames."""
    index = TriggerIndex()
    for item in items:
        index.add("demo", item)
    live = {id_of(item): item for item in items}
    builder = FrameBuilder()
    closings: list[Closing] = []
    seen = 0
    for quote in ticks:
        builder.add(SYMBOL, quote)
        frame = builder.cut(0) if quote.sequence in cuts or quote is ticks[-1] else None
        if frame is None:
            continue
        (symbol_frame,) = frame.symbols
        for closing in fired(index, symbol_frame, seen):
            closings.append(closing)
            index.remove("demo", live.pop(closing.item_id))
        seen = symbol_frame.last.sequence
    assert closings == naive_closings(items, ticks)


@settings(max_examples=examples(200), deadline=None)
@given(quotes)
def test_the_staircases_are_the_new_extremes_before_the_last_quote(ticks: list[Quote]) -> None:
    frame = frame_of(ticks)
    bids = [(quote.sequence, quote.bid) for quote in ticks if quote.bid is not None]
    asks = [(quote.sequence, quote.ask) for quote in ticks if quote.ask is not None]
    last = frame.last.sequence
    assert frame.last == ticks[-1]
    assert list(frame.bid_lows) == extremes(bids, last, falling=True)
    assert list(frame.bid_highs) == extremes(bids, last, falling=False)
    assert list(frame.ask_lows) == extremes(asks, last, falling=True)
    assert list(frame.ask_highs) == extremes(asks, last, falling=False)


def extremes(prices: list[tuple[int, Decimal]], last: int, *, falling: bool) -> list[Step]:
    found = []
    for nth, (sequence, price) in enumerate(prices):
        before = [earlier for _, earlier in prices[:nth]]
        if sequence != last and all(price < earlier if falling else price > earlier for earlier in before):
            found.append(Step(sequence, price))
    return found


@settings(max_examples=examples(200), deadline=None)
@given(quotes, st.integers(1, 3))
def test_a_builder_takes_every_tick_once_whatever_comes_again(ticks: list[Quote], times: int) -> None:
    once, often = FrameBuilder(), FrameBuilder()
    for quote in ticks:
        once.add(SYMBOL, quote)
    for nth in range(len(ticks)):
        for quote in ticks[: nth + 1] * times:
            often.add(SYMBOL, quote)
    assert often.cut(5) == once.cut(5)
    for quote in ticks:
        often.add(SYMBOL, quote)
    assert often.cut(6) is None


@given(st.integers(0, 3 * REFRESH_MS))
def test_a_market_at_rest_is_framed_again_only_to_stay_fresh(later_ms: int) -> None:
    builder = FrameBuilder()
    builder.add(SYMBOL, Quote(1, 0, Decimal(1), Decimal(1), Decimal(1)))
    assert builder.cut(0) is not None
    builder.add(SYMBOL, Quote(2, later_ms, Decimal(1), Decimal(1), Decimal(1)))
    assert (builder.cut(later_ms) is not None) == (later_ms >= REFRESH_MS)
