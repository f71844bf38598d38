"""Which candles are complete, and which times between them are missing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exness_streams.api.views.candles import candles_message
from exness_streams.domain import candles
from exness_streams.domain.candle_spans import Asked, Told
from exness_streams.domain.candles import HOUR_S, MINUTE_S, Bar, Bucket, Candle, Observed, aggregate, shown
from exness_streams.messages import MissingSpan, json_encoder

ONE = Decimal(1)
WATCHED = Observed(ONE, ONE, ONE, ONE, 1, MINUTE_S * 1000 - 1, True)
BROKEN = Observed(ONE, ONE, ONE, ONE, 1, MINUTE_S * 1000 - 1, False)
TOLD = Bar(ONE, ONE, ONE, ONE, ONE)
NOBODY = Told(0, None, None)


@pytest.mark.parametrize(
    ("bucket", "is_growing", "is_complete"),
    [
        (Bucket(WATCHED), False, True),
        (Bucket(WATCHED), True, False),
        (Bucket(BROKEN), False, False),
        (Bucket(BROKEN, TOLD), False, True),
        (Bucket(WATCHED, TOLD), True, True),
        (Bucket(None, TOLD), False, True),
        (Bucket(None, Bar(ONE, ONE, ONE, ONE, ONE, is_complete=False)), False, False),
    ],
)
def test_a_minute_is_complete_when_it_is_over_and_known(bucket: Bucket, is_growing: bool, is_complete: bool) -> None:
    minute = shown(0, bucket, is_growing=is_growing)
    assert minute is not None
    assert NOBODY.completes(minute, MINUTE_S) == is_complete


def minutes(*starts: int, known: bool = True) -> list[Candle]:
    return [Candle(at, ONE, ONE, ONE, ONE, None, MINUTE_S, MINUTE_S if known else 0) for at in starts]


def test_a_longer_candle_is_complete_when_all_its_parts_are() -> None:
    every = range(0, HOUR_S, MINUTE_S)
    (whole,) = aggregate(minutes(*every), HOUR_S)
    assert NOBODY.completes(whole, HOUR_S)
    (holed,) = aggregate(minutes(*every[:7], *every[8:]), HOUR_S)
    assert not NOBODY.completes(holed, HOUR_S)
    assert Told(0, Asked(0, HOUR_S), None).completes(holed, HOUR_S), "nothing was traded in that minute"
    assert not Told(0, Asked(60, HOUR_S), None).completes(holed, HOUR_S)
    (broken,) = aggregate([*minutes(0, known=False), *minutes(*every[1:])], HOUR_S)
    assert not Told(0, Asked(0, HOUR_S), None).completes(broken, HOUR_S)


def test_hours_before_the_border_and_minutes_after_it_are_asked_for_apart() -> None:
    told = Told(2 * HOUR_S, Asked(2 * HOUR_S, 5 * HOUR_S), Asked(0, 2 * HOUR_S))
    assert told.covers(0, 5 * HOUR_S, HOUR_S)
    assert told.covers(2 * HOUR_S, 3 * HOUR_S, HOUR_S)
    assert not told.covers(4 * HOUR_S, 6 * HOUR_S, HOUR_S)
    assert not told._replace(hours=None).covers(HOUR_S, 3 * HOUR_S, HOUR_S)
    assert told._replace(hours=None).covers(2 * HOUR_S, 3 * HOUR_S, HOUR_S)


def test_a_span_with_missing_parts_says_so() -> None:
    found = minutes(0, 60, 240, 600)
    message = candles_message("SOL_USDC", "1m", found, Told(0, Asked(300, 600), None))
    assert message.missing == [MissingSpan(120, 240)]
    assert b'"missing":[{"from":120,"to":240}]' in json_encoder.encode(message)
    assert candles_message("SOL_USDC", "1m", found, NOBODY).missing == [MissingSpan(120, 240), MissingSpan(300, 600)]
    assert candles_message("SOL_USDC", "1m", found[:2], NOBODY).missing == []
    assert candles_message("SOL_USDC", "1m", [], NOBODY).missing == []


@pytest.mark.parametrize(
    ("begin_s", "before_s", "missing"),
    [
        (None, None, []),
        (0, None, [(0, 300)]),
        (0, 600, [(0, 300), (420, 500)]),
        (None, 600, [(420, 500)]),
        (None, 400, []),
    ],
)
def test_what_is_missing_before_the_first_candle_and_after_the_last_is_said_of_what_was_asked_for(
    begin_s: int | None, before_s: int | None, missing: list[tuple[int, int]]
) -> None:
    told = Told(0, Asked(500, 600), None)
    message = candles_message("SOL_USDC", "1m", minutes(300, 360), told, begin_s, before_s)
    assert message.missing == [MissingSpan(*span) for span in missing]


def test_with_no_candles_all_that_was_asked_for_is_missing() -> None:
    told = Told(0, Asked(500, 600), None)
    assert candles_message("SOL_USDC", "1m", [], told, 60, 600).missing == [MissingSpan(60, 500)]


def test_an_entry_of_an_earlier_release_is_read() -> None:
    assert candles.decode_bucket(b"[null,[1,2,3,4,5]]").told == Bar(ONE, *map(Decimal, (2, 3, 4, 5)))
