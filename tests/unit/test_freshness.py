"""For how long a member of a group may tell what it holds, by a clock that also counts the time it stood still."""

from __future__ import annotations

import time

import pytest

from exness_streams.transport import freshness as module
from exness_streams.transport.freshness import AlwaysFresh, MemberFreshness, real_time_s

HOLD_S = 6.0


class Clock:
    """Goes on only as a test says: also while the member is stopped."""

    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


def test_nobody_is_fresh_before_the_group_has_said_anything() -> None:
    assert not MemberFreshness(HOLD_S, Clock()).is_fresh()


@pytest.mark.parametrize(("silent_s", "is_fresh"), [(0.0, True), (5.999, True), (6.0, False), (3_600.0, False)])
def test_what_was_confirmed_holds_for_the_session(silent_s: float, is_fresh: bool) -> None:
    clock = Clock()
    member = MemberFreshness(HOLD_S, clock)
    member.confirmed(clock())
    clock.now_s += silent_s
    assert member.is_fresh() is is_fresh


def test_an_answer_that_lay_in_a_socket_while_the_process_stood_still_proves_nothing() -> None:
    clock = Clock()
    member = MemberFreshness(HOLD_S, clock)
    asked_s = clock()
    clock.now_s += 60  # stopped: the answer came in time, and is read only now
    member.confirmed(asked_s)
    assert not member.is_fresh()
    member.confirmed(clock())
    assert member.is_fresh()


def test_an_answer_that_comes_after_a_later_one_takes_nothing_back() -> None:
    clock = Clock()
    member = MemberFreshness(HOLD_S, clock)
    member.confirmed(clock() + 1)
    member.confirmed(clock() - 5)
    clock.now_s += 6.5
    assert member.is_fresh()


def test_a_log_held_by_a_lock_is_always_fresh() -> None:
    assert AlwaysFresh().is_fresh()


@pytest.mark.parametrize("missing", [(), ("CLOCK_BOOTTIME",), ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")])
def test_there_is_a_clock_on_every_platform(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.delattr(time, name, raising=False)
    clock_s = module._clock()
    first = clock_s()
    assert clock_s() >= first


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this platform has no clock that counts sleep")
def test_time_asleep_counts() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s <= real_time_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)
