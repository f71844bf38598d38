"""Candles against a naive reference: however ticks come, and whichever side is known first, they are the same."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.candle_spans import Asked, next_page
from exness_streams.domain.candles import (
    INTERVALS_S,
    MINUTE_S,
    SILENCE_MS_MAX,
    WEEK_S,
    Bar,
    Bucket,
    Candle,
    CandleFold,
    LiveMinute,
    Observed,
    aggregate,
    next_start,
    shown,
    start_of,
)

SYMBOLS = ("SOL_USDC", "BTC_USDC")
BEGIN_MS = 1_790_000_000_000


class Tick(NamedTuple):
    symbol: str
    sequence: int
    time_ms: int
    price: Decimal


@st.composite
def ticks_in_order(draw: st.DrawFn, symbols: tuple[str, ...] = SYMBOLS) -> list[Tick]:
    """Ticks as the topic holds them: sequences grow within a symbol, and so does time, but for an odd one."""
    found, time_ms = [], BEGIN_MS + draw(st.integers(0, 120_000))
    steps = st.one_of(st.integers(0, 3_000), st.integers(9_000, 11_000), st.integers(0, 4_000_000), st.just(-5_000))
    for sequence in range(1, draw(st.integers(0, 40)) + 1):
        time_ms += draw(steps)
        price = Decimal(draw(st.integers(1, 40))).scaleb(-1)
        found.append(Tick(draw(st.sampled_from(symbols)), sequence, time_ms, price))
    return found


def folded(ticks: list[Tick]) -> CandleFold:
    fold = CandleFold(SYMBOLS)
    for tick in ticks:
        fold.add(*tick)
    return fold


def minutes_of(fold: CandleFold) -> dict[tuple[str, int], Observed]:
    """All minutes that a fold knows, with those that still grow."""
    found = dict(fold.closed)
    for symbol in SYMBOLS:
        live = fold.live(symbol)
        if live is not None:
            found[symbol, live.time_s] = live.observed
    return found


def naive_minutes(ticks: list[Tick]) -> dict[tuple[str, int], Observed]:
    """All ticks of a minute at once."""
    groups: dict[tuple[str, int], list[Tick]] = {}
    newest: dict[str, int] = {}
    for tick in ticks:
        minute = max(newest.get(tick.symbol, 0), tick.time_ms // 60_000 * 60)
        newest[tick.symbol] = minute
        groups.setdefault((tick.symbol, minute), []).append(tick)
    found = {}
    for (symbol, minute), group in groups.items():
        times = [max(tick.time_ms for tick in group[: n + 1]) for n in range(len(group))]
        later = [tick.time_ms for (name, other), rest in groups.items() if (name, other > minute) == (symbol, True)
                 for tick in rest]  # fmt: skip
        around = [minute * 1000, *times, *([min(later)] if later else [])]
        is_unbroken = all(after - before <= SILENCE_MS_MAX for before, after in pairwise(around))
        prices = [tick.price for tick in group]
        bar = prices[0], max(prices), min(prices), prices[-1]
        found[symbol, minute] = Observed(*bar, group[-1].sequence, times[-1], is_unbroken)
    return found


@given(ticks_in_order())
def test_minutes_are_what_a_naive_reference_makes_of_the_ticks(ticks: list[Tick]) -> None:
    assert minutes_of(folded(ticks)) == naive_minutes(ticks)


@given(ticks_in_order(), st.data())
def test_ticks_that_are_read_again_change_nothing(ticks: list[Tick], data: st.DataObject) -> None:
    read = []
    for n, tick in enumerate(ticks):
        read.append(tick)
        read += ticks[data.draw(st.integers(0, n)) : n + 1] if data.draw(st.booleans()) else []
    assert minutes_of(folded(read)) == minutes_of(folded(ticks))


@given(ticks_in_order(), st.data())
def test_a_fold_goes_on_from_what_was_stored_and_ticks_behind_it_are_read_again(
    ticks: list[Tick], data: st.DataObject
) -> None:
    stored_at = data.draw(st.integers(0, len(ticks)))
    before = folded(ticks[:stored_at])
    stored, live = dict(before.closed), before.take_changed()
    after = CandleFold(SYMBOLS)
    for symbol, minute in live.items():
        after.load(symbol, minute)
    for tick in ticks[data.draw(st.integers(0, stored_at)) :]:
        after.add(*tick)
    assert stored | minutes_of(after) == minutes_of(folded(ticks))


@given(ticks_in_order())
def test_what_has_changed_is_told_once(ticks: list[Tick]) -> None:
    fold = folded(ticks)
    assert set(fold.take_changed()) == {tick.symbol for tick in ticks}
    assert not fold.take_changed()
    for tick in ticks:
        fold.add(*tick)
    assert not fold.take_changed()


def beginning(time_s: int, length_s: int) -> int:
    """By the calendar: weeks begin on Mondays, UTC."""
    midnight = datetime.fromtimestamp(time_s, timezone.utc).replace(hour=0, minute=0, second=0)
    if length_s == WEEK_S:
        return int((midnight - timedelta(days=midnight.weekday())).timestamp())
    return int(midnight.timestamp()) + (time_s - int(midnight.timestamp())) // length_s * length_s


@given(st.integers(0, 9_999_999_999), st.sampled_from(sorted(INTERVALS_S.values())))
def test_intervals_begin_where_the_calendar_has_them(time_s: int, length_s: int) -> None:
    assert start_of(time_s, length_s) == beginning(time_s, length_s)
    assert next_start(time_s, length_s) in (time_s, beginning(time_s, length_s) + length_s)
    assert start_of(next_start(time_s, length_s), length_s) == next_start(time_s, length_s) >= time_s


@given(ticks_in_order(SYMBOLS[:1]), st.sampled_from(sorted(INTERVALS_S.values())))
def test_an_aggregate_is_that_of_the_ticks(ticks: list[Tick], length_s: int) -> None:
    in_order = [tick for n, tick in enumerate(ticks) if all(one.time_ms <= tick.time_ms for one in ticks[:n])]
    minutes = sorted(minutes_of(folded(in_order)).items())
    candles = [shown(time_s, Bucket(observed)) for (_, time_s), observed in minutes]
    found = aggregate([candle for candle in candles if candle is not None], length_s)
    groups: dict[int, list[Decimal]] = {}
    for tick in in_order:
        groups.setdefault(beginning(tick.time_ms // 1000, length_s), []).append(tick.price)
    assert [one._replace(seen_s=0, known_s=0) for one in found] == [
        Candle(time_s, prices[0], max(prices), min(prices), prices[-1], None)
        for time_s, prices in sorted(groups.items())
    ]


@st.composite
def candles_in_order(draw: st.DrawFn) -> list[Candle]:
    minutes = sorted(draw(st.sets(st.integers(0, 3_000), max_size=30)))
    prices = st.integers(1, 100).map(Decimal)
    found = []
    for minute in minutes:
        four = sorted(draw(st.tuples(prices, prices, prices, prices)))
        volume = draw(st.one_of(st.none(), prices))
        found.append(Candle(minute * MINUTE_S, four[1], four[3], four[0], four[2], volume))
    return found


@given(candles_in_order(), st.data())
def test_aggregating_by_parts_and_by_steps_is_the_same(candles: list[Candle], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(candles)))
    whole = aggregate(candles, 3_600)
    assert aggregate(aggregate(candles, 300), 3_600) == whole
    assert aggregate([*aggregate(candles[:cut], 3_600), *candles[cut:]], 3_600) == whole
    assert sum((one.volume or 0 for one in whole), Decimal(0)) == sum((one.volume or 0 for one in candles), Decimal(0))
    assert all(candle.time_s == start_of(candle.time_s, 3_600) for candle in whole)


PRICES = st.integers(1, 100).map(Decimal)


@given(st.tuples(*[PRICES] * 4), st.tuples(*[PRICES] * 4), st.integers(0, 59_999), st.booleans())
def test_history_completes_a_minute_and_never_narrows_it(
    seen: tuple[Decimal, ...], told: tuple[Decimal, ...], last_ms: int, is_unbroken: bool
) -> None:
    observed = Observed(seen[1], max(seen), min(seen), seen[2], 1, 60_000 + last_ms, is_unbroken)
    bar = Bar(told[1], max(told), min(told), told[2], Decimal(7))
    candle = shown(60, Bucket(observed, bar))
    assert candle is not None
    assert candle.volume == 7
    if is_unbroken and last_ms >= 50_000:
        assert candle[1:5] == (observed.first, observed.high, observed.low, observed.last)
    else:
        assert (candle.first, candle.last) == (bar.first, bar.last)
        assert candle.high == max(observed.high, bar.high)
        assert candle.low == min(observed.low, bar.low)
    assert shown(60, Bucket()) is None


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(1, 50), st.integers(0, 300))
def test_pages_cover_all_that_is_wanted_once(from_s: int, to_s: int, horizon_s: int, page_s: int, end_s: int) -> None:
    asked = Asked(from_s, to_s) if from_s < to_s <= end_s else None
    covered = set(range(asked.from_s, asked.to_s)) if asked is not None and asked.to_s >= horizon_s else set()
    while (page := next_page(asked, horizon_s, end_s, page_s)) is not None:
        seconds = set(range(page.from_s, page.to_s))
        assert seconds
        assert len(seconds) <= page_s
        assert not seconds & covered
        assert min(seconds) >= horizon_s
        assert max(seconds) < end_s
        covered |= seconds
        asked = page if asked is None else asked.joined(page)
    assert covered >= set(range(horizon_s, end_s))


def test_what_is_no_time_is_no_tick() -> None:
    fold = CandleFold(["SOL_USDC"])
    fold.add("SOL_USDC", 1, -1, Decimal(1))
    fold.add("SOL_USDC", 2, 10**15, Decimal(1))
    fold.add("ETH_USDC", 3, BEGIN_MS, Decimal(1))
    assert fold.live("SOL_USDC") is None
    assert fold.live("ETH_USDC") is None
    fold.add("SOL_USDC", 4, BEGIN_MS, Decimal("1.50"))
    price = Decimal("1.5")
    expected = Observed(price, price, price, price, 4, BEGIN_MS, False)
    assert fold.live("SOL_USDC") == LiveMinute(start_of(BEGIN_MS // 1000, 60), expected)
