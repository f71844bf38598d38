"""Spans of time that the exchange's history was asked for, and what they make complete."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.domain.candles import (
    MINUTE_S,
    SILENCE_MS_MAX,
    Asked,
    Candle,
    Observed,
    Told,
    is_of_the_future,
    next_page,
)
from exness_streams.domain.quotes import AHEAD_MS_MAX

ONE = Decimal(1)


@pytest.mark.parametrize(
    ("other", "joined"),
    [
        ((20, 30), (10, 30)), ((0, 10), (0, 20)),  # they touch
        ((12, 15), (10, 20)), ((0, 40), (0, 40)), ((15, 25), (10, 25)),
        ((21, 30), (21, 30)), ((0, 9), (0, 9)),  # they do not: the newer takes the place
    ],
)  # fmt: skip
def test_parts_that_touch_are_one(other: tuple[int, int], joined: tuple[int, int]) -> None:
    assert Asked(10, 20).joined(Asked(*other)) == Asked(*joined)


@pytest.mark.parametrize(
    ("from_s", "to_s", "covered"),
    [
        (100, 200, True), (110, 190, True), (99, 200, False), (100, 201, False), (150, 150, True),
        (40, 60, True), (39, 60, False), (40, 61, False), (60, 100, False), (50, 110, False),
    ],
)  # fmt: skip
def test_a_time_is_covered_by_minutes_after_the_border_and_hours_before_it(
    from_s: int, to_s: int, covered: bool
) -> None:
    assert Told(100, Asked(100, 200), Asked(40, 60)).covers(from_s, to_s) is covered


def test_hours_and_minutes_that_meet_at_the_border_cover_what_lies_across_it() -> None:
    told = Told(100, Asked(100, 200), Asked(40, 100))
    assert told.covers(50, 150)
    assert not Told(100, Asked(101, 200), Asked(40, 100)).covers(50, 150)
    assert not Told(100, None, Asked(40, 100)).covers(50, 150)
    assert not Told(100, Asked(100, 200), None).covers(50, 150)


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
        (None, (900, 1000)), (Asked(0, 99), (900, 1000)), (Asked(50, 100), (100, 200)), (Asked(500, 950), (950, 1000)),
        (Asked(500, 1000), (400, 500)), (Asked(150, 1000), (100, 150)), (Asked(100, 1000), None),
    ],
)  # fmt: skip
def test_the_newest_is_asked_for_first_then_backwards(asked: Asked | None, page: tuple[int, int] | None) -> None:
    assert next_page(asked, 100, 1000, 100) == (None if page is None else Asked(*page))
