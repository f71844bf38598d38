"""Brokers that are away are waited for; whoever gets nothing although they answer, or is refused, ends in one line."""

from __future__ import annotations

import pytest

from exness_streams.processes.service_watch import (
    FIRST_END_S,
    HOPELESS_LOOKS,
    MUTE_END_S,
    MUTE_LOOK_S,
    STEADY_S,
    ServiceWatch,
)
from exness_streams.processes.watchdog import LOOK_S
from exness_streams.transport.kafka.outlook import Outlook, Sky

DAY_S = 86_400.0
AWAY = Outlook(Sky.AWAY, "none takes a connection")
CLEAR = Outlook(Sky.CLEAR)


class Watched:
    """A process that gets nothing for a reason, among brokers as a test has them; time is set by hand."""

    def __init__(self, *, has_served: bool = True) -> None:
        self.now_s = 100.0
        self.reason: str | None = ""
        self.outside = CLEAR
        self.looks = 0
        self.said: list[str] = []
        self.ended: list[str] = []
        self.watch = ServiceWatch(
            lambda: self.reason, self.look_outside, self.ended.append, say=self.said.append, clock_s=lambda: self.now_s
        )
        if has_served:
            self.watch.look()
        self.reason = "no heartbeat is confirmed"

    def look_outside(self) -> Outlook:
        self.looks += 1
        return self.outside

    def last(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_S)):
            if not self.ended:
                self.now_s += LOOK_S
                self.watch.look()


def test_who_gets_something_is_let_be_and_nobody_is_asked() -> None:
    watched = Watched()
    watched.reason = ""
    watched.last(1_000)
    assert (watched.looks, watched.said, watched.ended) == (0, [], [])


def test_a_short_silence_is_not_looked_into() -> None:
    watched = Watched()
    for _ in range(10):
        watched.reason = "no heartbeat is confirmed"
        watched.last(MUTE_LOOK_S - LOOK_S)
        watched.reason = ""
        watched.last(STEADY_S)
    assert (watched.looks, watched.said, watched.ended) == (0, [], [])


def test_what_is_got_now_and_then_is_no_service() -> None:
    """A member that joins, is given up and joins again, for ever."""
    watched = Watched()
    for _ in range(10):
        watched.reason = ""
        watched.last(STEADY_S - LOOK_S)
        watched.reason = "no heartbeat is confirmed"
        watched.last(MUTE_LOOK_S / 2)
    assert len(watched.ended) == 1


def test_who_gets_nothing_although_the_brokers_answer_ends() -> None:
    watched = Watched()
    watched.last(MUTE_LOOK_S + MUTE_END_S)
    (words,) = watched.ended
    assert words.startswith("nothing has reached this process from Kafka for 30 s")
    assert "(no heartbeat is confirmed)" in words
    assert not watched.said


def test_one_that_has_not_served_yet_is_given_longer() -> None:
    watched = Watched(has_served=False)
    watched.last(FIRST_END_S)
    assert not watched.ended
    watched.last(2 * MUTE_LOOK_S)
    assert len(watched.ended) == 1


@pytest.mark.parametrize("sky", [Sky.AWAY, Sky.ASTRAY, Sky.THIN, Sky.REBALANCING])
def test_what_may_pass_is_waited_for_and_told_once(sky: Sky) -> None:
    watched = Watched()
    watched.outside = Outlook(sky, "so it is")
    watched.last(3_600)
    assert not watched.ended
    (said,) = watched.said
    assert said.startswith("no heartbeat is confirmed; so it is. It is waited for")
    watched.reason = ""
    watched.last(STEADY_S)
    assert watched.said[1:] == ["Kafka is of use again, after 3600 s"]


def test_after_an_outage_there_is_time_to_come_back() -> None:
    """It is counted from when the brokers were found to answer, not from when they went away."""
    watched = Watched()
    watched.outside = AWAY
    watched.last(600)
    watched.outside = CLEAR
    watched.last(MUTE_END_S)
    assert not watched.ended
    watched.last(MUTE_LOOK_S)
    assert len(watched.ended) == 1


@pytest.mark.parametrize("sky", [Sky.REFUSED, Sky.GONE])
@pytest.mark.parametrize("has_served", [True, False])
def test_what_does_not_pass_ends_it_with_the_reason(sky: Sky, has_served: bool) -> None:
    watched = Watched(has_served=has_served)
    watched.outside = Outlook(sky, "the brokers refuse this client: correct the password")
    watched.last(HOPELESS_LOOKS * MUTE_LOOK_S - LOOK_S)
    assert not watched.ended
    watched.last(LOOK_S)
    assert watched.ended == ["the brokers refuse this client: correct the password"]
    assert not watched.said


def test_brokers_that_refuse_once_may_be_starting() -> None:
    watched = Watched()
    for _ in range(10):
        watched.outside = Outlook(Sky.REFUSED, "who are you")
        watched.last(MUTE_LOOK_S)
        watched.outside = AWAY
        watched.last(MUTE_LOOK_S)
    assert not watched.ended


def test_a_process_that_was_stopped_is_not_mute() -> None:
    """Its membership is over when it goes on; it is asked for how long since then."""
    watched = Watched()
    watched.now_s += DAY_S
    watched.watch.look()
    assert watched.looks == 0
    watched.last(MUTE_LOOK_S + MUTE_END_S - 3 * LOOK_S)
    assert not watched.ended


def test_one_that_is_served_while_the_brokers_are_looked_at_is_let_be() -> None:
    watched = Watched()

    def served_meanwhile() -> Outlook:
        watched.reason = ""
        return Outlook(Sky.GONE, "gone")

    watched.watch._look_outside = served_meanwhile
    for _ in range(5):
        watched.reason = "no heartbeat is confirmed"
        watched.last(MUTE_LOOK_S)
        watched.last(STEADY_S)
    assert (watched.said, watched.ended) == ([], [])


def test_one_that_stops_is_watched_no_more() -> None:
    watched = Watched()
    watched.outside = AWAY
    watched.last(MUTE_LOOK_S)
    watched.reason = None
    assert not watched.watch.look()
    assert len(watched.said) == 1
