"""When frames came to the cells, by a clock of this process."""

from __future__ import annotations

from exness_streams.engine.frame_times import FrameTimes


def test_a_cell_tells_how_long_no_frame_came() -> None:
    now_s = [50.0]
    times = FrameTimes(lambda: now_s[0])
    assert times.age_s(0) is None
    times.came(0)
    now_s[0] += 3.5
    times.came(1)
    assert (times.age_s(0), times.age_s(1)) == (3.5, 0.0)
    times.came(0)
    assert times.age_s(0) == 0.0


def test_a_cell_that_is_loaded_anew_has_had_none() -> None:
    times = FrameTimes(lambda: 1.0)
    times.came(0)
    times.came(1)
    times.forget([0, 7])
    assert (times.age_s(0), times.age_s(1)) == (None, 0.0)
