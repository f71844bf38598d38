"""What commands are refused for, and in which words."""

from __future__ import annotations

import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    dec,
    flat,
    modify_command,
    open_command,
    optional,
    place_command,
    quote,
    terms,
)

from exness_streams.domain.account import Side
from exness_streams.domain.checks import (
    check_terms,
    market_price,
    refuse_entry,
    refuse_small,
    refuse_stale,
    refuse_triggers,
)
from exness_streams.domain.events import PositionModified
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.domain.transition import JournalPlace

AT = JournalPlace(0, 0, 0, NOW_MS)
BETWEEN_LONG = "stopLoss must be between 90 and 100"
BETWEEN_SHORT = "stopLoss must be between 100 and 110"


@pytest.mark.parametrize(
    ("side", "stop", "take", "words", "details"),
    [
        ("long", "90.01", "100.01", None, {}),
        ("long", "99.99", None, None, {}),
        ("long", "90", None, BETWEEN_LONG, {"field": "stopLoss", "above": "90", "below": "100"}),
        ("long", "100", None, BETWEEN_LONG, {"field": "stopLoss", "above": "90", "below": "100"}),
        ("long", "89", "99", BETWEEN_LONG, {"field": "stopLoss", "above": "90", "below": "100"}),
        ("long", None, "100", "takeProfit must be above 100", {"field": "takeProfit", "above": "100"}),
        ("long", "95", "99", "takeProfit must be above 100", {"field": "takeProfit", "above": "100"}),
        ("short", "109.99", "99.99", None, {}),
        ("short", "100.01", None, None, {}),
        ("short", "110", None, BETWEEN_SHORT, {"field": "stopLoss", "above": "100", "below": "110"}),
        ("short", "100", None, BETWEEN_SHORT, {"field": "stopLoss", "above": "100", "below": "110"}),
        ("short", None, "100", "takeProfit must be below 100", {"field": "takeProfit", "below": "100"}),
        ("short", "105", "101", "takeProfit must be below 100", {"field": "takeProfit", "below": "100"}),
        ("long", None, None, None, {}),
        ("short", None, None, None, {}),
    ],
)
def test_triggers_stand_between_liquidation_and_market_and_beyond_it(
    side: Side, stop: str | None, take: str | None, words: str | None, details: dict[str, object]
) -> None:
    liquidation = dec(90 if side == "long" else 110)
    refused = refuse_triggers(side, optional(stop), optional(take), liquidation=liquidation, market=dec(100))
    assert refused == (None if words is None else Rejection(RejectionCode.INVALID_TRIGGER, details=details))
    assert refused is None or refused.words == words


@pytest.mark.parametrize(
    ("side", "kind", "price", "allowed"),
    [
        ("long", "limit", "99.99", None),
        ("long", "limit", "100", "below"),
        ("long", "stop", "100.01", None),
        ("long", "stop", "100", "above"),
        ("short", "limit", "100.01", None),
        ("short", "limit", "100", "above"),
        ("short", "stop", "99.99", None),
        ("short", "stop", "100", "below"),
    ],
)
def test_a_pending_order_waits_on_its_side_of_the_market(
    side: Side, kind: str, price: str, allowed: str | None
) -> None:
    refused = refuse_entry(side, kind, dec(price), dec(100))
    if allowed is None:
        assert refused is None
        return
    words = (
        f"price must be {allowed} 100 for a {'buy' if side == 'long' else 'sell'} {kind}: the market is there already"
    )
    assert refused is not None
    assert refused.words == words
    order = f"{'buy' if side == 'long' else 'sell'} {kind}"
    assert refused.details == {"field": "price", "order": order, allowed: "100"}


def test_a_buy_pays_the_ask_a_sell_gets_the_bid_and_an_empty_side_has_no_price() -> None:
    command = open_command()
    assert market_price(command, SOL, quote(99, 101), AT, buys=True, opens=True) == 101
    assert market_price(command, SOL, quote(99, 101), AT, buys=False, opens=True) == 99
    for last, buys, words in (
        (quote(99, None), True, "has no ask"),
        (quote(None, 101), False, "has no bid"),
        (None, True, ""),
    ):
        refused = market_price(command, SOL, last, AT, buys=buys, opens=True)
        assert isinstance(refused, Rejection)
        assert (refused.code, words in refused.words) == (RejectionCode.PRICE_UNAVAILABLE, True)
    assert market_price(open_command(time_ms=NOW_MS + 5_000), SOL, quote(99, 101), AT, buys=True, opens=True) == 101
    late = market_price(open_command(time_ms=NOW_MS + 5_001), SOL, quote(99, 101), AT, buys=True, opens=True)
    assert isinstance(late, Rejection)
    assert "5001 ms old, at most 5000 ms" in late.words


