"""Partitions that stand still while records wait: said once, with how far behind and since when, and once it is over.

Faust's own looks at this know only its commits and single records, and call a healthy engine stuck: they are off
(transport/kafka/faust_driver.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from faust.types import TP

from exness_streams.engine.engine import Engine
from exness_streams.engine.history import NotOwned
from exness_streams.engine.lag import event_lags, journal_lags, tick_lags
from exness_streams.transport.faults import LogFault

log = logging.getLogger(__name__)

LOOK_S_MAX = 5.0


class Standing(NamedTuple):
    """Where a partition of an input stands. moved: is another whenever it has come on. behind: records."""

    topic: str
    partition: int
    moved: tuple[int, ...]
    behind: int
    is_waiting: bool


def standings(engine: Engine) -> Iterator[Standing]:
    """One for each partition of the inputs that is worked on here."""
    for topic, partition, moved, behind in _progress(engine):
        is_waiting = engine.app.consumer.is_waiting(TP(topic, partition))
        if topic == engine.topics.events:
            is_waiting |= engine.history.uncommitted(partition) > 0  # they were taken, and wait for the log
        elif topic == engine.topics.journal:
            is_waiting |= engine.cells.ahead_of(partition)[0] > 0
        yield Standing(topic, partition, moved, behind, is_waiting)


def _progress(engine: Engine) -> Iterator[tuple[str, int, tuple[int, ...], int]]:
    topics = engine.topics
    for lag in journal_lags(engine):
        with suppress(LogFault, KeyError):  # given up a moment ago
            known = engine.cells.progress(lag.partition)
            yield topics.journal, lag.partition, (known.next_offset, known.committed), lag.unfolded or lag.uncommitted
    events = dict(event_lags(engine))
    for partition, next_offset, _ in engine.history.progress():
        yield topics.events, partition, (next_offset,), events.get(partition, 0)
    with suppress(NotOwned):
        owned = engine.candles.owned
        behind = dict(tick_lags(engine)).get(owned.partition, 0)
        yield topics.market_updates, owned.partition, (owned.next_offset,), behind


@dataclass
class _Seen:
    moved: tuple[int, ...]
    since_s: float
    is_said: bool = False


class StallWatch:
    """Looks at every partition again and again. after_s: how long one may stand still while records wait."""

    def __init__(
        self,
        look: Callable[[], Iterator[Standing]],
        after_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._look = look
        self._after_s = after_s
        self._clock_s, self._wall_s = clock_s, wall_s
        self._seen: dict[tuple[str, int], _Seen] = {}

    async def run(self) -> None:
        """Runs for ever."""
        while True:
            self.look()
            await asyncio.sleep(min(LOOK_S_MAX, self._after_s / 4))

    def look(self) -> None:
        """Once. A partition that went to another worker is forgotten."""
        now_s, before, self._seen = self._clock_s(), self._seen, {}
        for at in self._look():
            seen = before.get((at.topic, at.partition))
            if seen is None or seen.moved != at.moved or not at.is_waiting:
                if seen is not None and seen.is_said:
                    stood_s = now_s - seen.since_s
                    log.info("partition %d of %s moves again, after %.0f s", at.partition, at.topic, stood_s)
                seen = _Seen(at.moved, now_s)
            elif not seen.is_said and now_s - seen.since_s >= self._after_s:
                seen.is_said = True
                self._say(at, now_s - seen.since_s)
            self._seen[at.topic, at.partition] = seen

    def _say(self, at: Standing, stood_s: float) -> None:
        since = datetime.fromtimestamp(self._wall_s() - stood_s, tz=timezone.utc)
        log.warning(
            "partition %d of %s stands still since %s: %d records wait, from %d on (docs/operations.md, A partition "
            "that stands still)",
            at.partition,
            at.topic,
            since.strftime("%H:%M:%S UTC"),
            at.behind,
            at.moved[0],
        )
