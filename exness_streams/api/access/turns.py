"""Who has much to ask takes turns with itself, so that everybody else is served between its requests.

Without that a step of the event loop would answer all that one client has asked at once, and an order, which takes
several steps, would wait for all of it at each.
"""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 4
"""Requests of one account or key, reads and changes apart, that are being answered. Others wait in their order."""


class _Queue:
    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.busy = 0
        self.waiting: deque[asyncio.Future[None]] = deque()


class Turns:
    """Queues by name; a name without requests takes no memory."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._queues: dict[str, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    async def take(self, name: str) -> Turn:
        """Wait for a turn; it is over with `end`. Cancelled while it waits, it is as if nobody had asked."""
        queue = self._queues.setdefault(name, _Queue())
        if queue.busy < self._at_once:
            queue.busy += 1
            return Turn(self, name)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back(name)  # it was given just then
            raise
        return Turn(self, name)

    def give_back(self, name: str) -> None:
        """The next one that waits has the turn."""
        queue = self._queues[name]
        while queue.waiting:
            following = queue.waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        queue.busy -= 1
        if not queue.busy:
            del self._queues[name]


class Turn:
    """One request's; it ends once, however often that is said."""

    __slots__ = ("_name", "_turns")

    def __init__(self, turns: Turns, name: str) -> None:
        self._turns: Turns | None = turns
        self._name = name

    def end(self) -> None:
        """Let the next one have it, in the loop's next step: what is answered at once would never wait otherwise."""
        turns, self._turns = self._turns, None
        if turns is not None:
            asyncio.get_running_loop().call_soon(turns.give_back, self._name)
