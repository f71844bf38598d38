"""Candles while the past is still loading: nothing is said to be known that is not, and no hole is kept quiet.

The exchange's market is a function of time, so each candle is known beforehand. What was watched, what was asked for,
pauses, pages that are refused in part and worker's restarts come in any order; after each step all intervals are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from candle_keeper import NOW_S, SOL, Clock, Log, Worker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exness_streams.api.views.candles import candles_message
from exness_streams.domain.candles import DAY_S, HOUR_S, INTERVALS_S, MINUTE_S, start_of
from exness_streams.engine import candles as engine_candles
from exness_streams.engine.candle_reader import LIMIT_MAX
from exness_streams.market_data import past_candles
from exness_streams.market_data.past_candles import PastCandles
from exness_streams.market_data.rest import INTERVALS_S as KLINE_INTERVALS_S
from exness_streams.market_data.rest import Kline
from exness_streams.messages import CandlesMessage

TICK_S = 6
FIRST_S = 5
"""Of the ticks in a minute. Whoever misses one of them, misses more than is taken for silence."""
PAGE = 100
MINUTES_KEPT_S, HOURS_KEPT_S = DAY_S, 10 * DAY_S
SHOWN = ("1m", "15m", "1h", "4h", "1d", "1w")
Four = tuple[Decimal, Decimal, Decimal, Decimal]


def is_traded(minute: int) -> bool:
    """Some minutes have no trade, and nor have some hours."""
    return minute % 11 != 5 and minute // 60 % 13 != 4


def price_at(time_s: int) -> Decimal:
    return Decimal(100 + time_s // TICK_S * 2_654_435_761 % 4_294_967_296 % 50)


@cache
def minute_of(time_s: int) -> Four | None:
    if not is_traded(time_s // MINUTE_S):
        return None
    prices = [price_at(at) for at in range(time_s + FIRST_S, time_s + MINUTE_S, TICK_S)]
    return prices[0], max(prices), min(prices), prices[-1]


@cache
def truth(time_s: int, length_s: int) -> Four | None:
    """What the exchange's candle is, once it is over."""
    step_s = HOUR_S if length_s > HOUR_S else MINUTE_S
    if length_s == MINUTE_S:
        return minute_of(time_s)
    parts = [part for at in range(time_s, time_s + length_s, step_s) if (part := truth(at, step_s)) is not None]
    if not parts:
        return None
    return parts[0][0], max(part[1] for part in parts), min(part[2] for part in parts), parts[-1][3]


