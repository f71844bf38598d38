"""The invented past: the same for a seed, without gaps, the same in every interval, and like what is then played."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import mean, pstdev

import pytest

from exness_streams.simulator.history import PAST_MINUTES, SimulatedHistory
from exness_streams.simulator.market import SimulatedMarket, listing_of
from exness_streams.simulator.past import Candle

START_S = 1_790_000_000
START_MINUTE_S = START_S // 60 * 60
PRICE = 15_000
HOUR_S = 3_600


def history(symbol: str = "SOL_USDC", seed: int = 1, start_s: int = START_S) -> SimulatedHistory:
    return SimulatedHistory(listing_of(symbol), seed, PRICE, start_s)


def minutes(past: SimulatedHistory, start_s: int, count: int) -> list[Candle]:
    candles = [past.candle(start_s + nth * 60, 60) for nth in range(count)]
    assert all(candles)
    return [candle for candle in candles if candle is not None]


def test_each_candle_begins_where_the_one_before_ends_and_the_last_at_the_price_of_the_start() -> None:
    candles = minutes(history(), START_MINUTE_S - 3_000 * 60, 3_001)
    assert all(before.close == after.open for before, after in pairwise(candles))
    assert candles[-2].close == candles[-1].open == PRICE
    for candle in candles[:-1]:
        assert 0 < candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.volume > 0
        assert candle.trades > 0
    assert len({candle.close for candle in candles}) > 100


def test_it_depends_on_seed_symbol_and_time_alone() -> None:
    def last_hours(past: SimulatedHistory) -> list[Candle]:
        return minutes(past, START_MINUTE_S - 2 * HOUR_S, 120)

    assert last_hours(history()) == last_hours(history())
    assert last_hours(history()) != last_hours(history(seed=2))
    assert last_hours(history()) != last_hours(history("SOL_USDC_PERP"))
    # Started again a day later, what is older than the first start's last day is the same.
    before_s = START_MINUTE_S - 30 * HOUR_S
    assert minutes(history(), before_s, 60) == minutes(history(start_s=START_S + 24 * HOUR_S), before_s, 60)


def played(symbol: str, rate: float, count: int) -> tuple[list[Candle], list[Candle]]:
    """So many minutes before the start of a market, and so many that were then played, each with a price."""
    market = SimulatedMarket(listing_of(symbol), 1)
    past = SimulatedHistory(market.listing, 1, market.last, START_MINUTE_S, rate=rate)
    for step in range(round(count * 60 * rate)):
        trade = market.step()
        if trade is not None:
            past.record(trade.price, trade.quantity, START_MINUTE_S + int(step / rate))
    live = [past.candle(START_MINUTE_S + nth * 60, 60) for nth in range(count)]
    return minutes(past, START_MINUTE_S - count * 60, count), [candle for candle in live if candle is not None]


FIGURES: dict[str, Callable[[list[Candle]], float]] = {
    "moves": lambda candles: pstdev(after.close - before.close for before, after in pairwise(candles)),
    "ranges": lambda candles: mean(candle.high - candle.low for candle in candles),
    "volumes": lambda candles: mean(candle.volume for candle in candles),
    "variety of volumes": lambda candles: pstdev(candle.volume for candle in candles),
    "trades": lambda candles: mean(candle.trades for candle in candles),
}


@pytest.mark.parametrize(
    ("symbol", "rate"), [("SOL_USDC", 10), ("SOL_USDC", 1), ("BTC_USDC", 10), ("kBONK_USDC_PERP", 40)]
)
def test_the_past_is_like_what_is_then_played(symbol: str, rate: float) -> None:
    before, after = played(symbol, rate, 1_000 if rate < 10 else 300 if rate == 10 else 90)
    for name, figure in FIGURES.items():
        assert figure(before) == pytest.approx(figure(after), rel=0.15), name


@pytest.mark.parametrize("seed", range(20))
def test_the_past_does_not_run_straight_to_the_present(seed: int) -> None:
    moves = [
        after.close - before.close for before, after in pairwise(minutes(history(seed=seed), START_S - 7_200, 120))
    ]
    ways = "".join("u" if move > 0 else "d" for move in moves)
    assert "u" * 15 not in ways
    assert "d" * 15 not in ways
    # The last hour moves as the one before it does.
    assert 0.6 < pstdev(moves[60:]) / pstdev(moves[:60]) < 1.6


def test_the_figures_of_a_day_are_those_of_its_minutes_up_to_now() -> None:
    past = history()
    now_s = START_S + 90
    past.record(PRICE + 400, 12, START_S)
    past.record(PRICE + 300, 34, now_s)
    parts = minutes(past, START_MINUTE_S - 1_438 * 60, 1_440)
    day = past.until(now_s)
    assert day == past.until(now_s)
    assert day is not None
    assert (day.open, day.close) == (parts[0].open, PRICE + 300)
    assert (day.high, day.low) == (max(part.high for part in parts), min(part.low for part in parts))
    assert (day.volume, day.trades) == (sum(part.volume for part in parts), sum(part.trades for part in parts))


def test_an_hour_that_is_over_forgets_nothing_until_the_clock_is_set_back() -> None:
    past = history()
    for minute in range(180):
        past.record(PRICE + minute, 1, START_S + minute * 60)
        hour = past.candle(START_MINUTE_S, 3 * HOUR_S)
        assert hour is not None
        assert hour.trades == minute + 1
    # A second back is the minute that is under way; hours back, the clock was set: what lay ahead is forgotten.
    past.record(PRICE - 5, 1, START_S + 178 * 60)
    first = past.candle(START_MINUTE_S + 178 * 60, 60)
    assert first is not None
    assert first.low == PRICE + 178
    past.record(PRICE - 5, 1, START_S + 60)
    rest = past.candle(START_MINUTE_S, 3 * HOUR_S)
    assert rest is not None
    assert (rest.trades, rest.low, rest.close) == (3, PRICE - 5, PRICE - 5)


@pytest.mark.parametrize("length_s", [300, HOUR_S, 4 * HOUR_S, 24 * HOUR_S])
def test_a_longer_candle_is_its_minutes_taken_together(length_s: int) -> None:
    past = history()
    start_s = (START_S // length_s - 1) * length_s
    parts = minutes(past, start_s, length_s // 60)
    assert past.candle(start_s, length_s) == Candle(
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
        sum(part.quote_volume for part in parts),
        sum(part.trades for part in parts),
    )


def test_trades_are_recorded_and_a_minute_without_one_has_no_candle() -> None:
    past = history()
    for second, price, quantity in ((1, 15_010, 3), (2, 14_990, 4), (180, 15_020, 5)):
        past.record(price, quantity, START_S + second)
    assert past.candle(START_MINUTE_S, 60) == Candle(PRICE, 15_010, 14_990, 14_990, 7, 15_010 * 3 + 14_990 * 4, 2)
    assert past.candle(START_MINUTE_S + 60, 60) is None
    assert past.candle(START_MINUTE_S + 180, 60) == Candle(15_020, 15_020, 15_020, 15_020, 5, 15_020 * 5, 1)
    assert past.candle(START_MINUTE_S, 300) == Candle(
        PRICE, 15_020, 14_990, 15_020, 12, 15_010 * 3 + 14_990 * 4 + 15_020 * 5, 3
    )


def test_a_trade_before_the_start_counts_to_the_start() -> None:
    past = history()
    past.record(15_001, 1, START_S - 3_600)
    candle = past.candle(START_MINUTE_S, 60)
    assert candle is not None
    assert candle.close == 15_001


@pytest.mark.parametrize("past_minutes", [0, 1, 90, 10_000])
def test_a_market_may_have_been_listed_at_any_time(past_minutes: int) -> None:
    young = SimulatedHistory(listing_of("SOL_USDC"), 1, PRICE, START_S, past_minutes)
    assert young.begin_s == START_MINUTE_S - past_minutes * 60
    assert young.candle(young.begin_s - 60, 60) is None
    assert minutes(young, young.begin_s, past_minutes) == minutes(history(), young.begin_s, past_minutes)


def test_there_is_nothing_before_the_listing_and_the_oldest_record_goes() -> None:
    past = history()
    assert past.candle(past.begin_s - 60, 60) is None
    assert past.candle(past.begin_s, 60) is not None
    assert past.begin_s == START_MINUTE_S - PAST_MINUTES * 60
    for minute in range(1, PAST_MINUTES + 1):
        past.record(PRICE + 1, 1, START_S + minute * 60)
    assert past.candle(START_MINUTE_S, 60) is None
    assert past.candle(START_MINUTE_S + 60, 60) is not None
