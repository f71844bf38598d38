from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.market_data.backpack import Ignored, parse
from exness_streams.simulator.book import Book
from exness_streams.simulator.faults import GARBAGE, Faults, MarketState, ScheduledFault, parse_faults


@pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_garbage(frame: str | bytes) -> None:
    assert isinstance(parse(frame), Ignored)


def test_a_schedule_is_read_from_text() -> None:
    text = "drop@10, silent@20+8 jump:SOL_USDC:0.8@30,delay:1.5@40+5,null:AAPL.US_USDC_PERP:ask@50,refuse@0.5+1"
    assert parse_faults(text) == (
        ScheduledFault("drop", 10),
        ScheduledFault("silent", 20, 8),
        ScheduledFault("jump", 30, symbol="SOL_USDC", factor=Decimal("0.8")),
        ScheduledFault("delay", 40, 5, seconds=1.5),
        ScheduledFault("null", 50, symbol="AAPL.US_USDC_PERP", side="ask"),
        ScheduledFault("refuse", 0.5, 1),
    )
    assert parse_faults("") == ()
    text = "rate_limit:30@1 slow_rest:2@1 skew:-7.5@1 ahead:SOL_USDC:60@1+2 text_times@1 crossed:SOL_USDC@1+1"
    text += " no_last:SOL_USDC@1 state:SOL_USDC:CancelOnly@1+9 spike:SOL_USDC:100@3"
    assert parse_faults(text) == (
        ScheduledFault("rate_limit", 1, seconds=30),
        ScheduledFault("slow_rest", 1, seconds=2),
        ScheduledFault("skew", 1, seconds=-7.5),
        ScheduledFault("ahead", 1, 2, symbol="SOL_USDC", seconds=60),
        ScheduledFault("text_times", 1),
        ScheduledFault("crossed", 1, 1, symbol="SOL_USDC"),
        ScheduledFault("no_last", 1, symbol="SOL_USDC"),
        ScheduledFault("state", 1, 9, symbol="SOL_USDC", state=MarketState.CANCEL_ONLY),
        ScheduledFault("spike", 3, symbol="SOL_USDC", factor=Decimal(100)),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode@1", r"unknown fault 'explode@1'; allowed are drop@AT, garbage@AT"),
        ("drop", r"fault 'drop' should read drop@AT"),
        ("drop@soon", r"should read drop@AT"),
        ("drop@-1", r"should read drop@AT"),
        ("drop@nan", r"should read drop@AT"),
        ("drop@1+2", r"should read drop@AT"),
        ("silent@1+", r"should read silent@AT\[\+DURATION\]"),
        ("silent:5@1", r"should read silent@AT"),
        ("jump:SOL_USDC@1", r"should read jump:SYMBOL:FACTOR@AT"),
        ("jump:SOL_USDC:much@1", r"should read jump"),
        ("jump:SOL_USDC:0@1", r"should read jump"),
        ("delay:-1@1", r"should read delay"),
        ("null:SOL_USDC:both@1", r"should read null:SYMBOL:bid\|ask"),
        ("spike:SOL_USDC:-2@1", r"should read spike:SYMBOL:FACTOR@AT"),
        ("rate_limit@1", r"should read rate_limit:SECONDS@AT"),
        ("skew:inf@1", r"should read skew:SECONDS@AT"),
        ("slow_rest:-2@1", r"should read slow_rest:SECONDS@AT"),
        ("ahead:SOL_USDC@1", r"should read ahead:SYMBOL:SECONDS@AT"),
        ("state:SOL_USDC:Shut@1", r"should read state:SYMBOL:Closed\|CancelOnly\|LimitOnly\|PostOnly@AT"),
        ("crossed@1", r"should read crossed:SYMBOL@AT"),
    ],
)
def test_a_wrong_schedule_is_named_with_its_right_form(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_faults(text)


@pytest.mark.parametrize(
    ("fault", "attribute", "value"),
    [
        (ScheduledFault("silent", 1), "silent", True),
        (ScheduledFault("refuse", 1), "refuse", True),
        (ScheduledFault("duplicate", 1), "duplicate", True),
        (ScheduledFault("reorder", 1), "reorder", True),
        (ScheduledFault("delay", 1, seconds=2.0), "delay_s", 2.0),
        (ScheduledFault("null", 1, symbol="SOL_USDC", side="bid"), "hidden_sides", {"SOL_USDC": "bid"}),
        (ScheduledFault("rate_limit", 1, seconds=2.0), "rate_limit_s", 2.0),
        (ScheduledFault("slow_rest", 1, seconds=2.0), "slow_rest_s", 2.0),
        (ScheduledFault("skew", 1, seconds=-2.0), "skew_s", -2.0),
        (ScheduledFault("ahead", 1, symbol="SOL_USDC", seconds=2.0), "ahead_s", {"SOL_USDC": 2.0}),
        (ScheduledFault("text_times", 1), "text_times", True),
        (ScheduledFault("crossed", 1, symbol="SOL_USDC"), "crossed", {"SOL_USDC"}),
        (ScheduledFault("no_last", 1, symbol="SOL_USDC"), "no_last", {"SOL_USDC"}),
        (
            ScheduledFault("state", 1, symbol="SOL_USDC", state=MarketState.CLOSED),
            "states",
            {"SOL_USDC": MarketState.CLOSED},
        ),
    ],
)
def test_a_fault_that_lasts_begins_and_ends(fault: ScheduledFault, attribute: str, value: object) -> None:
    faults = Faults()
    faults.begin(fault)
    assert getattr(faults, attribute) == value
    faults.end(fault)
    assert faults == Faults()


def deformed(faults: Faults, *frames: str) -> list[str]:
    return [sent for frame in frames for sent in faults.deform("bookTicker.SOL_USDC", frame)]


def test_frames_are_duplicated_swapped_or_held_back() -> None:
    assert deformed(Faults(), "1", "2") == ["1", "2"]
    assert deformed(Faults(duplicate=True), "1", "2") == ["1", "1", "2", "2"]
    assert deformed(Faults(reorder=True), "1", "2", "3", "4") == ["2", "1", "4", "3"]
    assert deformed(Faults(reorder=True, duplicate=True), "1", "2") == ["2", "2", "1", "1"]
    assert deformed(Faults(silent=True), "1", "2") == []


def test_no_frame_is_lost_when_reordering_ends() -> None:
    faults = Faults(reorder=True)
    assert deformed(faults, "1") == []
    faults.reorder = False
    assert deformed(faults, "2", "3") == ["1", "2", "3"]


def test_times_and_update_ids_become_text_and_nothing_else() -> None:
    frame = '{"data":{"A":"1","E":17,"T":16,"U":3,"a":"9","n":5,"u":8},"stream":"bookTicker.SOL_USDC"}'
    text = '{"data":{"A":"1","E":"17","T":"16","U":"3","a":"9","n":5,"u":"8"},"stream":"bookTicker.SOL_USDC"}'
    assert deformed(Faults(text_times=True), frame) == [text]


def test_a_book_is_shown_as_the_faults_will_have_it() -> None:
    book = Book(100, 7, 103, 9, 1)
    assert Faults().shown("SOL_USDC", book) == book
    assert Faults(crossed={"SOL_USDC"}).shown("SOL_USDC", book) == Book(104, 7, 100, 9, 1)
    assert Faults(crossed={"BTC_USDC"}).shown("SOL_USDC", book) == book
    assert Faults(hidden_sides={"SOL_USDC": "bid"}).shown("SOL_USDC", book) == book._replace(bid=None)
    assert Faults(hidden_sides={"SOL_USDC": "ask"}).shown("SOL_USDC", book) == book._replace(ask=None)
    empty = book._replace(bid=None)
    assert Faults(crossed={"SOL_USDC"}).shown("SOL_USDC", empty) == empty
