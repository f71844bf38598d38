"""Rates: what is allowed in a window, whatever comes, and never more memory than was said."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.api.access import rates
from exness_streams.api.access.rates import FORGOTTEN_AT_ONCE, Rate, WindowCounts, rate_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rates, "time", clock)
    return clock


def test_so_many_are_allowed_and_then_none_until_the_window_ends(clock: Clock) -> None:
    rate = Rate("3 per 10 seconds")
    assert [rate.take("a")[:3] for _ in range(4)] == [(True, 3, 2), (True, 3, 1), (True, 3, 0), (False, 3, 0)]
    assert rate.take("b").is_allowed
    clock.now_s += 7.5
    refused = rate.take("a")
    assert (refused.is_allowed, refused.reset_s, refused.wait_s) == (False, 2.5, 3)
    clock.now_s += refused.wait_s
    assert rate.take("a")[:3] == (True, 3, 2)


def test_what_is_dearer_uses_up_more() -> None:
    rate = Rate("10 per minute")
    assert rate.take("a", 9).remaining == 1
    assert not rate.take("a", 2).is_allowed
    assert rate.window_s == 60


def test_a_count_can_be_taken_back() -> None:
    rate = Rate("1 per minute")
    rate.take("a")
    rate.forget("a")
    assert rate.take("a").is_allowed


def test_no_rate_is_no_limit() -> None:
    assert rate_of("") is None
    assert rate_of("5 per second") is not None


def test_counts_are_bounded_and_the_oldest_make_room(clock: Clock) -> None:
    counts = WindowCounts(100)
    for number in range(10_000):
        clock.now_s += 0.001
        counts.incr(f"stranger {number}", 60)
        assert len(counts) <= 100
    assert counts.get("stranger 9999") == 1
    assert counts.get("stranger 0") == 0


def test_what_is_over_is_forgotten_a_few_at_a_time(clock: Clock) -> None:
    counts = WindowCounts(1_000)
    for number in range(400):
        counts.incr(str(number), 10)
    clock.now_s += 10
    for number in range(400, 400 + 400 // FORGOTTEN_AT_ONCE):
        before = len(counts)
        counts.incr(str(number), 10)
        assert len(counts) >= before - FORGOTTEN_AT_ONCE
    assert len(counts) == 400 // FORGOTTEN_AT_ONCE


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 9)), max_size=60)


@given(STEPS)
def test_it_counts_as_a_plain_count_does(steps: list[tuple[str, int, int]]) -> None:
    """name, cost and seconds that pass before: compared with all attempts, kept in a list."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "time", clock)
        rate, begun, counted = Rate("5 per 10 seconds"), {}, Counter[str]()
        for name, cost, seconds in steps:
            clock.now_s += seconds
            if name not in begun or clock.now_s >= begun[name] + 10:
                begun[name], counted[name] = clock.now_s, 0
            counted[name] += cost
            standing = rate.take(name, cost)
            assert standing.is_allowed == (counted[name] <= 5)
            assert standing.remaining == max(0, 5 - counted[name])
            assert standing.excess == max(0, counted[name] - 5)
            assert standing.reset_s == begun[name] + 10 - clock.now_s
