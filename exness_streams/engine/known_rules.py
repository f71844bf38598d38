"""By which rules all cells go, whoever owns them: a frame goes to every cell, and one worker's cells tell of their own.

Each transaction of a cell writes its meta, with the rules that its journal had come to, into the table's changelog. The
rules only go up: whatever is appended to that journal from now on is folded by those or later ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from exness_streams.domain import rules
from exness_streams.domain.codec import decode_meta
from exness_streams.engine.framer_state import Seen, seen_as
from exness_streams.transport.faults import LogFault

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""How often the log is asked at most, while some cell's rules are not known, or not those that are waited for."""

Metas = Callable[[], Awaitable[Mapping[int, bytes | None]]]
"""The newest meta of each partition of the accounts' changelog, as committed; none where there is none. LogFault."""


class KnownRules:
    """partitions: how many cells there are. wanted: with these known, nobody is asked any more."""

    def __init__(
        self,
        metas: Metas,
        partitions: int,
        *,
        wanted: int = rules.NEWEST,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metas, self._partitions, self._wanted, self._clock_s = metas, partitions, wanted, clock_s
        self._known = 0
        self._again_at_s = float("-inf")
        self._is_told = False

    async def seen(self) -> Seen:
        """What all cells have seen, as committed. LogFault."""
        found = [decode_meta(meta) for meta in (await self._metas()).values() if meta is not None]
        return seen_as(found, self._partitions)

    async def look(self) -> int:
        """The rules by which every cell goes at least; 0: not known. A log that can't tell is asked again later."""
        if self._known < self._wanted and self._clock_s() >= self._again_at_s:
            try:
                found = [decode_meta(meta).rules for meta in (await self._metas()).values() if meta is not None]
            except (LogFault, ValueError, msgspec.MsgspecError) as fault:
                if not self._is_told:
                    log.warning("by which rules the cells go is not known, so that ticks may go out singly: %s", fault)
                self._is_told = True
            else:
                self._known = max(self._known, min(found)) if len(found) == self._partitions else self._known
            self._again_at_s = self._clock_s() + AGAIN_S
        return self._known
