"""Faust's table manager, mended: `App(TableManager=...)` takes it, on both transports."""

from __future__ import annotations

from typing import Any

from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.recovery import RebalanceAgain
from faust.tables.recovery import Recovery as FaustRecovery
from faust.types import TP
from mode.utils.queues import ThrowableQueue

from exness_streams.transport.faults import LogFault
from exness_streams.transport.table import AWAY_S_MAX, CellTable

HEARTBEATS = 12
"""In a session's time-out. Members hear of a rebalance by a heartbeat, and all rest until the last has heard."""


class ChangelogQueue(ThrowableQueue):  # type: ignore[misc]  # mode is untyped here
    """Keeps its events when the flow goes on, and gives out none that was read before the newest rebalance.

    Faust empties this queue when the flow goes on. At the end of recovery that is too late: records of standbys are
    in it by then, which nobody reads again, and a table taken over later lacked them for good.
    """

    def __init__(self, app: Any, maxsize: int = 0) -> None:
        super().__init__(maxsize, flow_control=app.flow_control, clear_on_resume=False)
        self._app = app

    async def get(self) -> Any:
        while True:
            event = await super().get()
            if event.message.generation_id == self._app.consumer_generation_id:
                return event


class LogBehindTable(LogFault):
    """A changelog ends before what this worker's table was built from."""


class Recovery(FaustRecovery):  # type: ignore[misc]
    """Looks at what it begins with. Faust's own words for a changelog that was cut say to remove the table.

    A recovery that another rebalance breaks off is never taken for a complete one.
    """

    _begun_in = 0
    """Which of the app's rebalances the newest recovery belongs to."""

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        if generation_id == self.app.consumer_generation_id:  # else Faust waits for the next one
            self._begun_in = self.app.rebalancing_count
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    @property
    def is_current(self) -> bool:
        """Whether no rebalance has begun since the one that the newest recovery belongs to."""
        is_current: bool = self.app.rebalancing_count == self._begun_in
        return is_current

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Faust's, which comes here, too, when a rebalance ends the wait for a table's last records.

        The cells would then be loaded from a part of their tables, against offsets of a later owner: as if records
        had been lost.
        """
        is_stale = self.app.consumer_generation_id != generation_id or not self.is_current
        if is_stale or self.signal_recovery_start.is_set():
            self.log.info("Not complete: another rebalance has begun, and its recovery comes here again")
            return
        await super().on_recovery_completed(generation_id)

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        starts = await consumer.earliest_offsets(*tps) if tps else {}
        for tp in tps:
            persisted, table = destination[tp], self.tp_to_table[tp]
            if isinstance(table, CellTable):
                if persisted is not None:
                    is_active = title == "active"
                    last = self.active_highwaters[tp] if is_active else await _last_of(consumer, table, tp, persisted)
                    persisted = destination[tp] = self._fitting(table, tp, persisted, last)
                table.take_doubts(tp.partition, persisted, starts.get(tp) or 0)
            if title == "active":
                self._check_end(tp, persisted, self.active_highwaters[tp])
        await super()._build_offsets(consumer, tps, destination, title)

    async def _seek_offsets(self, consumer: Any, tps: set[TP], offsets: Any, title: str) -> None:
        """Faust's. RebalanceAgain when the next rebalance has begun to fill these offsets anew: they are None until its
        recovery has looked, and to seek there would end the worker.
        """
        if any(offsets[tp] is None for tp in tps):
            raise RebalanceAgain
        await super()._seek_offsets(consumer, tps, offsets, title)

    def _fitting(self, table: CellTable, tp: TP, persisted: int, last: int) -> int | None:
        """Where to go on from: nowhere when what is kept does not fit its log, and was put aside."""
        why = table.misfit(tp, persisted, last)
        if why is None:
            return persisted
        table.put_aside(tp.partition, why)
        return None

    async def _build_highwaters(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        await super()._build_highwaters(consumer, tps, destination, title)
        if title == "standby":
            for tp in tps:
                self._check_standby(tp, self.tp_to_table[tp].persisted_offset(tp), destination[tp])

    def _check_standby(self, tp: TP, persisted: int | None, last: int) -> None:
        """A view's is put aside, but its changelog was sought already: the next start reads that from its beginning."""
        table = self.tp_to_table[tp]
        if isinstance(table, CellTable) and table.is_view and persisted is not None and persisted > last:
            why = table.misfit(tp, persisted, last)
            table.put_aside(tp.partition, str(why))
            raise LogBehindTable(
                f"a copy of partition {tp.partition} of {table.name} {why}. This worker must start again"
            )
        self._check_end(tp, persisted, last)

    def _check_end(self, tp: TP, persisted: int | None, last: int) -> None:
        if persisted is not None and persisted > last:
            raise LogBehindTable(
                f"partition {tp.partition} of {tp.topic} ends at record {last}, but the table here was built from it "
                f"up to record {persisted}: the topic was deleted, made anew or cut, or this directory is of another "
                "log. Restore the topic from a backup (docs/operations.md, Lost state), and keep this directory until "
                "then: it may be the last copy"
            )


async def _last_of(consumer: Any, table: CellTable, tp: TP, persisted: int) -> int:
    """The last record of a standby's changelog, which Faust asks for only later; only where it matters."""
    if table.away_s(tp.partition) <= AWAY_S_MAX:
        return persisted
    last: int = (await consumer.highwaters(tp))[tp] - 1
    return last


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Starts at once (Faust's own first sleeps a second, for tables that agents might still add)."""

    _changelog_queue: Any
    _recovery: Recovery | None

    @property
    def changelog_queue(self) -> Any:
        """The events of all changelogs."""
        if self._changelog_queue is None:
            self._changelog_queue = ChangelogQueue(self.app, self.app.conf.stream_buffer_maxsize)
        return self._changelog_queue

    @property
    def recovery(self) -> Recovery:
        """What recovers the tables."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
