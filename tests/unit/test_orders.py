"""Pending orders: filled, closed at once, expired, cancelled; the order of things at one tick. Figures by hand."""

from __future__ import annotations

from typing import Any

import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    batch,
    cancel_command,
    dec,
    deposit_command,
    flat,
    frame,
    modify_command,
    open_command,
    place_command,
    quote,
    terms,
)

from exness_streams.domain.commands import OrderKind
from exness_streams.domain.events import (
    Event,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    PositionClosed,
    PositionOpened,
)
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits
from exness_streams.domain.quotes import Side
from exness_streams.domain.rejections import RejectionCode

FEE = terms(fee_rate="0.001")


def kinds(events: list[Event]) -> list[str]:
    return [event.reason if isinstance(event, PositionClosed) else type(event).__name__ for event in events]


def filled(events: list[Event]) -> tuple[OrderFilled, PositionOpened]:
    one, two = events
    assert isinstance(one, OrderFilled)
    assert isinstance(two, PositionOpened)
    return one, two


def test_an_order_holds_margin_and_the_fee_of_any_fill() -> None:
    """1000 × 2 at 90: 22.22222222; fee at most 1000 × 2 × 0.001 = 2."""
    cell = StoredCell(flat(100))
    placed = cell.placed(place_command("long", "limit", 90, 1000, 2, on=FEE, stop="80", take="120"))
    assert (placed.order_id, placed.quantity, placed.reserved_fee) == ("ord_0_1", dec("22.22222222"), dec(2))
    row = cell.row()
    assert (row.cash, row.used_margin, row.balance, placed.balance) == (dec(8998), dec(1002), dec(10_000), dec(10_000))
    assert row.orders == {"ord_0_1": placed.order}
    assert (row.fees, row.positions, row.sequence) == (dec(0), {}, 1)


def test_a_filled_order_is_a_position() -> None:
    """Filled at 88: 2000 / 88 = 22.72727272; fee 22.72727272 × 88 × 0.001 = 1.99999999936, so 2. Liquidation 44."""
    cell = StoredCell(flat(100))
    cell.placed(place_command("long", "limit", 90, 1000, 2, on=FEE, stop="80", take="120"))
    cell.restart()
    fill, opened = filled(cell.events(frame(quote("87.5", "88", 2))))
    assert (fill.fill_price, fill.position_id, fill.balance) == (dec(88), "pos_0_1", dec(10_000))
    assert (opened.position_id, opened.order_id, opened.entry_price) == ("pos_0_1", "ord_0_1", dec(88))
    assert (opened.quantity, opened.fee, opened.mark_price) == (dec("22.72727272"), dec("2"), dec("87.5"))
    assert (opened.liquidation_price, opened.stop_loss, opened.take_profit) == (dec(44), dec(80), dec(120))
    assert [fill.event_id, opened.event_id] == ["0-2-0", "0-2-1"]
    assert [fill.sequence, opened.sequence] == [2, 3]
    row = cell.row()
    assert (row.cash, row.fees, row.orders) == (dec(8998), dec(2), {})
    assert len(cell.cell.triggers) == 3


def test_the_fee_that_a_fill_did_not_need_is_free_again() -> None:
    """Held for 1 USD: 0.001. At 60 million it buys 0.00000001, worth 0.6: the fee is 0.0006."""
    cell = StoredCell(flat(30_000_000))
    cell.placed(place_command("long", "stop", 40_000_000, 1, 1, on=FEE))
    assert cell.row().cash == dec("9998.999")
    _, opened = filled(cell.events(frame(flat(60_000_000, 2))))
    assert (opened.quantity, opened.fee, opened.balance) == (dec("0.00000001"), dec("0.0006"), dec("9999.9994"))
    assert (cell.row().cash, cell.row().fees) == (dec("9998.9994"), dec("0.0006"))


ENTRIES = [
    # limit: at the price or better; stop: at the price or worse; a buyer at the ask, a seller at the bid
    ("long", "limit", "90", ("89", "90.01"), None),
    ("long", "limit", "90", ("89", "90"), "90"),
    ("long", "limit", "90", ("80", "81"), "81"),
    ("long", "limit", "90", ("80", None), None),
    ("long", "stop", "110", ("110", "109.99"), None),
    ("long", "stop", "110", ("109", "110"), "110"),
    ("long", "stop", "110", ("119", "120"), "120"),
    ("short", "limit", "110", ("109.99", "111"), None),
    ("short", "limit", "110", ("110", "111"), "110"),
    ("short", "limit", "110", ("125", "126"), "125"),
    ("short", "limit", "110", (None, "126"), None),
    ("short", "stop", "90", ("90.01", "91"), None),
    ("short", "stop", "90", ("90", "91"), "90"),
    ("short", "stop", "90", ("70", "71"), "70"),
]


