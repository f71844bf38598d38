"""Spans of time that the exchange's history was asked for, and what they make complete."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.domain.candle_spans import (
    LEFT_OUT_MAX,
    SPANS_MAX,
    Asked,
    Told,
    decode_asked,
    filled,
    next_page,
    without,
)
from exness_streams.domain.candles import HOUR_S, MINUTE_S, SILENCE_MS_MAX, Candle, Observed, encode, is_of_the_future
from exness_streams.domain.quotes import AHEAD_MS_MAX

ONE = Decimal(1)


@pytest.mark.parametrize(
    ("other", "joined"),
    [
        ((20, 30), [(10, 30)]), ((0, 10), [(0, 20)]),  # they touch
        ((12, 15), [(10, 20)]), ((0, 40), [(0, 40)]), ((15, 25), [(10, 25)]),
        ((21, 30), [(10, 20), (21, 30)]), ((0, 9), [(0, 9), (10, 20)]),  # they do not
    ],
)  # fmt: skip
def test_parts_that_touch_are_one(other: tuple[int, int], joined: list[tuple[int, int]]) -> None:
    both = Asked(10, 20).joined(Asked(*other))
    assert list(both.spans) == joined
    assert (both.from_s, both.to_s) == joined[-1]


def test_a_page_between_two_spans_joins_them() -> None:
    holed = Asked(0, 10).joined(Asked(50, 60))
    assert holed.joined(Asked(30, 50)) == Asked(30, 60, ((0, 10),))
    assert holed.joined(Asked(30, 50)).joined(Asked(10, 30)) == Asked(0, 60)


def test_what_is_told_later_counts_of_what_was_left_out() -> None:
    asked = Asked(0, 60, (), ((10, 20), (40, 50)))
    assert asked.known == ((0, 10), (20, 40), (50, 60))
    assert asked.joined(Asked(0, 30)) == Asked(0, 60, (), ((40, 50),))
    assert asked.joined(Asked(60, 90, (), ((60, 70),))).left_out == ((10, 20), (40, 50), (60, 70))


@pytest.mark.parametrize(
    ("end_s", "left"),
    [
        (100, Asked(50, 60, ((0, 10),))),
        (55, Asked(50, 55, ((0, 10),))),
        (50, Asked(0, 10)),
        (5, Asked(0, 5)),
        (0, None),
    ],
)
def test_nothing_was_asked_for_beyond_the_present(end_s: int, left: Asked | None) -> None:
    assert Asked(50, 60, ((0, 10),)).until(end_s) == left


def test_what_is_kept_no_longer_is_forgotten_but_for_the_newest() -> None:
    asked = Asked(50, 60, ((0, 10), (20, 30)), ((5, 6), (28, 29)))
    assert asked.since(25) == Asked(50, 60, ((20, 30),), ((28, 29),))
    assert asked.since(100) == Asked(50, 60)


def test_many_spans_are_bounded_and_too_little_is_said_to_be_known() -> None:
    asked = Asked(0, 1)
    for nth in range(1, 3 * SPANS_MAX):
        asked = asked.joined(Asked(10 * nth, 10 * nth + 1))
    assert len(asked.spans) == SPANS_MAX
    assert asked.to_s == 10 * (3 * SPANS_MAX - 1) + 1
    times = range(0, 10 * (LEFT_OUT_MAX + 50), 10)
    many = Asked(0, times[-1] + 10).joined(Asked(0, times[-1] + 10, (), tuple((at, at + 1) for at in times)))
    assert len(many.left_out) == LEFT_OUT_MAX
    assert not without([(at, at + 1) for at in times], many.left_out)


def test_an_entry_of_an_earlier_release_and_one_for_it() -> None:
    assert decode_asked(b"[10,20]") == Asked(10, 20)
    assert decode_asked(encode(Asked(10, 20, ((0, 5),), ((3, 4),)))) == Asked(10, 20, ((0, 5),), ((3, 4),))


MINUTES, HOURS = HOUR_S - 1, HOUR_S


@pytest.mark.parametrize(
    ("from_s", "to_s", "covered"),
    [
        (100, 200, True), (110, 190, True), (99, 200, False), (100, 201, False), (150, 150, True),
        (40, 60, True), (39, 60, False), (40, 61, False), (60, 100, False), (50, 110, False),
    ],
)  # fmt: skip
def test_a_time_is_covered_by_minutes_after_the_border_and_by_hours(from_s: int, to_s: int, covered: bool) -> None:
    assert Told(100, Asked(100, 200), Asked(40, 60)).covers(from_s, to_s, HOURS) is covered
    assert Told(100, Asked(50, 200), Asked(40, 60)).covers(from_s, to_s, HOURS) is covered, "old minutes are gone"


def test_hours_and_minutes_that_meet_cover_what_lies_across() -> None:
    told = Told(100, Asked(100, 200), Asked(40, 100))
    assert told.covers(50, 150, HOURS)
    assert not told.covers(50, 150, MINUTES)
    assert not Told(100, Asked(101, 200), Asked(40, 100)).covers(50, 150, HOURS)
    assert Told(100, Asked(160, 200), Asked(40, 160)).covers(50, 170, HOURS), "hours stand in for minutes"
    assert not Told(100, Asked(160, 200), Asked(40, 160)).covers(150, 170, MINUTES)
    assert not Told(100, None, Asked(40, 100)).covers(50, 150, HOURS)
    assert not Told(100, Asked(100, 200), None).covers(50, 150, HOURS)


@pytest.mark.parametrize(
    ("seen_s", "known_s", "is_complete"),
    [(MINUTE_S, MINUTE_S, True), (30, 30, True), (30, 29, False), (30, 31, False), (0, 0, False), (1, 1, True)],
)
def test_a_candle_is_complete_when_all_that_was_seen_is_known_and_the_rest_was_asked_for(
    seen_s: int, known_s: int, is_complete: bool
) -> None:
    candle = Candle(0, ONE, ONE, ONE, ONE, None, seen_s, known_s)
    assert Told(0, Asked(0, MINUTE_S), None).completes(candle, MINUTE_S) is is_complete
    assert Told(0, Asked(1, MINUTE_S), None).completes(candle, MINUTE_S) is (known_s == MINUTE_S)


def test_what_lies_between_candles_is_missing_unless_it_was_asked_for() -> None:
    several = [Candle(at, ONE, ONE, ONE, ONE, None, 60, 60) for at in (0, 60, 240, 300, 600)]
    assert Told(0, None, None).missing(several, 60) == [(120, 240), (360, 600)]
    assert Told(0, Asked(150, 420), None).missing(several, 60) == [(120, 150), (420, 600)], "no more than that"
    assert Told(0, Asked(120, 240), None).missing(several, 60) == [(360, 600)]
    assert Told(0, Asked(0, 600), None).missing(several, 60) == []
    assert Told(0, None, None).missing(several[:1], 60) == []


@pytest.mark.parametrize(("late_ms", "future"), [(0, False), (1, True), (-1, False)])
def test_a_minute_is_of_the_future_beyond_what_clocks_differ(late_ms: int, future: bool) -> None:
    now_ms = 1_790_000_040_000
    assert is_of_the_future((now_ms + AHEAD_MS_MAX) // 1000 + late_ms, now_ms) is future


@pytest.mark.parametrize(("early_ms", "whole"), [(0, True), (1, False), (-1, True)])
def test_a_minute_was_seen_to_its_end_unless_it_fell_silent(early_ms: int, whole: bool) -> None:
    last_ms = (120 + MINUTE_S) * 1000 - SILENCE_MS_MAX - early_ms
    assert Observed(ONE, ONE, ONE, ONE, 1, last_ms, True).is_whole(120) is whole
    assert Observed(ONE, ONE, ONE, ONE, 1, last_ms, False).is_whole(120) is False


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        (None, (900, 1000)), (Asked(0, 99), (900, 1000)), (Asked(50, 100), (900, 1000)),
        (Asked(50, 850), (900, 1000)), (Asked(500, 950), (950, 1000)),
        (Asked(500, 1000), (400, 500)), (Asked(150, 1000), (100, 150)), (Asked(100, 1000), None),
        (Asked(850, 1000, ((50, 700),)), (750, 850)), (Asked(750, 1000, ((50, 700),)), (700, 750)),
        (Asked(700, 1000, ((200, 300), (400, 600))), (600, 700)), (Asked(400, 1000, ((200, 300),)), (300, 400)),
        (Asked(300, 400, (), ((350, 351),)), (900, 1000)), (Asked(100, 1000, (), ((350, 351),)), None),
    ],
)  # fmt: skip
def test_the_newest_is_asked_for_first_then_backwards(asked: Asked | None, page: tuple[int, int] | None) -> None:
    assert next_page(asked, 100, 1000, 100) == (None if page is None else Asked(*page))


def part(time_s: int, price: str, length_s: int, known_s: int | None = None) -> Candle:
    value = Decimal(price)
    return Candle(time_s, value, value, value, value, None, length_s, length_s if known_s is None else known_s)


HOUR = part(HOUR_S, "7", HOUR_S)
FEW = [part(HOUR_S + 60, "9", 60), part(HOUR_S + 120, "2", 60, 0)]
ALL = [part(HOUR_S + at, "9", 60) for at in range(0, HOUR_S, 60)]
STOOD_IN = [HOUR._replace(high=Decimal(9), low=Decimal(2))]


@pytest.mark.parametrize(
    ("minutes", "asked", "border_s", "shown"),
    [
        (FEW, None, 0, STOOD_IN),
        (FEW, Asked(HOUR_S, 2 * HOUR_S), 0, FEW),
        (FEW, Asked(HOUR_S + 60, 2 * HOUR_S), 0, STOOD_IN),
        (FEW, Asked(HOUR_S, 2 * HOUR_S, (), ((HOUR_S, HOUR_S + 60),)), 0, STOOD_IN),
        (FEW, Asked(2 * HOUR_S, 3 * HOUR_S, ((HOUR_S, 2 * HOUR_S - 60),)), 0, STOOD_IN),
        ([], Asked(HOUR_S, 2 * HOUR_S), 0, []),
        ([], None, 0, [HOUR]),
        (ALL, None, 0, ALL),  # watched from its beginning to its end
        (ALL[1:], None, 0, [HOUR._replace(high=Decimal(9))]),
        ([], Asked(HOUR_S, 2 * HOUR_S), 2 * HOUR_S, [HOUR]),
    ],
)
def test_an_hour_stands_in_for_minutes_that_are_lacking(
    minutes: list[Candle], asked: Asked | None, border_s: int, shown: list[Candle]
) -> None:
    before, behind = part(0, "5", MINUTE_S), part(2 * HOUR_S, "6", MINUTE_S)
    assert filled([HOUR], [before, *minutes, behind], Told(border_s, asked, None)) == [before, *shown, behind]
