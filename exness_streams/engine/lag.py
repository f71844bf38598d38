"""How far this worker is behind the ends of its topics, as it knows them: no broker is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from faust.types import TP

from exness_streams.engine.engine import Engine
from exness_streams.transport.faults import LogFault


class JournalLag(NamedTuple):
    """Records of a partition that are not committed yet; of them, those that are not even folded."""

    partition: int
    uncommitted: int
    unfolded: int


def journal_lags(engine: Engine) -> Iterator[JournalLag]:
    """One for each cell owned here."""
    for partition in engine.cells.partitions:
        # A scrape may come while a cell is being taken or given up: then there is nothing to say of it.
        with suppress(LogFault):
            known = engine.cells.progress(partition)
            end = max(known.journal_end, engine.app.consumer.highwater(TP(engine.topics.journal, partition)))
            yield JournalLag(partition, max(0, end - known.committed), max(0, end - known.next_offset))


def tick_lags(engine: Engine) -> Iterator[tuple[int, int]]:
    """(partition, ticks that are not framed yet), of the partitions framed here.

    On Kafka the markers of transactions count as well: at rest that is 1.
    """
    for partition, next_offset in list(engine.framer.next_offsets.items()):
        with suppress(LogFault):
            end = engine.app.consumer.highwater(TP(engine.topics.market_updates, partition))
            yield partition, max(0, end - next_offset)


def event_lags(engine: Engine) -> Iterator[tuple[int, int]]:
    """(partition, events that are in no history yet), of the partitions owned here.

    On Kafka the markers of transactions count as well, as for ticks.
    """
    for partition, next_offset, known_end in engine.history.progress():
        with suppress(LogFault):
            end = max(known_end, engine.app.consumer.highwater(TP(engine.topics.events, partition)))
            yield partition, max(0, end - next_offset)
