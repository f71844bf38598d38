"""What the next framer makes of what the one before it has left."""

from __future__ import annotations

import msgspec
import pytest

from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta, encode
from exness_streams.engine.framer_state import (
    AHEAD_TICKS_MAX,
    AHEAD_TICKS_MIN,
    Clocks,
    Found,
    FramerState,
    Missing,
    Pace,
    Seen,
    decode_framer_state,
    seen_by,
    take_over,
)

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("found", "framed_end", "seen", "state", "first", "missing"),
    [
        # What a log without a word of its own has promised may have been framed.
        (Found(0, FramerState(7, 40, 90), 0, 60, 40), None, Seen(), FramerState(8, 40, 90), 40, Missing.NOTHING),
        # A log that writes frames and their end in one says it better than the state, which is a second old.
        (Found(0, FramerState(7, 40, 40), 0, 60, 40), 55, Seen(), FramerState(8, 55, 55), 55, Missing.NOTHING),
        # Nothing known: of a release that promised nothing, all that is there may have been framed.
        (Found(0, None, 0, 60, 40), None, Seen(), FramerState(NOW_MS, 40, 60), 40, Missing.NOTHING),
        (Found(0, None, 0, 60, 40), 55, Seen(), FramerState(NOW_MS, 55, 55), 55, Missing.NOTHING),
        (Found(0, None, 5, 60, None), None, Seen(), FramerState(NOW_MS, 5, 60), 5, Missing.NOTHING),
        (Found(0, None, 0, 0, None), 0, Seen(), FramerState(NOW_MS, 0, 0), 0, Missing.NOTHING),
        # The cells know of an epoch that the table has lost.
        (Found(0, FramerState(7, 4, 9), 0, 6, 4), None, Seen(30, 0, 9), FramerState(31, 4, 9), 4, Missing.NOTHING),
        # Trimmed: up to the promise, and beyond it.
        (Found(0, FramerState(7, 40, 90), 60, 99, 40), None, Seen(), FramerState(8, 40, 90), 60, Missing.TRIMMED),
        (Found(0, FramerState(7, 40, 90), 95, 99, 40), None, Seen(), FramerState(8, 40, 95), 95, Missing.TRIMMED),
        (Found(0, FramerState(7, 40, 40), 95, 99, 40), 40, Seen(), FramerState(8, 40, 95), 95, Missing.TRIMMED),
        # All of them trimmed: where the topic goes on.
        (Found(0, FramerState(7, 40, 90), 60, 60, 40), None, Seen(), FramerState(8, 40, 90), 60, Missing.TRIMMED),
        # Made anew: from its beginning, wherever that is, and nobody has framed any of it.
        (Found(0, FramerState(7, 40, 90), 0, 3, 40), None, Seen(), FramerState(8, 0, 0, 1), 0, Missing.MADE_ANEW),
        (Found(0, FramerState(7, 40, 90, 1), 2, 3, 40), None, Seen(), FramerState(8, 0, 2, 2), 2, Missing.MADE_ANEW),
        (Found(0, FramerState(7, 40, 40), 0, 3, 40), 40, Seen(), FramerState(8, 0, 0, 1, 0, 40), 0, Missing.MADE_ANEW),
        # With the topic went the group's offset: cells have seen more than there is now.
        (Found(0, FramerState(7, 2, 90), 0, 3), None, Seen(7, 0, 4), FramerState(8, 0, 0, 1), 0, Missing.MADE_ANEW),
        (Found(0, FramerState(7, 2, 90), 0, 3, 2), None, Seen(7, 0, 4), FramerState(8, 2, 90), 2, Missing.NOTHING),
        # The same, and its framer died before it wrote: the log's word is still of the topic before.
        (
            Found(0, FramerState(8, 0, 0, 1, 0, 40), 0, 99),
            40,
            Seen(),
            FramerState(9, 0, 0, 1, 0, 40),
            0,
            Missing.NOTHING,
        ),
        (
            Found(0, FramerState(8, 0, 0, 1, 0, 40), 0, 99),
            7,
            Seen(),
            FramerState(9, 7, 7, 1, 0, 40),
            7,
            Missing.NOTHING,
        ),
        # Made anew, and nobody knows but the cells, since the table was lost, too.
        (Found(0, None, 0, 3, 3), None, Seen(6, 0, 70), FramerState(NOW_MS, 0, 0, 1), 0, Missing.MADE_ANEW),
        (Found(0, None, 0, 3, 3), None, Seen(6, 4, 2), FramerState(NOW_MS, 3, 3, 4), 3, Missing.NOTHING),
        # Rules are known by the cells that are near, or from those of the framer before.
        (Found(0, FramerState(7, 4, 9), 0, 9), None, Seen(2, 0, 4, 2), FramerState(8, 4, 9, 0, 2), 4, Missing.NOTHING),
        (Found(0, FramerState(7, 4, 9, 0, 2), 0, 9), None, Seen(), FramerState(8, 4, 9, 0, 2), 4, Missing.NOTHING),
    ],
)
def test_a_takeover(
    found: Found, framed_end: int | None, seen: Seen, state: FramerState, first: int, missing: Missing
) -> None:
    assert take_over(found, framed_end, seen, NOW_MS) == (state, first, missing)


