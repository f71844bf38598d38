"""Stop loss, take profit and partial closes, with figures worked out by hand. Fees are told where they are not 0."""

from __future__ import annotations

from typing import Any

import pytest
from trading_samples import (
    StoredCell,
    batch,
    close_command,
    dec,
    flat,
    frame,
    modify_command,
    open_command,
    quote,
    terms,
)

from exness_streams.domain.events import PositionClosed, PositionModified
from exness_streams.domain.quotes import Side
from exness_streams.domain.rejections import RejectionCode

FEE = terms(fee_rate="0.001")


def only(events: list[Any]) -> PositionClosed:
    (event,) = events
    assert isinstance(event, PositionClosed)
    return event


EXITS = {
    # 1000 × 10 / 100 = 100. The bid of 95 is the stop: −5 × 100
    "long, stop touched": ("long", "95", None, ("95", "96"), "stop_loss", "95", "-500"),
    "long, stop not reached": ("long", "95", None, ("95.01", "1"), None, None, None),
    # a gap through the stop fills where the market is: −6.5 × 100
    "long, gap through the stop": ("long", "95", None, ("93.5", "94"), "stop_loss", "93.5", "-650"),
    # liquidation at 90 lies in the gap, too, and goes first: −30 × 100 is capped at −1000
    "long, gap through both": ("long", "95", None, ("70", "71"), "liquidation", "70", "-1000"),
    "long, profit touched": ("long", None, "110", ("110", "111"), "take_profit", "110", "1000"),
    # a gap beyond the profit is the trader's: 30 × 100
    "long, gap beyond the profit": ("long", None, "110", ("130", "131"), "take_profit", "130", "3000"),
    "long, the ask is not its price": ("long", None, "110", ("109.9", "115"), None, None, None),
    "short, stop touched": ("short", "105", None, ("104", "105"), "stop_loss", "105", "-500"),
    "short, gap through the stop": ("short", "105", None, ("106", "107.25"), "stop_loss", "107.25", "-725"),
    "short, gap through both": ("short", "105", None, ("150", "151"), "liquidation", "151", "-1000"),
    "short, profit touched": ("short", None, "90", ("89", "90"), "take_profit", "90", "1000"),
    "short, gap beyond the profit": ("short", None, "90", ("39", "40"), "take_profit", "40", "6000"),
    "short, the bid is not its price": ("short", "105", "90", ("80", "91"), None, None, None),
}


@pytest.mark.parametrize(("side", "stop", "take", "market", "reason", "price", "realized"), EXITS.values(), ids=EXITS)
def test_exits(
    side: Side, stop: str | None, take: str | None, market: tuple[str, str],
    reason: str | None, price: str | None, realized: str | None,
) -> None:  # fmt: skip
    cell = StoredCell(flat(100))
    cell.opened(open_command(side, 1000, 10, stop=stop, take=take))
    events = cell.events(frame(quote(*market, sequence=2)))
    if reason is None:
        assert events == []
        return
    closed = only(events)
    assert (closed.reason, closed.close_price, closed.realized_pnl) == (reason, dec(price), dec(realized))
    assert cell.row().cash == 10_000 + dec(realized)
    assert len(cell.cell.triggers) == 0


def test_a_stop_pays_the_fee_of_its_fill() -> None:
    """100 × 100 × 0.001 = 10 at the opening, 100 × 95 × 0.001 = 9.5 at the stop; 10000 − 10 − 500 − 9.5."""
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", 1000, 10, on=FEE, stop="95"))
    closed = only(cell.events(frame(flat(95, 2))))
    assert (closed.fee, closed.entry_fee, closed.balance) == (dec("9.5"), dec(10), dec("9480.5"))


def test_the_first_tick_of_a_frame_through_a_trigger_closes() -> None:
    """Within one frame the bid goes 101, 94, 111, 80: the stop at 95 is met by the second."""
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", 1000, 10, stop="95", take="110"))
    closed = only(cell.events(batch(flat(101, 2), flat(94, 3), flat(111, 4), flat(80, 5))))
    assert (closed.reason, closed.close_price) == ("stop_loss", dec(94))


