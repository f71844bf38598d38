"""Faust's table manager without its wait: `App(TableManager=...)` takes it, on both transports."""

from __future__ import annotations

from faust.tables.manager import TableManager as FaustTableManager


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Starts at once. Faust's own first sleeps a second, for tables that agents might still add."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()
