"""Sizes that the engine has for speed are other ones in each life: what depends on where a batch ends then shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exness_streams.engine import cells, framer, history, history_partition

if TYPE_CHECKING:
    from protocol.world import World


@contextmanager
def varied(world: World) -> Iterator[None]:
    """The slices of a life's knobs, and no slices where it says 500."""
    size = world.knobs.slice_max
    changed = [
        (cells, "SLICE_RECORDS_MAX", size),
        (framer, "SLICE_TICKS_MAX", size),
        (history, "SLICE_EVENTS_MAX", size),
        (history_partition, "SLICE_EVENTS_MAX", size),
        (history, "UNCOMMITTED_EVENTS_MAX", 10 * size),
        (framer, "BACKLOG_TICKS", 20),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in changed:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
