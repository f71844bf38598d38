"""The turns of the event loop: what can go on without time passing, has gone on after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def turns(count: int = 20) -> None:
    """Let all that can go on go on. Before it, what was only just told to end has not ended yet."""
    for _ in range(count):
        await asyncio.sleep(0)


async def at_rest(progress: Callable[[], int], count: int = 500) -> int:
    """How far something has come once it goes no farther: so many turns in which it did not. All its parties, and the
    sockets between them, belong to this loop: what could go on would have."""
    before = -1
    while before != (before := progress()):
        await turns(count)
    return before
