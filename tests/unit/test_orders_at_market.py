"""Orders and the market by the third rules: a limit order at the market is filled, and none to be closed at once."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any

import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    batch,
    cancel_command,
    dec,
    flat,
    frame,
    open_command,
    place_command,
    quote,
    terms,
)

from exness_streams.domain import rules
from exness_streams.domain.commands import OrderKind
from exness_streams.domain.events import (
    Event,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
)
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.quotes import Quote, Side
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder
from exness_streams.domain.rejections import Rejection, RejectionCode

FEE = terms(fee_rate="0.001")


a_cell = partial(StoredCell, by_rules=rules.ORDERS_AT_MARKET)


def kinds(events: list[Event]) -> list[str]:
    return [getattr(event, "reason", type(event).__name__) for event in events]


def raw(*quotes: Quote) -> RawFrame:
    builder = RawFrameBuilder(0, epoch=1)
    for offset, each in enumerate(quotes):
        builder.add(SOL, each, offset=offset, received_ms=NOW_MS)
    made = builder.cut(NOW_MS)
    assert made is not None
    return made


class TestAtTheMarket:
    @pytest.mark.parametrize(
        ("side", "price", "fill"),
        [("long", "101", "101"), ("long", "102", "101"), ("short", "99", "99"), ("short", "1", "99")],
    )
    def test_a_limit_order_is_filled_there_at_once(self, side: Side, price: str, fill: str) -> None:
        cell = a_cell(quote("99", "101"))
        folded = cell.fold(place_command(side, "limit", price, 1000, 2, on=FEE))
        placed, filled, opened = folded.events
        assert isinstance(placed, OrderPlaced)
        assert isinstance(filled, OrderFilled)
        assert isinstance(opened, PositionOpened)
        assert folded.reply is not None
        assert folded.reply.outcome == filled
        assert (filled.fill_price, opened.entry_price, placed.price) == (dec(fill), dec(fill), dec(price))
        assert (filled.order_id, opened.order_id, opened.position_id) == ("ord_0_1", "ord_0_1", "pos_0_1")
        assert (filled.position_id, opened.margin) == ("pos_0_1", dec(1000))
        assert opened.quantity == (2000 / dec(fill)).quantize(Decimal("0.00000001"), "ROUND_DOWN")
        assert [event.event_id for event in folded.events] == ["0-1-0", "0-1-1", "0-1-2"]
        assert [event.sequence for event in folded.events] == [1, 2, 3]
        assert {event.timestamp for event in folded.events} == {NOW_MS}
        row = cell.row()
        assert (row.orders, list(row.positions), row.cash, row.is_conserved) == (
            {}, ["pos_0_1"], 9000 - opened.fee, True,
        )  # fmt: skip
        assert len(cell.cell.triggers) == 1  # its liquidation
        assert cell.rejected(cancel_command("ord_0_1")).code is RejectionCode.ORDER_NOT_FOUND

    @pytest.mark.parametrize("by_rules", [1, 2])
    def test_by_the_rules_before_it_is_refused(self, by_rules: int) -> None:
        cell = a_cell(quote("99", "101"), by_rules=by_rules)
        assert cell.rejected(place_command("long", "limit", 101)).details["field"] == "price"

    @pytest.mark.parametrize(
        ("side", "kind", "price"),
        [
            ("long", "limit", "100.99"),
            ("short", "limit", "99.01"),
            ("long", "stop", "101.01"),
            ("short", "stop", "98.99"),
        ],
    )
    def test_what_the_market_has_not_reached_waits(self, side: Side, kind: OrderKind, price: str) -> None:
        cell = a_cell(quote("99", "101"))
        cell.placed(place_command(side, kind, price))
        assert len(cell.row().orders) == 1

    @pytest.mark.parametrize(("side", "price"), [("long", "101"), ("long", "100"), ("short", "99"), ("short", "100")])
    def test_a_stop_order_that_the_market_has_reached_is_refused(self, side: Side, price: str) -> None:
        cell = a_cell(quote("99", "101"))
        refused = cell.rejected(place_command(side, "stop", price))
        assert (refused.code, refused.details["field"]) == (RejectionCode.INVALID_TRIGGER, "price")
        assert "the market is there already" in refused.words

    @pytest.mark.parametrize("side", ["long", "short"])
    @pytest.mark.parametrize("bid", ["99", "95", None])
    @pytest.mark.parametrize("leverage", [1, 10, 20, 50, 100])
    def test_it_is_a_market_order(self, side: Side, bid: str | None, leverage: int) -> None:
        """With the same terms it is the same position, or refused for the same reason."""
        prices = (None, "50", "90.5", "95.5", "99.5", "101.5", "104.5", "109.5", "150")
        told = 0
        for stop, take, margin in product(prices, prices, ("1000", "10000", "0.5")):
            cell, other = (a_cell(quote(bid, "101", price="100")), a_cell(quote(bid, "101", price="100")))
            fields: dict[str, Any] = {"stop": stop, "take": take, "on": terms(fee_rate="0.001", maintenance="0.004")}
            market = open_command(side, margin, leverage, **fields)
            price = "200" if side == "long" else "1"
            limit = place_command(side, "limit", price, margin, leverage, **fields)
            ours, theirs = cell.outcome(limit), other.outcome(market)
            if isinstance(theirs, Rejection):
                assert ours == theirs
            else:
                told += 1
                assert list(cell.row().positions.values()) == list(other.row().positions.values())
                assert (cell.row().cash, cell.row().fees) == (other.row().cash, other.row().fees)
        assert told or bid is None or leverage > 10

    def test_its_expiry_lies_in_the_future_and_does_nothing_more(self) -> None:
        cell = a_cell(flat(100))
        refused = cell.rejected(place_command("long", "limit", 100, expires_ms=NOW_MS))
        assert refused.details["field"] == "expiresAt"
        assert len(cell.events(place_command("long", "limit", 100, expires_ms=NOW_MS + 10))) == 3
        assert cell.events(PriceFrame(NOW_MS + 20, ())) == []
        assert len(cell.cell.expiries) == 0

    def test_a_repeat_of_its_key_is_told_the_same(self) -> None:
        cell = a_cell(flat(100))
        command = place_command("long", "limit", 105, key="k")
        first = cell.outcome(command)
        cell.restart()
        again = cell.fold(command)
        assert again.reply is not None
        assert again.reply.repeated
        assert isinstance(again.reply.outcome, OrderFilled)
        assert (again.reply.outcome.event_id, again.events) == (getattr(first, "event_id", ""), [])

    def test_a_market_that_only_closes_opens_nothing(self) -> None:
        assert a_cell(quote("99", None)).rejected(place_command("long", "limit", 200)).details["reason"] == "no_ask"


GAPS: list[tuple[Side, OrderKind, str, str | None, str | None, int, tuple[str, str], str | None]] = [
    # side, kind, price, stop loss, take profit, leverage; the market that reaches it; why it is not filled
    ("long", "stop", "105", None, "106", 2, ("109", "110"), "exit_passed"),
    ("long", "stop", "105", None, "110", 2, ("109", "110"), "exit_passed"),  # there is no profit to take
    ("long", "stop", "105", None, "111", 2, ("109", "110"), None),
    ("short", "stop", "95", None, "94", 2, ("90", "91"), "exit_passed"),
    ("short", "stop", "95", None, "89", 2, ("90", "91"), None),
    ("long", "limit", "90", "85", None, 2, ("84", "84.5"), "exit_passed"),
    ("long", "limit", "90", "85", None, 2, ("85", "85"), "exit_passed"),
    ("long", "limit", "90", "85", None, 2, ("85.1", "85.2"), None),
    ("long", "limit", "90", "85", None, 2, ("84", "90"), "exit_passed"),  # by the spread
    ("short", "limit", "110", "115", None, 2, ("115.5", "116"), "exit_passed"),
    ("short", "limit", "110", "115", None, 2, ("110", "116"), "exit_passed"),
    ("short", "limit", "110", "115", None, 2, ("111", "112"), None),
    ("long", "limit", "90", None, None, 10, ("81", "90"), "liquidation"),  # 90 × 0.9
    ("long", "limit", "90", None, None, 10, ("81.1", "90"), None),
    ("long", "limit", "90", "82", None, 10, ("80", "90"), "liquidation"),  # both are passed
    ("short", "stop", "90", None, None, 10, ("90", "99"), "liquidation"),
    ("short", "stop", "90", None, None, 10, ("90", "98.9"), None),
]


class TestClosedAtOnce:
    """An order that would be closed where it is opened is cancelled: no fee, no position."""

    @pytest.mark.parametrize(("side", "kind", "price", "stop", "take", "leverage", "market", "reason"), GAPS)
    @pytest.mark.parametrize("how", ["alone", "last", "raw"])
    def test_what_the_gap_has_passed(
        self, side: Side, kind: OrderKind, price: str, stop: str | None, take: str | None, leverage: int,
        market: tuple[str, str], reason: str | None, how: str,
    ) -> None:  # fmt: skip
        cell = a_cell(flat(100))
        cell.placed(place_command(side, kind, price, 1000, leverage, on=FEE, stop=stop, take=take))
        calm, gap = flat(100, 2), quote(*market, sequence=3, price=market[0])
        record = {"alone": frame(gap), "last": batch(calm, gap), "raw": raw(calm, gap)}[how]
        events = cell.fold(record).events
        assert kinds(events) == (["OrderFilled", "PositionOpened"] if reason is None else [reason])
        row = cell.row()
        assert (row.orders, len(row.positions), row.is_conserved) == ({}, reason is None, True)
        if reason is not None:
            assert isinstance(events[0], OrderCancelled)
            assert (row.cash, row.fees, len(cell.cell.triggers)) == (10_000, 0, 0)

    @pytest.mark.parametrize("by_rules", [1, 2])
    def test_by_the_rules_before_it_was_opened_and_closed_with_two_fees(self, by_rules: int) -> None:
        cell = a_cell(flat(100), by_rules=by_rules)
        cell.placed(place_command("long", "stop", 105, on=FEE, take="106"))
        assert kinds(cell.events(frame(flat(110, 2)))) == ["OrderFilled", "PositionOpened", "take_profit"]
        assert cell.row().fees > 3

    @pytest.mark.parametrize(("stop", "take", "gap"), [(None, "106", ("109", "110")), ("85", None, ("109", "110"))])
    def test_a_passed_exit_is_no_less_passed_when_the_market_comes_back(
        self, stop: str | None, take: str | None, gap: tuple[str, str]
    ) -> None:
        """The tick that reaches it is in the middle of its frame: its price alone says that the profit is passed."""
        cell = a_cell(flat(100))
        cell.placed(place_command("long", "stop", 105, on=FEE, stop=stop, take=take))
        events = cell.events(batch(quote(*gap, sequence=2), flat(104, 3)))
        assert kinds(events) == (["OrderFilled", "PositionOpened"] if take is None else ["exit_passed"])

    @pytest.mark.parametrize(
        ("last", "expected"),
        [
            (("80", "90"), ["liquidation"]),  # nothing lies between but the spread: cancelled
            (("80", "95"), ["liquidation"]),
            (("80", "89"), ["OrderFilled", "PositionOpened", "liquidation"]),  # the market has fallen since
            (("82", "89"), ["OrderFilled", "PositionOpened"]),
            (("82", "90"), ["OrderFilled", "PositionOpened"]),
        ],
    )
    def test_within_a_frame_the_spread_alone_liquidates_nothing(
        self, last: tuple[str, str], expected: list[str]
    ) -> None:
        cell = a_cell(flat(100))
        cell.placed(place_command("long", "limit", 90, 1000, 10))
        events = cell.events(batch(quote("80", "90", 2), quote(*last, sequence=3)))
        assert kinds(events) == expected
        assert len([event for event in events if isinstance(event, OrderCancelled)]) == (len(expected) == 1)

    def test_a_profit_that_came_after_the_fill_is_paid(self) -> None:
        cell = a_cell(flat(100))
        cell.placed(place_command("long", "limit", 90, take="95"))
        *_, closed = cell.events(batch(flat(90, 2), flat(96, 3)))
        assert isinstance(closed, PositionClosed)
        assert (closed.reason, closed.close_price, closed.entry_price) == ("take_profit", dec(96), dec(90))

    def test_without_a_price_to_close_at_nothing_is_known_of_the_spread(self) -> None:
        cell = a_cell(flat(100))
        cell.placed(place_command("long", "limit", 90, 1000, 10, stop="85"))
        assert kinds(cell.events(frame(quote(None, "90", 2, price="10")))) == ["OrderFilled", "PositionOpened"]


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("kind", ["limit", "stop"])
@pytest.mark.parametrize("price", ["30", "98", "102", "700"])
@pytest.mark.parametrize(("leverage", "is_refused"), [(33, False), (34, True), (100, True)])
def test_a_leverage_that_the_spread_forbids_now_is_refused_to_a_pending_order_too(
    side: Side, kind: OrderKind, price: str, leverage: int, is_refused: bool
) -> None:
    """98.5 / 101.5: 2.956 % of the ask, 3.046 % of the bid; at leverage 33 the margin is 3.03 %, at 34 2.94 %."""
    market = quote("98.5", "101.5") if side == "long" else quote("98.55", "101.5")
    outcome = a_cell(market).outcome(place_command(side, kind, price, 10, leverage))
    refused = outcome.code if isinstance(outcome, Rejection) else None
    if is_refused:
        assert refused is RejectionCode.INVALID_LEVERAGE
    else:
        assert refused in (None, RejectionCode.INVALID_TRIGGER)
    before = a_cell(market, by_rules=2).outcome(place_command(side, kind, price, 10, leverage))
    assert getattr(before, "code", None) in (None, RejectionCode.INVALID_TRIGGER)


def test_an_order_expires_by_the_receipt_of_ticks_and_not_by_the_cut_of_their_frame() -> None:
    """Reached 5 s after it was placed, with an expiry after 10 s, in a frame that was cut after 11 s."""
    for reached_ms, expected in ((5_000, ["OrderFilled", "PositionOpened"]), (10_000, [OrderExpired.__name__])):
        cell = a_cell(flat(100))
        cell.placed(place_command("long", "limit", 95, expires_ms=NOW_MS + 10_000))
        builder = RawFrameBuilder(0, epoch=1)
        builder.add(SOL, flat(94, 2), offset=0, received_ms=NOW_MS + reached_ms)
        made = builder.cut(NOW_MS + 11_000)
        assert made is not None
        events = cell.fold(made).events
        assert [type(event).__name__ for event in events] == expected
        assert events[0].timestamp == NOW_MS + reached_ms
