from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.market_data.backpack import Ignored, parse
from exness_streams.simulator.faults import GARBAGE, Faults, ScheduledFault, parse_faults


@pytest.mark.parametrize("frame", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_garbage(frame: str | bytes) -> None:
    assert isinstance(parse(frame), Ignored)


def test_a_schedule_is_read_from_text() -> None:
    text = "drop@10, silent@20+8 jump:SOL_USDC:0.8@30,delay:1.5@40+5,null:AAPL.US_USDC_PERP:ask@50,refuse@0.5+1"
    assert parse_faults(text) == (
        ScheduledFault("drop", 10),
        ScheduledFault("silent", 20, 8),
        ScheduledFault("jump", 30, symbol="SOL_USDC", factor=Decimal("0.8")),
        ScheduledFault("delay", 40, 5, delay_s=1.5),
        ScheduledFault("null", 50, symbol="AAPL.US_USDC_PERP", side="ask"),
        ScheduledFault("refuse", 0.5, 1),
    )
    assert parse_faults("") == ()


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
        (ScheduledFault("delay", 1, delay_s=2.0), "delay_s", 2.0),
        (ScheduledFault("null", 1, symbol="SOL_USDC", side="bid"), "hidden_sides", {"SOL_USDC": "bid"}),
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
