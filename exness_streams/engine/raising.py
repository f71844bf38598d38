"""Raising the rules of the journal: in a new one at once, on an embedded log at the start, each partition by a record.

On Kafka `exness-streams upgrade` does it, once every worker knows them (processes/upgrade.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from exness_streams.domain import codec, rules
from exness_streams.domain.codec import RulesChanged
from exness_streams.engine.checkpoint_keeper import Write, write_beside
from exness_streams.engine.engine import Engine

log = logging.getLogger(__name__)

RETRY_S = 600.0


def changes(current: int, wanted: int, epoch: int = 0) -> list[bytes]:
    """The records that lead from rules to later ones: one at a time, so that each release meets its own.

    epoch: of the ticks' owner by now, where a former one may still have a frame under way.
    """
    now_ms = time.time_ns() // 1_000_000
    return [codec.encode(RulesChanged(now_ms, number, epoch)) for number in range(current + 1, wanted + 1)]


async def append_changes(app: Any, partition: int, current: int, epoch: int = 0) -> None:
    """Write what leads to the newest rules to a partition of the journal, durably. epoch: as in changes. LogFault."""
    for value in changes(current, rules.NEWEST, epoch):
        await (await app.producer.send(app.named_topics.journal, None, value, partition, None, None))


class RulesRaiser:
    """Brings an embedded log's journal to the newest rules, once a checkpoint proves what was made by those before.

    Until then the platform works by the old ones, which it knows. `refused` says why it still does.
    """

    def __init__(self, engine: Engine, write: Write = write_beside, retry_s: float = RETRY_S) -> None:
        self._engine = engine
        self._write = write
        self._retry_s = retry_s
        self.refused = ""

    async def run(self) -> None:
        """Ends when every partition goes by the newest rules. LogFault."""
        await self._engine.cells.ready.wait()
        while behind := self._behind():
            await self._raise(behind)
            if self.refused:
                await asyncio.sleep(self._retry_s)
            else:
                return

    def _behind(self) -> dict[int, int]:
        """The rules in force, of the partitions where they are not the newest."""
        cells = [self._engine.cells.cell(partition) for partition in self._engine.cells.partitions]
        return {cell.partition: cell.rules for cell in cells if cell is not None and cell.rules < rules.NEWEST}

    async def _raise(self, behind: dict[int, int]) -> None:
        try:
            refused = await self._write(self._engine.settings.data_dir)
        except OSError as error:  # no process can be started
            refused = str(error)
        if refused and refused != self.refused:
            log.error("the journal stays by its old rules, for no checkpoint proves what they made: %s", refused)
        self.refused = refused
        if refused:
            return
        for partition, current in behind.items():
            await append_changes(self._engine.app, partition, current)
        log.warning("the journal goes by rules %d from now on, in %d partitions", rules.NEWEST, len(behind))
