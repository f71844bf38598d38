"""Streams' names, and those streams that tell what has changed: followed from a snapshot on, they lead to the next."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.simulator.faults import Faults
from exness_streams.simulator.instrument import Instrument
from exness_streams.simulator.intervals import KLINE_INTERVALS, begin_of, end_of
from exness_streams.simulator.market import listing_of
from exness_streams.simulator.rows import depth_row
from exness_streams.simulator.streams import DepthStream, KlineStream, StreamName, parse_stream

NOW_S = 1_790_000_000


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ticker.AAPL.US_USDC_PERP", StreamName("ticker", "", "AAPL.US_USDC_PERP")),
        ("kline.1month.AAPL.US_USDC_PERP", StreamName("kline", "1month", "AAPL.US_USDC_PERP")),
        ("depth.AAPL.US_USDC_PERP", StreamName("depth", "", "AAPL.US_USDC_PERP")),
        ("depth.600ms.SOL_USDC", StreamName("depth", "600ms", "SOL_USDC")),
        ("liquidation", StreamName("liquidation", "", "")),
        ("openInterest.SOL_USDC_PERP", StreamName("openInterest", "", "SOL_USDC_PERP")),
        ("kline.7m.SOL_USDC", None),
        ("kline.1m", None),
        ("kline..SOL_USDC", None),
        ("depth.300ms.SOL_USDC", None),
        ("depth.200ms.", None),
        ("depth", None),
        ("trade.", None),
        ("account.orderUpdate", None),
    ],
)
def test_a_name_says_what_is_wanted(text: str, name: StreamName | None) -> None:
    assert parse_stream(text) == name


@given(st.sampled_from(KLINE_INTERVALS), st.integers(0, 4_000_000_000))
def test_intervals_follow_each_other_without_a_gap(interval: str, time_s: int) -> None:
    begin_s = begin_of(interval, time_s)
    end_s = end_of(interval, begin_s)
    assert begin_s <= time_s < end_s
    assert begin_of(interval, begin_s) == begin_s
    assert begin_of(interval, end_s) == end_s
    assert begin_of(interval, end_s - 1) == begin_s


def test_weeks_begin_on_mondays_and_months_with_their_first_day() -> None:
    assert datetime.fromtimestamp(begin_of("1w", NOW_S), timezone.utc).isoweekday() == 1
    assert datetime.fromtimestamp(begin_of("1month", NOW_S), timezone.utc).day == 1


def instrument(symbol: str = "SOL_USDC") -> Instrument:
    made = Instrument(listing_of(symbol), 1, past_minutes=60)
    made.begin(NOW_S)
    return made


def applied(book: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """A book as a client keeps it."""
    for side, changes in (("bids", delta["b"]), ("asks", delta["a"])):
        for price, quantity in changes:
            if float(quantity):
                book[side][price] = quantity
            else:
                del book[side][price]
    return {**book, "id": delta["u"]}


def snapshot(one: Instrument, faults: Faults) -> dict[str, Any]:
    row = depth_row(one, faults.shown(one.symbol, one.book()), 1_000, 0)
    return {"bids": dict(row["bids"]), "asks": dict(row["asks"]), "id": int(row["lastUpdateId"])}


@given(st.lists(st.sampled_from(["step", "told", "hide", "cross", "quantities"]), max_size=60))
def test_a_book_that_is_kept_from_the_changes_is_the_book(events: list[str]) -> None:
    one, faults, emit_us = instrument(), Faults(), count(NOW_S * 1_000_000)
    followed = DepthStream("depth.SOL_USDC", one, faults)
    kept = snapshot(one, faults)
    for event in events:
        if event == "step":
            one.move(next(emit_us))
        elif event == "quantities":
            one.market.new_quantities()
        elif event == "hide":
            hidden = faults.hidden_sides.pop("SOL_USDC", None)
            if hidden is None:
                faults.hidden_sides["SOL_USDC"] = "bid"
            one.market.new_quantities()
        elif event == "cross":
            faults.crossed ^= {"SOL_USDC"}
            one.market.new_quantities()
        else:
            frame = followed.frame(emit_us.__next__)
            if frame is None:
                assert kept["id"] == one.book().update_id
                continue
            delta = json.loads(frame)["data"]
            assert delta["U"] == kept["id"] + 1
            kept = applied(kept, delta)
            assert kept == snapshot(one, faults)


def klines(followed: KlineStream, now_s: int) -> list[dict[str, Any]]:
    return [json.loads(frame)["data"] for frame in followed.frames(now_s, lambda: now_s * 1_000_000)]


def test_a_candle_is_told_when_it_has_changed_and_once_more_when_it_is_closed() -> None:
    one = instrument()
    begin_s = NOW_S // 60 * 60
    followed = KlineStream("kline.1m.SOL_USDC", one, "1m", NOW_S)
    assert [data["X"] for data in klines(followed, NOW_S)] == [False]
    assert klines(followed, NOW_S) == []
    one.history.record(15_100, 8, NOW_S)
    (data,) = klines(followed, NOW_S)
    assert (data["o"], data["h"], data["c"], data["v"], data["n"], data["X"]) == ("150", "151", "151", "0.08", 1, False)
    closed = klines(followed, begin_s + 180)
    # Two minutes in which nothing was traded have no prices, and are closed all the same.
    assert [data["X"] for data in closed] == [True, True, True]
    assert closed[0] == {**data, "X": True, "E": (begin_s + 180) * 1_000_000}
    assert [(later["o"], later["c"], later["v"]) for later in closed[1:]] == [(None, None, "0")] * 2
    assert [later["T"] for later in closed[:2]] == [later["t"] for later in closed[1:]]
