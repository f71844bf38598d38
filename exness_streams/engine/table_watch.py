"""Whether the tables' files are still those that were opened, beside their log: RocksDB itself goes on without them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from exness_streams.transport.faults import TableFault
from exness_streams.transport.table import CellTable

LOOK_S = 2.0


async def watch_tables(app: Any, tables: Sequence[CellTable]) -> None:
    """End the app once a table was removed or replaced. Runs for ever.

    Nothing that was acknowledged depends on them, so this need not be before anything else.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            for table in tables:
                table.look()
        except TableFault as fault:
            await app.crash(fault)
            return