class Exchange:
    """Tells the market's klines; some are absurd, so that they are left out."""

    def __init__(self) -> None:
        self.absurd_every = 0

    async def fetch(self, symbol: str, interval: str, start_s: int, end_s: int) -> list[Kline]:
        length_s, found = KLINE_INTERVALS_S[interval], list[Kline]()
        for time_s in range(-(-start_s // length_s) * length_s, end_s, length_s):
            four = truth(time_s, length_s)
            if four is None:
                continue
            wrong = self.absurd_every and time_s // length_s % self.absurd_every == 0
            first, high, low, last = four
            found.append(Kline(time_s, first, high * 10_000 if wrong else high, low, last, Decimal(1)))
        return found


class Chart:
    """A worker, its exchange, and who asks for charts after each step."""

    def __init__(self) -> None:
        self.log, self.clock, self.exchange = Log(), Clock(), Exchange()
        self.sequence = 0
        self.start()

    def start(self) -> None:
        self.worker = Worker(self.log, self.clock)
        self.past = PastCandles(self.exchange.fetch, self.worker.host, pause_s=0)

    async def watch(self, seconds: int) -> None:
        """Time passes, and the ticks are read."""
        for at_s in range(int(self.clock.now_s) + FIRST_S, int(self.clock.now_s) + seconds, TICK_S):
            if is_traded(at_s // MINUTE_S):
                self.sequence += 1
                self.worker.host.fold.add(SOL, self.sequence, at_s * 1000, price_at(at_s))
        self.clock.now_s += seconds
        await self.worker.host.flush()
        await self.worker.host.sweep()

    async def ask(self, rounds: int) -> None:
        for _ in range(rounds):
            await self.past.round()
            await self.look()

    async def messages(self) -> dict[str, CandlesMessage]:
        reader, found = self.worker.reader, {}
        for interval in SHOWN:
            newest = await reader.newest(SOL, interval, LIMIT_MAX)
            begin_s = reader.begin_s(SOL, INTERVALS_S[interval]) if len(newest) < LIMIT_MAX else None
            found[interval] = candles_message(SOL, interval, newest, reader.told(SOL), begin_s)
        return found

    async def look(self) -> dict[str, CandlesMessage]:
        found = await self.messages()
        for message in found.values():
            self.check(message)
        return found

    def check(self, message: CandlesMessage) -> None:
        length_s, now_s = INTERVALS_S[message.interval], int(self.clock.now_s)
        times = [one.time for one in message.candles]
        assert times == sorted(set(times))
        for one in message.candles:
            if one.complete:
                assert one.time + length_s <= now_s
                four = one.open, one.high, one.low, one.close
                assert four == truth(one.time, length_s), (message.interval, one)
        for first, after in self._between(message):
            for time_s in range(first, after, MINUTE_S):  # of an hour a part may be known, in which nothing was traded
                if minute_of(time_s) is not None:
                    assert any(hole.from_ <= time_s < hole.to for hole in message.missing), (message.interval, time_s)

    @staticmethod
    def _between(message: CandlesMessage) -> Iterator[tuple[int, int]]:
        """The times without candles."""
        length_s = INTERVALS_S[message.interval]
        for one, other in pairwise(message.candles):
            if one.time + length_s < other.time:
                yield one.time + length_s, other.time


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_candles, "MINUTES_KEPT_S", MINUTES_KEPT_S)
    monkeypatch.setattr(engine_candles, "HOURS_KEPT_S", HOURS_KEPT_S)
    monkeypatch.setattr(past_candles, "KLINES_PER_REQUEST_MAX", PAGE)


def holes(message: CandlesMessage) -> list[tuple[int, int]]:
    """What is missing behind the first candle."""
    return [(hole.from_, hole.to) for hole in message.missing if hole.from_ > message.candles[0].time]


async def all_loaded(chart: Chart) -> None:
    for _ in range(100):
        if await chart.past.round():
            return
    raise AssertionError("it never ends")


async def test_at_a_first_start_no_chart_ever_has_a_hole() -> None:
    """Whichever page comes next, until all is there."""
    chart = Chart()
    await chart.watch(150)
    known: dict[str, Any] = {}
    for _ in range(100):
        if await chart.past.round():
            break
        found = await chart.look()
        for interval, message in found.items():
            assert holes(message) == [], interval
            newest = message.candles[-1].time
            assert newest == start_of(int(chart.clock.now_s) - TICK_S, INTERVALS_S[interval])
            assert message.candles[0].time <= known.get(interval, newest), "and it only grows"
            known[interval] = message.candles[0].time
    for interval, message in (await chart.look()).items():
        assert message.missing == [], interval
        assert all(one.complete for one in message.candles[:-2]), interval


async def test_after_the_first_pages_long_intervals_reach_far_back() -> None:
    chart = Chart()
    await chart.watch(150)
    await chart.past.round()
    found = await chart.look()
    assert found["1d"].candles[0].time <= NOW_S - 4 * DAY_S, "100 minutes and 100 hours before them"
    assert holes(found["1d"]) == holes(found["1m"]) == []
    assert [one.complete for one in found["1d"].candles][-3:-1] == [True, True]
    assert found["1d"].candles[0].complete is False, "a part of a day says so"


async def test_after_a_long_pause_the_newest_come_first_and_the_hole_is_told_until_it_is_filled() -> None:
    chart = Chart()
    await chart.watch(150)
    await all_loaded(chart)
    chart.clock.now_s += 15 * HOUR_S
    chart.start()
    await chart.watch(150)
    assert holes((await chart.look())["1m"])
    await chart.past.round()
    found = await chart.look()
    (hole,) = holes(found["1m"])
    assert hole[1] <= start_of(int(chart.clock.now_s), MINUTE_S) - PAGE * MINUTE_S + 2 * MINUTE_S
    assert holes(found["1h"]) == holes(found["4h"]) == [], "one page of hours fills it"
    await all_loaded(chart)
    for interval, message in (await chart.look()).items():
        assert message.missing == [], interval


async def test_a_candle_whose_part_was_left_out_is_not_complete() -> None:
    chart = Chart()
    chart.exchange.absurd_every = 97
    await chart.watch(150)
    await all_loaded(chart)
    found = await chart.look()
    assert found["1m"].missing
    assert not all(one.complete for one in found["1h"].candles[:-2])
    assert any(one.complete for one in found["1h"].candles[:-2])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), st.integers(1, 900).map(lambda n: n * TICK_S)),
        st.tuples(st.just("ask"), st.integers(1, 4)),
        st.tuples(st.just("pause"), st.integers(1, 30 * 60).map(lambda n: n * MINUTE_S)),
        st.tuples(st.just("silence"), st.integers(1, 60 * 60)),
        st.tuples(st.just("absurd"), st.sampled_from((0, 7, 61))),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3 * HOUR_S), STEPS)
async def test_whatever_is_known_no_candle_claims_more_and_no_hole_is_kept_quiet(
    offset_s: int, steps: list[tuple[str, int]]
) -> None:
    chart = Chart()
    chart.clock.now_s += offset_s // TICK_S * TICK_S
    for kind, amount in [("watch", 150), *steps]:
        if kind == "watch":
            await chart.watch(amount)
        elif kind == "ask":
            await chart.ask(amount)
        elif kind == "absurd":
            chart.exchange.absurd_every = amount
        else:
            chart.clock.now_s += amount // TICK_S * TICK_S
            if kind == "pause":
                chart.start()
        await chart.look()
