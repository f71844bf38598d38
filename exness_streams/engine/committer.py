"""Commits what cells have folded, and tells the topic of it (docs/decisions/0025)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from exness_streams.domain.events import Event
from exness_streams.domain.plain_numbers import encoders
from exness_streams.engine.ahead import Bounds, Part
from exness_streams.engine.commits import TableCommits
from exness_streams.engine.event_counts import counts_of
from exness_streams.engine.owned_cell import OwnedCell
from exness_streams.engine.paced_commits import PacedCommits
from exness_streams.messages import EVENTS_TOPIC, headers_of, public_record
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease

PACE_S = 0.02


class Committer(PacedCommits[OwnedCell]):
    """Of all cells of a worker. counters: events that are in the log."""

    def __init__(
        self,
        commits: TableCommits,
        events_topic: str,
        bounds: Bounds,
        is_here: Callable[[OwnedCell, Lease], bool],
        *,
        pace_s: float = PACE_S,
    ) -> None:
        super().__init__(commits, bounds, is_here, pace_s)
        self.counters: Counter[str] = Counter()
        self._events_topic = events_topic

    def may_begin(self, owned: OwnedCell) -> bool:
        """A cell that came back is looked at first: recovery may be bringing another owner's entries."""
        return super().may_begin(owned) and owned.ready_at is not None

    def beside(self, part: Part) -> Sequence[LogRecord]:
        """Its events."""
        return [public_event(event, self._events_topic) for event in part.events]

    def committed(self, owned: OwnedCell, part: Part) -> None:
        """Count them: only now, for what was folded and not committed is folded again, here or elsewhere."""
        for event in part.events:
            self.counters.update(counts_of(event))

    def before_close(self, owned: OwnedCell) -> None:
        """Quotes, and how far the journal was read."""
        owned.hand_over_rest()


def public_event(event: Event, topic: str = EVENTS_TOPIC) -> LogRecord:
    """An event as a record of its topic."""
    key, value = event.account_id.encode(), public_record(encoders["number"].encode(event))
    return LogRecord(topic, key, value, headers=headers_of(type(event)))
