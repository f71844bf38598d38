"""Sizes that the engine has for speed are other ones in each life: what depends on where a batch ends then shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exness_streams.domain import rules
from exness_streams.domain.cell import Cell
from exness_streams.engine import ahead, cells, framer, history, history_partition, loading, told_events
from protocol.loop import process

if TYPE_CHECKING:
    from protocol.world import World


def _rules_known() -> int:
    """By the release of the process that asks."""
    return getattr(process.get(), "rules_known", rules.NEWEST)


def _releases(world: World) -> list[tuple[Any, str, Any]]:
    """A worker of the release before knows the first rules alone. Until the upgrade nobody writes of others."""
    if not world.begins_old:
        return []
    change, load = rules.after_change, Cell.load

    def after_change(partition: int, current: int, wanted: int) -> int:
        if wanted > _rules_known():
            raise rules.UnknownRules(partition, wanted)
        return change(partition, current, wanted)

    def load_cell(self: Cell, *args: Any) -> None:
        load(self, *args)
        if self.rules > _rules_known():
            raise rules.UnknownRules(self.partition, self.rules)

    async def append_changes(*_: Any) -> None:
        return None

    return [
        (rules, "after_change", after_change),
        (Cell, "load", load_cell),
        (loading, "append_changes", append_changes),
    ]


@contextmanager
def varied(world: World) -> Iterator[None]:
    """The slices of a life's knobs, and no slices where it says 500."""
    size = world.knobs.slice_max
    changed = [
        (cells, "SLICE_RECORDS_MAX", size),
        (ahead, "PART_RECORDS_MAX", size),
        (framer, "SLICE_TICKS_MAX", size),
        (history, "SLICE_EVENTS_MAX", size),
        (history_partition, "SLICE_EVENTS_MAX", size),
        (told_events, "FOLD_MAX", size),
        (told_events, "TOLD_MAX", 10 * size),
        (framer, "BACKLOG_TICKS", 20),
        *_releases(world),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in changed:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
