"""What the cells of a worker tell of the market, and of its clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from exness_streams.engine.seen_market import SeenMarket


class Seen(SeenMarket):
    """Of some cells, whose last frame came so long ago."""

    def __init__(self, *cells: Any, age_s: float | None = 0.0) -> None:
        self._cells, self._age_s = list(cells), age_s

    def all_cells(self) -> list[Any]:
        return self._cells

    def frame_age_s(self) -> float | None:
        return self._age_s


def cell(**known: Any) -> Any:
    return SimpleNamespace(**{"quotes": {}, "market_ms": 0, "days": {}, "source": None, **known})


def test_without_cells_nothing_is_known() -> None:
    seen = Seen()
    assert (seen.quotes, seen.market_ms, seen.days, seen.source) == ({}, 0, {}, None)
    assert seen.clock_ahead_ms(5) is None


def test_one_cell_tells_for_all_what_it_has_heard() -> None:
    seen = Seen(cell(quotes={"a": 1}, market_ms=7), cell(quotes={"b": 2}, days={"a": 3}, source="simulated"))
    assert (seen.quotes, seen.market_ms, seen.days, seen.source) == ({"a": 1}, 7, {"a": 3}, "simulated")


@pytest.mark.parametrize(
    ("now_ms", "market_ms", "age_s", "ahead_ms"),
    [
        (100_000, 100_000, 0.0, 0),
        (100_900, 100_000, 0.9, 0),
        (40_000, 100_000, 0.0, -60_000),
        (40_900, 100_000, 0.9, -60_000),
        (160_000, 100_000, 0.0, 60_000),
        (160_000, 100_000, 60.0, None),  # frames have stopped: that is another thing
        (100_000, 100_000, None, None),
        (100_000, 0, 0.0, None),
    ],
)
def test_a_clock_is_held_against_the_newest_frame(
    now_ms: int, market_ms: int, age_s: float | None, ahead_ms: int | None
) -> None:
    assert Seen(cell(market_ms=market_ms), age_s=age_s).clock_ahead_ms(now_ms) == ahead_ms