@pytest.mark.parametrize(("side", "kind", "price", "market", "fill"), ENTRIES)
def test_where_an_order_is_filled(
    side: Side, kind: OrderKind, price: str, market: tuple[str | None, str | None], fill: str | None
) -> None:
    cell = StoredCell(flat(100))
    cell.placed(place_command(side, kind, price))
    events = cell.events(frame(quote(*market, sequence=2)))
    if fill is None:
        assert events == []
        assert len(cell.row().orders) == 1
    else:
        assert filled(events)[1].entry_price == dec(fill)


@pytest.mark.parametrize(
    ("side", "kind", "price", "waits"),
    [
        ("long", "limit", "100.99999999", True), ("long", "limit", "101", False), ("long", "limit", "102", False),
        ("long", "stop", "101.00000001", True), ("long", "stop", "101", False), ("long", "stop", "100", False),
        ("short", "limit", "99.00000001", True), ("short", "limit", "99", False), ("short", "limit", "98", False),
        ("short", "stop", "98.99999999", True), ("short", "stop", "99", False), ("short", "stop", "100", False),
    ],
)  # fmt: skip
def test_an_order_that_the_market_has_reached_is_no_pending_order(
    side: Side, kind: OrderKind, price: str, waits: bool
) -> None:
    cell = StoredCell(quote("99", "101"))
    command = place_command(side, kind, price)
    if waits:
        cell.placed(command)
    else:
        assert cell.rejected(command).details["field"] == "price"


class TestWithinAFrame:
    """An order filled inside a frame is a position from the frame's end, and is checked against its last quote."""

    @pytest.mark.parametrize(
        ("last", "what", "realized"),
        [
            # filled at 90: 2000 / 90 = 22.22222222
            ("89", None, None),
            ("85", "stop_loss", "-111.1111111"),
            ("80", "stop_loss", "-222.2222222"),
            ("44", "liquidation", "-1000"),  # 46 × 22.22222222 = 1022.2 is capped
            ("120", "take_profit", "666.6666666"),
            ("130", "take_profit", "888.8888888"),
        ],
    )
    def test_the_last_quote_may_close_it_at_once(self, last: str, what: str | None, realized: str | None) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "limit", 90, stop="85", take="120"))
        events = cell.events(batch(flat(95, 2), flat(90, 3), flat(last, 4)))
        assert kinds(events) == ["OrderFilled", "PositionOpened", *([] if what is None else [what])]
        assert [event.event_id for event in events] == [f"0-2-{nth}" for nth in range(len(events))]
        if realized is not None:
            closed = events[-1]
            assert isinstance(closed, PositionClosed)
            assert (closed.close_price, closed.realized_pnl) == (dec(last), dec(realized))
            assert cell.row().cash == 10_000 + dec(realized)
            assert len(cell.cell.triggers) == 0

    def test_what_the_market_did_between_does_not_touch_it(self) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "limit", 90, stop="85", take="120"))
        assert len(cell.events(batch(flat(90, 2), flat(40, 3), flat(130, 4), flat(91, 5)))) == 2

    def test_a_tick_that_fills_it_may_close_it(self) -> None:
        """Bought at the ask of 90, worth the bid of 84: −6 × 22.22222222."""
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "limit", 90, stop="85"))
        events = cell.events(frame(quote("84", "90", 2)))
        assert kinds(events) == ["OrderFilled", "PositionOpened", "stop_loss"]
        assert cell.row().cash == dec("9866.66666668")

    def test_without_a_bid_at_the_end_it_lives(self) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "limit", 90, stop="85"))
        assert len(cell.events(batch(flat(84, 2), quote(None, "84", 3, price="10")))) == 2
        assert kinds(cell.events(frame(flat("84.9", 4)))) == ["stop_loss"]

    def test_a_margin_that_buys_nothing_after_a_gap_comes_back(self) -> None:
        """1 / 1000000000 is below 0.00000001."""
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "stop", 110, 1, 1, on=FEE))
        (event,) = cell.events(frame(flat(10**9, 2)))
        assert isinstance(event, OrderCancelled)
        assert (event.reason, cell.row().cash, cell.row().orders) == ("unfillable", dec(10_000), {})
        assert event.event_id == f"0-{cell.cell.next_offset - 1}-0"


