"""Who hears at once what the cells of this process have folded: histories, and the live stream (api/stream/hub.py)."""

from __future__ import annotations

from collections.abc import Sequence

from exness_streams.domain.events import Event
from exness_streams.domain.identity import Ended


class EventSink:
    """This one does nothing. Called within the fold: never waits."""

    def folded(self, partition: int, events: Sequence[Event]) -> None:
        """Records were folded: their events, and perhaps newer quotes. `Cell.account` shows the rows afterwards."""

    def ended(self, ended: Ended) -> None:
        """Sessions or API keys are over: what they opened is to be closed."""

    def dropped(self, partition: int) -> None:
        """The cell is another worker's from now on, or is loaded anew."""


class EventSinks(EventSink):
    """Several of them, told one after the other."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def folded(self, partition: int, events: Sequence[Event]) -> None:
        for sink in self._sinks:
            sink.folded(partition, events)

    def ended(self, ended: Ended) -> None:
        for sink in self._sinks:
            sink.ended(ended)

    def dropped(self, partition: int) -> None:
        for sink in self._sinks:
            sink.dropped(partition)
