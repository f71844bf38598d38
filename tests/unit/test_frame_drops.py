"""A cell that drops all frames is deaf: that is said once, with since when, and once it is over."""

from __future__ import annotations

import logging

import pytest

from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.engine.frame_drops import ANOTHER_S_MAX, LEFT_OUT, OF_ANOTHER, FrameDrops

WALL_S = 1_790_000_000.0


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def drops_of(clock: Clock) -> FrameDrops:
    return FrameDrops(clock, lambda: WALL_S + clock.now_s)


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_a_frame_that_leaves_out_ticks_makes_a_cell_deaf_at_once(
    reason: IgnoredFrame, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    drops = drops_of(clock)
    drops.took(3)
    for offset in range(70, 75):
        drops.dropped(3, offset, reason)
        clock.now_s += 1
    assert drops.counts == {reason: 5}
    found = drops.of(3)
    assert found is not None
    assert (found.reason, found.since_ms, found.frames) == (reason, 1_790_000_100_000, 5)
    assert (drops.deaf_s(3), drops.deaf_s(4)) == (5, 0)
    [said] = caplog.messages
    assert "cell 3 drops all frames since record 70 of partition 3 of the journal, for they" in said
    drops.took(4)
    assert drops.of(3) is found
    drops.took(3)
    assert drops.of(3) is None
    assert drops.deaf_s(3) == 0
    assert caplog.messages[1:] == ["cell 3 takes frames again, after 5 s and 5 frames that it dropped"]
    drops.dropped(3, 80, reason)
    assert len(caplog.messages) == 3, "another time is said again"


@pytest.mark.parametrize("reason", OF_ANOTHER)
def test_frames_of_a_former_framer_make_it_deaf_when_no_others_come(
    reason: IgnoredFrame, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    drops = drops_of(clock)
    for _ in range(50):  # a takeover, and the new one's among them
        drops.dropped(0, 7, reason)
        clock.now_s += ANOTHER_S_MAX / 2
        drops.took(0)
    assert not caplog.messages
    while drops.of(0) is None:
        drops.dropped(0, 8, reason)
        clock.now_s += 1
        assert clock.now_s < 1_000_000
    assert drops.deaf_s(0) == ANOTHER_S_MAX
    drops.dropped(0, 9, reason)
    assert len(caplog.messages) == 1
    assert "of a" in caplog.messages[0]


def test_what_leaves_out_ticks_counts_at_once_among_frames_of_others() -> None:
    drops = drops_of(Clock())
    drops.dropped(0, 7, IgnoredFrame.OLD_EPOCH)
    assert drops.of(0) is None
    drops.dropped(0, 8, IgnoredFrame.GAP)
    drops.dropped(0, 9, IgnoredFrame.OLD_EPOCH)
    found = drops.of(0)
    assert found is not None
    assert found.reason is IgnoredFrame.GAP


def test_frames_of_ticks_that_it_had_tell_nothing() -> None:
    clock = Clock()
    drops = drops_of(clock)
    for _ in range(100):
        drops.dropped(0, 7, IgnoredFrame.REPEATED)
        clock.now_s += 1
    assert drops.of(0) is None
    drops.dropped(0, 8, IgnoredFrame.GAP)
    drops.dropped(0, 9, IgnoredFrame.REPEATED)
    assert drops.of(0) is not None
    drops.forget([0, 1])
    assert drops.of(0) is None