def test_a_margin_that_buys_nothing_is_too_small() -> None:
    assert refuse_small(dec("0.00000001"), dec(100), None) is None
    refused = refuse_small(dec(0), dec(100), None)
    assert refused is not None
    assert (refused.code, refused.details) == (RejectionCode.INVALID_MARGIN, {"field": "margin", "price": "100"})


@pytest.mark.parametrize(
    ("side", "bid", "ask", "is_refused"),
    [
        # At 10× a long of 100 is liquidated at 90, a short of 100 at 110.
        ("long", "90.01", "100", False),
        ("long", "90", "100", True),
        ("long", "89", "100", True),
        ("short", "100", "109.99", False),
        ("short", "100", "110", True),
        ("short", "100", "111", True),
    ],
)
def test_a_spread_that_would_liquidate_at_once_is_refused(side: Side, bid: str, ask: str, is_refused: bool) -> None:
    cell = StoredCell(quote(bid, ask))
    if not is_refused:
        cell.opened(open_command(side, 1000, 10))
        return
    refused = cell.rejected(open_command(side, 1000, 10))
    assert (refused.code, refused.details) == (RejectionCode.INVALID_LEVERAGE, {"field": "leverage"})
    assert "the spread alone" in refused.words


def test_without_leverage_a_long_is_not_liquidated_by_any_spread() -> None:
    StoredCell(quote("0.00000001", "100")).opened(open_command("long", 1000, 1, on=terms()))


@pytest.mark.parametrize(("changes", "field"), [({"stop": "90"}, "stopLoss"), ({"take": "100"}, "takeProfit")])
def test_each_trigger_is_checked_when_it_is_set_alone(changes: dict[str, str], field: str) -> None:
    cell = StoredCell(flat(100))
    opened = cell.opened(open_command("long", 1000, 10))
    refused = cell.rejected(modify_command(opened.position_id, **changes))
    assert (refused.code, refused.details["field"]) == (RejectionCode.INVALID_TRIGGER, field)


def test_every_change_counts_one() -> None:
    """So that who listens sees what was missed."""
    cell = StoredCell(flat(100))
    opened = cell.opened(open_command("long", 1000, 10))
    for number in range(2, 7):
        changed = cell.outcome(modify_command(opened.position_id, stop=str(91 + number)))
        assert isinstance(changed, PositionModified)
        assert changed.sequence == cell.row().sequence == number


@pytest.mark.parametrize(("side", "price"), [("long", "99"), ("short", "101")])
def test_triggers_are_changed_against_the_price_that_closes(side: Side, price: str) -> None:
    """A long is closed at the bid, a short at the ask."""
    cell = StoredCell(quote(99, 101))
    opened = cell.opened(open_command(side, 1000, 2))
    refused = cell.rejected(modify_command(opened.position_id, take=price))
    assert refused.words == f"takeProfit must be {'above' if side == 'long' else 'below'} {price}"
    beyond = "99.01" if side == "long" else "100.99"
    assert isinstance(cell.outcome(modify_command(opened.position_id, take=beyond)), PositionModified)


@pytest.mark.parametrize(
    ("quote_ms", "words"),
    [
        (NOW_MS - 5_001, "the last quote is 5001 ms old, at most 5000 ms is allowed"),
        (NOW_MS + 2_001, "the last quote is 2001 ms ahead of the clock"),
    ],
)
def test_a_price_that_is_too_old_or_of_the_future_says_by_how_much(quote_ms: int, words: str) -> None:
    refused = refuse_stale(Quote(1, quote_ms, dec(150)), SOL, NOW_MS, 5_000)
    assert isinstance(refused, Rejection)
    assert words in refused.words


@pytest.mark.parametrize("late_ms", [0, 1, 10_000])
def test_an_order_that_is_over_already_says_what_would_be_taken(late_ms: int) -> None:
    refused = check_terms(place_command(expires_ms=NOW_MS - late_ms))
    assert isinstance(refused, Rejection)
    assert (refused.details["field"], refused.details["min"]) == ("expiresAt", str(NOW_MS + 1))
    assert check_terms(place_command(expires_ms=NOW_MS + 1)) is None
