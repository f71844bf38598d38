from __future__ import annotations

import random

import pytest

from exness_streams.market_data.feed_health import Backoff, Pace, SilenceMonitor, SkewMonitor


def test_the_first_retry_is_at_once_then_delays_double_with_jitter_up_to_the_bound() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(1))
    delays = [backoff.next_delay_s() for _ in range(2_000)]
    assert delays[0] == 0
    assert delays[1] == 0.5
    for attempt, delay in enumerate(delays[2:12], start=1):
        ceiling = min(30.0, 0.5 * 2**attempt)
        assert max(0.5, ceiling / 2) <= delay <= ceiling
    assert all(15 <= delay <= 30 for delay in delays[12:])
    assert len(set(delays[12:])) > 1_900  # many clients do not come back in step


def test_a_burst_goes_at_once_and_what_comes_after_it_at_the_pace() -> None:
    pace = Pace(2_000, 400, 0.15)
    assert pace.spend(400, 1_000.0) == 0
    assert pace.spend(100, 1_000.0) == 0.05
    assert pace.spend(0, 1_000.05) == pytest.approx(0, abs=1e-9)
    assert pace.spend(100, 1_000.05) == pytest.approx(0.05)
    # A quiet minute gives back a burst, and no more.
    assert pace.spend(400, 1_060.0) == 0
    assert pace.spend(20, 1_060.0) == pytest.approx(0.01)


def test_nothing_waits_longer_than_it_may_and_what_was_too_much_is_forgiven() -> None:
    pace = Pace(2_000, 400, 0.15)
    assert pace.spend(1_000_000, 0.0) == pytest.approx(0.15)
    assert pace.spend(1, 0.15) == pytest.approx(0.0005)


def test_after_a_reset_the_next_retry_is_at_once_again() -> None:
    backoff = Backoff(0.5, 30.0, random.Random(1))
    for _ in range(5):
        backoff.next_delay_s()
    backoff.reset()
    assert (backoff.next_delay_s(), backoff.next_delay_s()) == (0, 0.5)


def observed(monitor: SkewMonitor, samples: list[tuple[int, float]]) -> list[bool]:
    return [monitor.observe(skew_us, now_s) for skew_us, now_s in samples]


def test_a_skew_that_lasts_is_told_once_and_its_end_once() -> None:
    monitor = SkewMonitor(2_000_000, 10.0)
    assert observed(monitor, [(2_000_001, 0), (3_000_000, 9.9), (-3_000_000, 10), (9_000_000, 20)]) == [
        False,
        False,
        True,
        False,
    ]
    assert monitor.skewed
    assert observed(monitor, [(0, 21), (0, 30.9), (0, 31), (0, 99)]) == [False, False, True, False]
    assert not monitor.skewed


def test_a_passing_skew_is_not_told() -> None:
    monitor = SkewMonitor(2_000_000, 10.0)
    assert not any(observed(monitor, [(5_000_000, 0), (5_000_000, 9), (2_000_000, 9.5), (5_000_000, 18)]))
    assert not monitor.skewed
    assert monitor.skew_us == 5_000_000


def test_a_symbol_without_a_ticker_is_silent_until_it_is_heard() -> None:
    monitor = SilenceMonitor(["A", "B", "C"], 10.0)
    assert monitor.check(1_000) == ([], [])  # nothing is expected before data flows
    monitor.restart(1_000)
    monitor.heard("A", 1_005)
    assert monitor.check(1_009.9) == ([], [])
    assert monitor.check(1_010) == (["B", "C"], [])
    assert monitor.check(1_011) == ([], [])
    assert monitor.silent == {"B", "C"}
    monitor.heard("B", 1_012)
    assert monitor.check(1_012) == ([], ["B"])
    assert monitor.silent == {"C"}


def test_a_symbol_that_falls_silent_later_is_noticed() -> None:
    monitor = SilenceMonitor(["A"], 10.0)
    monitor.restart(0)
    monitor.heard("A", 50)
    assert monitor.check(59) == ([], [])
    assert monitor.check(60) == (["A"], [])


def test_a_new_connection_gives_time_but_does_not_repeat_the_alarm() -> None:
    monitor = SilenceMonitor(["A", "B"], 10.0)
    monitor.restart(0)
    monitor.heard("A", 9)
    assert monitor.check(10) == (["B"], [])
    monitor.restart(100)
    assert monitor.check(109) == ([], [])
    assert monitor.silent == {"B"}
    assert monitor.check(110) == (["A"], [])
