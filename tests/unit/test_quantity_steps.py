"""Quantities are multiples of the instrument's step, rounded down; nothing is enforced where none is known."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_samples import (
    StoredCell,
    close_command,
    dec,
    flat,
    frame,
    modify_command,
    open_command,
    place_command,
    terms,
)

from exness_streams.api.presenter import order_event_message, standing_message
from exness_streams.domain import codec, rules
from exness_streams.domain.events import OrderCancelled, OrderFilled, OrderPlaced, PositionOpened
from exness_streams.domain.instruments import Terms
from exness_streams.domain.money import can_be_step, to_money, to_quantity
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import json_encoder


def of_step(step: str | None) -> Terms:
    return msgspec.structs.replace(terms(fee_rate="0.001"), step_size=None if step is None else Decimal(step))


a_cell = partial(StoredCell, by_rules=rules.NEWEST)


@given(
    st.decimals(0, 10**15, allow_nan=False, places=20),
    st.one_of(
        st.decimals(Decimal("1E-8"), 10**6, places=8),
        st.integers(-8, 6).map(lambda exponent: Decimal(1).scaleb(exponent)),
    ),
)
def test_a_quantity_is_the_largest_multiple_of_the_step_that_is_not_above(amount: Decimal, step: Decimal) -> None:
    assert can_be_step(step)
    quantity = Fraction(to_quantity(amount, step))
    assert quantity % Fraction(step) == 0
    assert 0 <= Fraction(amount) - quantity < Fraction(step)
    assert quantity * 10**8 % 1 == 0


@pytest.mark.parametrize("size", ["0", "-0.01", "0.000000001", "0.015000001", "NaN", "Infinity", "-Infinity"])
def test_what_no_quantity_can_be_a_multiple_of_is_no_step(size: str) -> None:
    """A quantity has 8 places."""
    assert not can_be_step(Decimal(size))
    cell = a_cell(flat(150))
    opened = cell.opened(open_command(on=of_step(size)))
    assert (opened.quantity, opened.quantity_step) == (dec("13.33333333"), msgspec.UNSET)


class TestOpening:
    @pytest.mark.parametrize(
        ("step", "quantity"),
        [
            (None, "13.33333333"), ("0.00000001", "13.33333333"), ("0.01", "13.33"), ("0.010", "13.33"), ("1", "13"),
            ("0.3", "13.2"), ("5", "10"), ("1E+1", "10"), ("13.33333333", "13.33333333"),
        ],
    )  # fmt: skip
    def test_it_buys_a_multiple_of_the_step(self, step: str | None, quantity: str) -> None:
        """1000 × 2 at 150. The margin is what was asked for; the fee is that of the quantity."""
        cell = a_cell(flat(150))
        opened = cell.opened(open_command(on=of_step(step)))
        assert (opened.quantity, opened.margin) == (dec(quantity), dec(1000))
        assert opened.fee == to_money(dec(quantity) * 150 * dec("0.001"))
        assert opened.liquidation_price == dec(75)
        assert cell.row().is_conserved
        assert cell.row().positions == {opened.position_id: opened.position}

    def test_a_margin_that_buys_less_than_a_step_is_refused(self) -> None:
        cell = a_cell(flat(150))
        refused = cell.rejected(open_command(margin="1.4", leverage=1, on=of_step("0.01")))
        assert refused == Rejection(
            RejectionCode.INVALID_MARGIN, details={"field": "margin", "price": "150", "step": "0.01"}
        )
        assert refused.words == "margin × leverage is too small to buy 0.01, one step of the quantity, at 150"
        assert cell.opened(open_command(margin="1.5", leverage=1, on=of_step("0.01"))).quantity == dec("0.01")

    @pytest.mark.parametrize("by_rules", range(rules.FIRST, rules.QUANTITY_STEPS))
    def test_rules_of_before_know_no_step(self, by_rules: int) -> None:
        """Their records carry one, too; what they decided is decided."""
        cell = a_cell(flat(150), by_rules=by_rules)
        on = of_step("1")
        opened = cell.opened(open_command(on=on))
        placed = cell.placed(place_command(price=90, on=on))
        assert (opened.quantity, placed.quantity) == (dec("13.33333333"), dec("22.22222222"))
        for told in (opened, placed):
            assert b"quantityStep" not in msgspec.json.encode(told)
        row = codec.encode(cell.row())
        assert b"quantity_step" not in row
        closed = cell.closed(close_command(opened.position_id, quantity="0.5"))
        assert closed.quantity == dec("0.5")

    def test_a_position_of_before_has_no_step_later(self) -> None:
        cell = a_cell(flat(150), by_rules=rules.QUANTITY_STEPS - 1)
        opened = cell.opened(open_command(on=of_step("1")))
        cell.raise_rules()
        closed = cell.closed(close_command(opened.position_id, percentage="33.3"))
        assert closed.quantity == dec("4.43999999")


class TestPendingOrders:
    def test_the_fill_decides_how_much_it_buys(self) -> None:
        """1000 × 2 at 90 are 22.22; at 80 they are 25, at 89.5 they are 22.346."""
        on = of_step("0.01")
        for price, quantity in (("80", "25"), ("89.5", "22.34")):
            cell = a_cell(flat(100))
            placed = cell.placed(place_command("long", "limit", 90, 1000, 2, on=on))
            assert (placed.quantity, placed.quantity_step) == (dec("22.22"), dec("0.01"))
            filled, opened = cell.events(frame(flat(price, 2)))
            assert isinstance(filled, OrderFilled)
            assert isinstance(opened, PositionOpened)
            assert (opened.quantity, opened.quantity_step) == (dec(quantity), dec("0.01"))
            assert order_event_message(filled).quantity == dec(quantity)

    def test_one_that_is_filled_at_once_buys_a_multiple_too(self) -> None:
        cell = a_cell(flat(100))
        placed, filled, opened = cell.events(place_command("long", "limit", 130, 1000, 2, on=of_step("3")))
        assert isinstance(placed, OrderPlaced)
        assert isinstance(opened, PositionOpened)
        assert (placed.quantity, opened.quantity) == (dec(15), dec(18))
        assert isinstance(filled, OrderFilled)
        assert order_event_message(filled).quantity == dec(18)

    def test_one_that_buys_less_than_a_step_is_refused_at_its_own_price(self) -> None:
        cell = a_cell(flat(100))
        refused = cell.rejected(place_command("long", "stop", 1001, 1000, 1, on=of_step("1")))
        assert (refused.code, refused.details["step"]) == (RejectionCode.INVALID_MARGIN, "1")

    def test_one_that_buys_less_than_a_step_where_it_is_reached_is_cancelled(self) -> None:
        """A stop order that the market jumps over."""
        cell = a_cell(flat(100))
        placed = cell.placed(place_command("long", "stop", 900, 1000, 1, on=of_step("1")))
        (cancelled,) = cell.events(frame(flat(1001, 2)))
        assert isinstance(cancelled, OrderCancelled)
        assert (cancelled.order_id, cancelled.reason, cell.row().cash) == (placed.order_id, "unfillable", dec(10_000))


class TestClosing:
    @pytest.mark.parametrize(
        ("part", "closed", "left"),
        [
            ({"quantity": "1.339"}, "1.33", "12"),
            ({"quantity": "13.329"}, "13.32", "0.01"),
            ({"quantity": "0.01"}, "0.01", "13.32"),
            ({"quantity": "13.33"}, "13.33", None),
            ({"percentage": "50"}, "6.66", "6.67"),
            ({"percentage": "0.1"}, "0.01", "13.32"),
            ({"percentage": "100"}, "13.33", None),
            ({}, "13.33", None),
        ],
    )
    def test_a_part_is_a_multiple_of_the_step(self, part: dict[str, str], closed: str, left: str | None) -> None:
        """Of 13.33; what is left is one, too."""
        cell = a_cell(flat(150))
        opened = cell.opened(open_command(on=of_step("0.01")))
        told = cell.closed(close_command(opened.position_id, margin_min="0", **part))  # type: ignore[arg-type]
        assert told.quantity == dec(closed)
        assert (None if told.remaining is None else told.remaining.quantity) == (None if left is None else dec(left))
        assert cell.row().is_conserved

    @pytest.mark.parametrize(
        ("part", "field"),
        [
            ({"quantity": "0.0099"}, "quantity"), ({"percentage": "0.07"}, "percentage"),
            ({"quantity": "13.3300001"}, "quantity"), ({"quantity": "14"}, "quantity"),
        ],
    )  # fmt: skip
    def test_less_than_a_step_is_refused_and_more_than_all(self, part: dict[str, str], field: str) -> None:
        cell = a_cell(flat(150))
        opened = cell.opened(open_command(on=of_step("0.01")))
        refused = cell.rejected(close_command(opened.position_id, **part))  # type: ignore[arg-type]
        assert refused == Rejection(
            RejectionCode.INVALID_REQUEST, details={"field": field, "max": "13.33", "min": "0.01"}
        )
        assert refused.words == (
            f"{field} must come to at least 0.01, one step, and at most 13.33, the position's quantity"
        )

    def test_what_is_left_keeps_its_step_over_changes_and_a_restart(self) -> None:
        cell = a_cell(flat(150))
        opened = cell.opened(open_command(on=of_step("0.01")))
        cell.closed(close_command(opened.position_id, percentage="50"))
        cell.fold(modify_command(opened.position_id, stop="140"))
        cell.restart()
        assert cell.row().positions[opened.position_id].quantity_step == dec("0.01")
        assert cell.closed(close_command(opened.position_id, percentage="50")).quantity == dec("3.33")


def test_events_tell_the_step_and_answers_do_not() -> None:
    """What was told once is told again to the letter: an answer gets no new fields. `/markets` has the step."""
    cell = a_cell(flat(150))
    opened = cell.opened(open_command(on=of_step("0.01")))
    placed = cell.placed(place_command(price=90, on=of_step("0.01")))
    for told in (opened, placed):
        assert b'"quantityStep":0.01' in json_encoder.encode(told)
    for answer in (standing_message(opened), order_event_message(placed)):
        assert not [name for name in type(answer).__struct_fields__ if "step" in name]
