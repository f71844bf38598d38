"""This machine's clock beside the brokers': by the newest records, of which the youngest tells."""

from __future__ import annotations

import logging

import pytest

from exness_streams.engine.clock_watch import ClockWatch
from exness_streams.transport.broker_clock import DIFFERS_MS_MAX, SAMPLES_MIN, WITHIN_S, BrokerClock

BROKER_MS = 1_790_000_000_000


class Clocks:
    """Of a broker, and of a machine that is ahead of it."""

    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms, self.now_s = ahead_ms, 0.0
        self.clock = BrokerClock(lambda: self.broker_ms + self.ahead_ms, lambda: self.now_s)

    @property
    def broker_ms(self) -> int:
        return BROKER_MS + int(self.now_s * 1000)

    def come(self, *ways_ms: int) -> None:
        """Records that were so long on their way, one a second."""
        for way_ms in ways_ms:
            self.clock.came(self.broker_ms - way_ms)
            self.now_s += 1.0


@pytest.mark.parametrize("ahead_ms", [-7_200_000, -60_000, 60_000, 7_200_000])
def test_all_four_signs_are_told(ahead_ms: int) -> None:
    clocks = Clocks(ahead_ms)
    clocks.come(*[20] * SAMPLES_MIN)
    assert clocks.clock.ahead_ms() == ahead_ms + 20
    side = "ahead of" if ahead_ms > 0 else "behind"
    assert f"s {side} the brokers'" in clocks.clock.fault()


@pytest.mark.parametrize("ahead_ms", [-DIFFERS_MS_MAX, 0, DIFFERS_MS_MAX - 100])
def test_a_clock_that_is_nearly_right_is_no_fault(ahead_ms: int) -> None:
    clocks = Clocks(ahead_ms)
    clocks.come(*[20] * SAMPLES_MIN)
    assert clocks.clock.fault() == ""


def test_records_that_were_late_say_nothing_of_the_clock() -> None:
    clocks = Clocks(0)
    clocks.come(60_000, 30_000, 40, 60_000)
    assert clocks.clock.ahead_ms() == 40


def test_too_few_records_tell_nothing_and_old_ones_are_forgotten() -> None:
    clocks = Clocks(60_000)
    clocks.come(*[20] * (SAMPLES_MIN - 1))
    assert clocks.clock.ahead_ms() is None
    clocks.come(20)
    assert clocks.clock.fault()
    clocks.now_s += WITHIN_S
    assert clocks.clock.ahead_ms() is None
    clocks.ahead_ms = 0
    clocks.come(*[20] * SAMPLES_MIN)
    assert clocks.clock.fault() == ""


def test_a_clock_that_is_off_is_said_once_and_once_when_it_is_right(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    faults = iter(["", "it is 60 s ahead", "it is 61 s ahead", "", "", "it is 5 s behind"])
    watch = ClockWatch(lambda: next(faults))
    for _ in range(6):
        watch.look()
    assert [record.getMessage() for record in caplog.records] == [
        "it is 60 s ahead",
        "this machine's clock agrees with the brokers' again",
        "it is 5 s behind",
    ]