@pytest.mark.parametrize("framed_end", [None, 40])
@pytest.mark.parametrize(
    "found",
    [
        Found(0, FramerState(7, 40, 90), 60, 99, 40),
        Found(0, FramerState(7, 40, 90), 95, 99, 40),
        Found(0, FramerState(7, 40, 90), 0, 3, 40),
        Found(0, FramerState(7, 40, 90, 2), 3, 5, 20),
        Found(0, FramerState(7, 40, 90, 2), 3, 50, 20),
    ],
)
def test_who_takes_over_from_one_that_died_at_once_begins_with_the_same_tick(
    found: Found, framed_end: int | None
) -> None:
    once = take_over(found, framed_end, Seen(), NOW_MS)
    again = take_over(found._replace(state=once.state), framed_end, Seen(), NOW_MS)
    assert again.first == once.first
    assert again.state == msgspec.structs.replace(once.state, epoch=once.state.epoch + 1)


def test_a_state_is_kept_as_it_is() -> None:
    state = FramerState(8, 4, 9, 20, 2)
    assert decode_framer_state(encode(state)) == state
    assert decode_framer_state(b'{"epoch":8,"framed":4,"promised":9,"of_a_later_release":1}') == FramerState(8, 4, 9)


def test_a_promise_reaches_ahead_by_the_pace_of_the_ticks() -> None:
    pace = Pace(1_000, 10.0)
    assert pace.ahead(1_000, 10.0) == AHEAD_TICKS_MIN
    assert pace.ahead(3_000, 11.0) == 6_000
    assert pace.ahead(3_100, 11.1) == 6_000, "a moment tells nothing"
    assert pace.ahead(3_000, 12.0) == 3_000, "down by and by"
    assert pace.ahead(1_000_000, 13.0) == AHEAD_TICKS_MAX
    for second in range(14, 40):
        pace.ahead(1_000_000, float(second))
    assert pace.ahead(1_000_000, 40.0) == AHEAD_TICKS_MIN


def test_clocks_part_when_one_is_set_or_the_machine_sleeps() -> None:
    clocks = Clocks(NOW_MS, 5.0)
    assert clocks.parted_s(NOW_MS + 60_000, 65.0) == 0
    assert clocks.parted_s(NOW_MS + 62_500, 65.0) == 2.5
    assert clocks.parted_s(NOW_MS + 57_500, 65.0) == -2.5


def test_what_cells_have_seen_is_the_most_of_each_and_the_rules_of_all() -> None:
    def cell(**told: int) -> Cell:
        made = Cell(0, lambda key: None)
        made.load(0, [], [], meta=Meta(0, 0, **told))
        return made

    ahead = cell(framer_epoch=9, ticks_end=40)
    anew = cell(framer_epoch=8, ticks_end=3, ticks_restarts=1)
    assert seen_by([ahead, anew], 2) == Seen(9, 1, 3, 1)
    assert seen_by([ahead, anew], 3) == Seen(9, 1, 3, 0), "another worker's cells may go by other rules"
    assert seen_by([cell()], 1) == Seen(0, 0, 0, 1)
    assert seen_by([], 1) == Seen()