class TestAtOneTick:
    def test_liquidation_stop_profit_entry_and_each_by_birth(self) -> None:
        """Bid 80, ask 81. The names are given in the order of placing."""
        cell = StoredCell(flat(100))
        commands: list[Any] = [
            place_command("long", "limit", 90, account="ann"),  # 1 entry
            open_command("short", 10, 2, take="85", account="ann"),  # 2 profit
            open_command("long", 10, 2, stop="90", account="bob"),  # 3 stop
            open_command("long", 10, 10, account="ann"),  # 4 liquidation
            open_command("long", 10, 2, stop="95", account="ann"),  # 5 stop
            place_command("short", "stop", 85, account="bob"),  # 6 entry
            open_command("long", 10, 8, account="bob"),  # 7 liquidation
            open_command("short", 10, 2, take="82", account="bob"),  # 8 profit
            *(deposit_command(account="ann") for _ in range(1)),  # 9
            open_command("long", 10, 10, account="bob"),  # 10 liquidation: after 7, whatever the text says
        ]
        for command in commands:
            cell.events(command)
        events = cell.events(frame(quote("80", "81", 2)))
        order = [(kind, event.position_id) for kind, event in zip(kinds(events), events, strict=True)
                 if isinstance(event, PositionClosed | OrderFilled)]  # fmt: skip
        assert order == [
            ("liquidation", "pos_0_4"), ("liquidation", "pos_0_7"), ("liquidation", "pos_0_10"),
            ("stop_loss", "pos_0_3"), ("stop_loss", "pos_0_5"),
            ("take_profit", "pos_0_2"), ("take_profit", "pos_0_8"),
            ("OrderFilled", "pos_0_1"), ("OrderFilled", "pos_0_6"),
        ]  # fmt: skip

    def test_an_earlier_tick_goes_before_any_kind(self) -> None:
        cell = StoredCell(flat(100))
        cell.events(place_command("long", "limit", 98))
        cell.events(open_command("long", 10, 10))
        assert kinds(cell.events(batch(flat(98, 2), flat(90, 3)))) == [
            "OrderFilled", "PositionOpened", "liquidation",
        ]  # fmt: skip

    def test_the_ticks_of_several_symbols_are_one_order(self) -> None:
        cell = StoredCell(flat(100))
        cell.fold(PriceFrame(NOW_MS, (SymbolFrame("BTC_USDC", flat(100, 2)),)))
        cell.events(open_command("long", 10, 10))
        cell.events(open_command("long", 10, 10, on=terms("BTC_USDC")))
        both = PriceFrame(NOW_MS, (SymbolFrame(SOL, flat(80, 5)), SymbolFrame("BTC_USDC", flat(80, 4))))
        assert [getattr(event, "symbol", None) for event in cell.events(both)] == ["BTC_USDC", SOL]


class TestExpiry:
    def test_a_record_of_that_time_drops_it(self) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command(on=FEE, expires_ms=NOW_MS + 10))
        assert cell.events(PriceFrame(NOW_MS + 9, (SymbolFrame(SOL, flat(99, 2)),))) == []
        cell.restart()
        (event,) = cell.events(PriceFrame(NOW_MS + 10, (SymbolFrame(SOL, flat(98, 3)),)))
        assert isinstance(event, OrderExpired)
        assert (event.timestamp, event.balance, event.expires_at) == (NOW_MS + 10, dec(10_000), NOW_MS + 10)
        assert (cell.row().cash, cell.row().orders) == (dec(10_000), {})
        assert len(cell.cell.triggers) == len(cell.cell.expiries) == 0

    def test_it_goes_before_the_ticks_of_the_record(self) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command("long", "limit", 90, expires_ms=NOW_MS + 10))
        assert kinds(cell.events(PriceFrame(NOW_MS + 10, (SymbolFrame(SOL, flat(90, 2)),)))) == ["OrderExpired"]

    def test_anybodys_command_is_such_a_record_and_the_soonest_goes_first(self) -> None:
        cell = StoredCell(flat(100))
        later = cell.placed(place_command(account="ann", expires_ms=NOW_MS + 7))
        sooner = cell.placed(place_command(account="bob", expires_ms=NOW_MS + 5))
        cell.placed(place_command(account="bob", expires_ms=NOW_MS + 8))
        cell.placed(place_command(account="bob"))
        folded = cell.fold(deposit_command(account="cy", time_ms=NOW_MS + 7))
        assert [getattr(event, "order_id", "") for event in folded.events] == [sooner.order_id, later.order_id, ""]
        assert [event.event_id for event in folded.events] == ["0-5-0", "0-5-1", "0-5-2"]
        assert len(cell.row("bob").orders) == 2

    def test_what_it_held_can_pay_for_the_very_command_that_ended_it(self) -> None:
        cell = StoredCell(flat(100))
        cell.placed(place_command(margin=10_000, leverage=1, expires_ms=NOW_MS + 5))
        assert cell.rejected(open_command(time_ms=NOW_MS + 4)).code is RejectionCode.INSUFFICIENT_MARGIN
        assert kinds(cell.events(open_command(time_ms=NOW_MS + 5))) == ["OrderExpired", "PositionOpened"]

    def test_a_filled_or_cancelled_order_does_not_expire(self) -> None:
        cell = StoredCell(flat(100))
        order = cell.placed(place_command("long", "limit", 50, expires_ms=NOW_MS + 5))
        cell.placed(place_command("long", "limit", 90, expires_ms=NOW_MS + 5))
        cell.events(cancel_command(order.order_id))
        cell.events(frame(flat(90, 2)))
        assert cell.events(PriceFrame(NOW_MS + 99, (SymbolFrame(SOL, flat(91, 3)),))) == []
        assert len(cell.row().positions) == 1

    @pytest.mark.parametrize(("expires_ms", "is_late"), [(NOW_MS - 1, True), (NOW_MS, True), (NOW_MS + 1, False)])
    def test_an_expiry_lies_in_the_future(self, expires_ms: int, is_late: bool) -> None:
        outcome = StoredCell(flat(100)).outcome(place_command(expires_ms=expires_ms))
        assert (getattr(outcome, "code", None) is RejectionCode.INVALID_REQUEST) == is_late


