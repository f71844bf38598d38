"""Faust's agent, with an end that is no fault."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import faust


class Agent(faust.Agent):  # type: ignore[misc]  # faust is untyped here
    """While it ends, Faust's own calls a supervisor that it has put away, and logs a traceback of that."""

    async def _execute_actor(self, coro: Awaitable[Any], aref: Any) -> None:
        try:
            await super()._execute_actor(coro, aref)
        except AttributeError:
            if self.supervisor is not None:
                raise