class TestModify:
    def test_new_triggers_take_the_place_of_the_old(self) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 10, stop="95", take="110"))
        modified = cell.outcome(modify_command(opened.position_id, stop="92", take="105"))
        assert isinstance(modified, PositionModified)
        assert (modified.stop_loss, modified.take_profit, modified.liquidation_price) == (dec(92), dec(105), dec(90))
        assert (modified.sequence, modified.balance, modified.opened_at) == (2, dec(10_000), opened.timestamp)
        assert modified.position == cell.row().positions[opened.position_id]
        assert cell.events(frame(flat(94, 2))) == []
        assert only(cell.events(frame(flat(105, 3)))).reason == "take_profit"

    @pytest.mark.parametrize(
        ("change", "left"),
        [
            ({"stop": None}, (None, "110")),
            ({"take": None}, ("95", None)),
            ({"stop": "97"}, ("97", "110")),
            ({"stop": None, "take": "120"}, (None, "120")),
            ({"stop": None, "take": None}, (None, None)),
        ],
    )
    def test_null_clears_and_what_is_left_out_stays(
        self, change: dict[str, str | None], left: tuple[str | None, str | None]
    ) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 10, stop="95", take="110"))
        cell.events(modify_command(opened.position_id, **change))
        cell.restart()
        position = cell.row().positions[opened.position_id]
        assert (position.stop_loss, position.take_profit) == tuple(None if one is None else dec(one) for one in left)
        assert position.liquidation_price == dec(90)
        assert len(cell.cell.triggers) == 1 + sum(one is not None for one in left)

    def test_a_trigger_that_was_passed_while_another_is_set_is_judged_by_the_market(self) -> None:
        """At 104 a stop of 103 is fine for a long opened at 100, which then can't lose."""
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 10))
        assert cell.rejected(modify_command(opened.position_id, stop="103")).code is RejectionCode.INVALID_TRIGGER
        cell.events(frame(quote("104", "104.5", 2)))
        cell.events(modify_command(opened.position_id, stop="103"))
        closed = only(cell.events(frame(quote("103", "103.5", 3))))
        assert (closed.reason, closed.realized_pnl) == ("stop_loss", dec(300))


TRIGGERS_ON_OPEN = [
    # at leverage 10 the liquidation price is 90 of a long, 110 of a short; bid 99, ask 101 around 100
    ("long", "90.90000001", None, True),
    ("long", "90.9", None, False),  # 101 × 0.9: the liquidation price itself
    ("long", "98.99999999", None, True),
    ("long", "99", None, False),  # the bid itself: in the money at once
    ("long", None, "99", False),
    ("long", None, "99.00000001", True),
    ("short", "108.89999999", None, True),  # 99 × 1.1
    ("short", "108.9", None, False),
    ("short", "101.00000001", None, True),
    ("short", "101", None, False),
    ("short", None, "101", False),
    ("short", None, "100.99999999", True),
]


@pytest.mark.parametrize(("side", "stop", "take", "fits"), TRIGGERS_ON_OPEN)
def test_triggers_lie_strictly_between_liquidation_and_market_or_beyond_it(
    side: Side, stop: str | None, take: str | None, fits: bool
) -> None:
    cell = StoredCell(quote("99", "101"))
    command = open_command(side, 1000, 10, stop=stop, take=take)
    if fits:
        cell.opened(command)
    else:
        assert cell.rejected(command).code is RejectionCode.INVALID_TRIGGER


