"""The turns of the event loop: what can go on without time passing, has gone on after them."""

from __future__ import annotations

import asyncio


async def turns(count: int = 20) -> None:
    """Let all that can go on go on. Before it, what was only just told to end has not ended yet."""
    for _ in range(count):
        await asyncio.sleep(0)
