"""What an event adds to the counters of a worker (api/metrics.py shows them)."""

from __future__ import annotations

from collections.abc import Mapping

from exness_streams.domain.events import AccountReset, Event, PositionClosed, PositionOpened

OPENED, REDUCED = "opened", "reduced"
DROPPED = "reset"
"""Why a position is gone that its account's reset dropped, beside the reasons of PositionClosed."""


def closed(reason: str) -> str:
    """The counter of positions that are gone for a reason."""
    return f"closed {reason}"


def of_type(name: str) -> str:
    """The counter of the events of a type."""
    return f"event {name}"


def counts_of(event: Event) -> Mapping[str, int]:
    """Counter -> how much. A position counts once when it is opened and once when all of it is gone."""
    counts = {of_type(type(event).__name__): 1}
    if isinstance(event, PositionOpened):
        counts[OPENED] = 1
    elif isinstance(event, PositionClosed):
        counts[REDUCED if event.remaining is not None else closed(event.reason)] = 1
    elif isinstance(event, AccountReset):
        counts[closed(DROPPED)] = len(event.positions_dropped)
    return counts
