"""Faust's table manager, mended: `App(TableManager=...)` takes it, on both transports."""

from __future__ import annotations

from typing import Any

from faust.tables.manager import TableManager as FaustTableManager
from mode.utils.queues import ThrowableQueue

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


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Starts at once (Faust's own first sleeps a second, for tables that agents might still add)."""

    _changelog_queue: Any

    @property
    def changelog_queue(self) -> Any:
        """The events of all changelogs."""
        if self._changelog_queue is None:
            self._changelog_queue = ChangelogQueue(self.app, self.app.conf.stream_buffer_maxsize)
        return self._changelog_queue

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