class TestPartialClose:
    def test_a_quantity_of_a_long(self) -> None:
        """1000 × 2 / 100 = 20; 5 of them at 120: margin 250, fee of the entry 2 × 5/20 = 0.5, 5 × 120 × 0.001 = 0.6."""
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 2, on=FEE, stop="60", take="200"))
        cell.events(frame(flat(120, 2)))
        closed = cell.closed(close_command(opened.position_id, quantity="5"))
        assert (closed.quantity, closed.margin, closed.realized_pnl) == (dec(5), dec(250), dec(100))
        assert (closed.fee, closed.entry_fee) == (dec("0.6"), dec("0.5"))
        left = closed.remaining
        assert left is not None
        assert (left.quantity, left.margin, left.fee) == (dec(15), dec(750), dec("1.5"))
        assert (left.liquidation_price, left.stop_loss, left.take_profit) == (dec(50), dec(60), dec(200))
        # 10000 − 1000 − 2 + 250 + 100 − 0.6
        assert cell.row().cash == dec("9347.4")
        assert cell.row().is_conserved
        # the rest: 15 × 20, 15 × 120 × 0.001
        rest = cell.closed(close_command(opened.position_id))
        assert (rest.quantity, rest.margin, rest.realized_pnl) == (dec(15), dec(750), dec(300))
        assert (rest.fee, rest.entry_fee, rest.remaining) == (dec("1.8"), dec("1.5"), None)
        assert cell.row().cash == dec(10_000) + 400 - 2 - dec("2.4")

    def test_a_percentage_of_a_short_is_rounded_down(self) -> None:
        """1000 × 4 / 150 = 26.66666666; 33.3 % of it is 8.87999999(778); margin 1000 × 8.87999999 / 26.66666666."""
        cell = StoredCell(flat(150))
        opened = cell.opened(open_command("short", 1000, 4))
        cell.events(frame(flat(140, 2)))
        closed = cell.closed(close_command(opened.position_id, percentage="33.3"))
        assert closed.quantity == dec("8.87999999")
        assert closed.margin == dec("332.99999971")  # …970825…
        assert closed.realized_pnl == dec("88.7999999")
        assert closed.remaining is not None
        assert closed.remaining.quantity == dec("17.78666667")
        assert closed.remaining.margin == dec("667.00000029")

    @pytest.mark.parametrize("part", [{"percentage": "100"}, {"quantity": "20"}, {}])
    def test_all_of_it_leaves_nothing(self, part: dict[str, Any]) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 2))
        closed = cell.closed(close_command(opened.position_id, **part))
        assert (closed.quantity, closed.remaining) == (dec(20), None)
        assert not cell.row().positions
        assert len(cell.cell.triggers) == 0

    @pytest.mark.parametrize(
        ("quantity", "margin_min", "is_left"),
        [
            ("19.98", "1", "1"),  # 0.02 of 20 are 1 of 1000 USD: the least there may be
            ("19.98000001", "1", None),  # 0.9999995 would be left
            ("19.9", "5.00000001", None),
            ("19.9", "5", "5"),
        ],
    )
    def test_a_remainder_below_the_smallest_margin_is_closed_too(
        self, quantity: str, margin_min: str, is_left: str | None
    ) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 2))
        closed = cell.closed(close_command(opened.position_id, quantity=quantity, margin_min=margin_min))
        if is_left is None:
            assert (closed.quantity, closed.margin, closed.remaining) == (dec(20), dec(1000), None)
        else:
            assert closed.remaining is not None
            assert closed.remaining.margin == dec(is_left)

    def test_the_loss_of_a_part_is_capped_at_its_margin_and_the_fee_at_what_is_left(self) -> None:
        """At 50.2, −49.8 × 10 = −498 of the half's 500; the fee of 10 × 50.2 × 0.005 = 2.51 is capped at 2."""
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 2, on=terms(fee_rate="0.005")))
        cell.events(frame(flat("50.2", 2)))
        closed = cell.closed(close_command(opened.position_id, percentage="50"))
        assert (closed.realized_pnl, closed.fee) == (dec(-498), dec(2))
        # 10000 − 1000 − 10: nothing of the half comes back
        assert cell.row().cash == dec(8990)

    def test_what_is_left_is_liquidated_where_the_whole_was(self) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command("long", 1000, 10, on=terms(maintenance="0.005")))
        cell.closed(close_command(opened.position_id, percentage="75"))
        cell.restart()
        assert cell.events(frame(flat("90.51", 2))) == []
        # 100 × (1 − 0.1 + 0.005); −9.5 × 25 of 250
        closed = only(cell.events(frame(flat("90.5", 3))))
        assert (closed.reason, closed.quantity, closed.realized_pnl) == ("liquidation", dec(25), dec("-237.5"))
        assert cell.row().cash == dec("9762.5")

    def test_many_small_parts_add_up_to_the_whole(self) -> None:
        """Thirds of thirds: whatever is rounded, margin, fee and quantity come back to the last unit."""
        cell = StoredCell(flat("99.97"))
        opened = cell.opened(open_command("long", "777.77777777", 3, on=FEE))
        parts = []
        while opened.position_id in cell.row().positions:
            parts.append(cell.closed(close_command(opened.position_id, percentage="33.333")))
            assert cell.row().is_conserved
        assert len(parts) > 10
        assert sum(part.quantity for part in parts) == opened.quantity
        assert sum(part.margin for part in parts) == opened.margin
        assert sum(part.entry_fee for part in parts) == opened.fee
        assert cell.row().cash == 10_000 - opened.fee - sum(part.fee for part in parts)