def test_a_cancelled_order_gives_back_what_it_held_and_is_gone() -> None:
    cell = StoredCell(flat(100))
    placed = cell.placed(place_command(on=FEE))
    assert cell.rejected(cancel_command(placed.order_id, account="eve")).code is RejectionCode.ORDER_NOT_FOUND
    (event,) = cell.events(cancel_command(placed.order_id))
    assert isinstance(event, OrderCancelled)
    assert (event.reason, event.order, cell.row().cash) == ("client", placed.order, dec(10_000))
    assert cell.rejected(cancel_command(placed.order_id)).code is RejectionCode.ORDER_NOT_FOUND
    assert cell.events(frame(flat(50, 2))) == []


def test_a_filled_order_can_be_modified_and_no_longer_cancelled() -> None:
    cell = StoredCell(flat(100))
    placed = cell.placed(place_command("long", "limit", 90))
    cell.events(frame(flat(90, 2)))
    assert cell.rejected(cancel_command(placed.order_id)).code is RejectionCode.ORDER_NOT_FOUND
    cell.events(modify_command("pos_0_1", stop="80"))
    assert kinds(cell.events(frame(flat(79, 3)))) == ["stop_loss"]


def test_margin_and_fee_of_an_order_are_free_to_nobody() -> None:
    """9999 × 1 × 0.0001 = 0.9999; together 9999.9999 of 10000."""
    cell = StoredCell(flat(100))
    cell.placed(place_command(margin=9999, leverage=1, on=terms(fee_rate="0.0001")))
    assert cell.row().cash == dec("0.0001")
    assert cell.rejected(open_command(margin=1)).details == {"required": "1", "available": "0.0001"}
    assert cell.rejected(place_command(margin=1)).details == {"required": "1", "available": "0.0001"}
    filled(cell.events(frame(flat(90, 2))))
    assert cell.row().cash == dec("0.0001")


def test_limits_count_orders_and_positions_together() -> None:
    cell = StoredCell(flat(100))
    three = Limits(open_max=3)
    cell.placed(place_command("long", "limit", 90, 1, limits=three))
    cell.opened(open_command("long", 1, limits=three))
    cell.placed(place_command("long", "limit", 80, 1, limits=three))
    for command in (open_command("long", 1, limits=three), place_command(margin=1, limits=three)):
        assert cell.rejected(command).details == {"limit": "open", "max": 3}
    cell.events(frame(flat(90, 2)))  # an order filled is still one of three
    assert cell.rejected(open_command("long", 1, limits=three)).code is RejectionCode.LIMIT_REACHED
    cell.events(cancel_command("ord_0_3"))
    cell.opened(open_command("long", 1, limits=three))


def test_two_hundred_of_both_are_the_limit() -> None:
    cell = StoredCell(flat(100))
    for nth in range(200):
        cell.fold(open_command("long", 1, 1) if nth % 2 else place_command("long", "limit", 90, 1, 1))
    assert (len(cell.row().positions), len(cell.row().orders)) == (100, 100)
    assert cell.rejected(place_command(margin=1)).details == {"limit": "open", "max": 200}
    assert cell.rejected(open_command(margin=1)).details == {"limit": "open", "max": 200}
    # all orders at one tick: 100 fills and 100 openings in one record
    assert len(cell.events(frame(flat(90, 2)))) == 200
    assert len(cell.row().positions) == 200
