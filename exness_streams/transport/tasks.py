"""Tasks that are given up, and parts of one work that end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

CANCEL_AGAIN_S = 5.0

_Result = TypeVar("_Result")


async def given_up(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it has ended, whatever comes of it.

    It is cancelled until it ends. One cancellation may get lost: `asyncio.wait_for`, up to Python 3.11, drops one that
    comes together with the result, and libraries have such places, too.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()  # looked at, so that nobody complains


async def first_to_end(*parts: Awaitable[_Result]) -> _Result:
    """Let parts run until the first of them ends, and give up the others. What it gave, or raises what it raised.

    Of several that end at once the first one named counts, unless another one has failed.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        results = [task.result() for task in tasks if task in done]
        return results[0]
    finally:
        for task in tasks:
            await given_up(task)
