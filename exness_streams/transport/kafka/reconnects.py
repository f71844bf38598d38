"""How soon a broker that takes no connection is tried again: later each time, and not by everybody at once.

aiokafka tries again after its pause between requests. That is 2 ms where transactions need it to be, and so a worker
without its broker made hundreds of attempts a second.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

FIRST_S = 0.05
LONGEST_S = 1.0

LOOK_S = 0.1
"""Whoever asks in between is held up by no more: another broker may serve him."""


class Reconnects:
    """Of one client. A broker is known by its id."""

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random
    ) -> None:
        """draw: a number from 0 to below 1, another each time."""
        self._clock_s, self._draw = clock_s, draw
        self._failures: dict[Any, int] = {}
        self._not_before_s: dict[Any, float] = {}

    def failures(self, broker: Any) -> int:
        """How often in a row it took none."""
        return self._failures.get(broker, 0)

    def wait_s(self, broker: Any) -> float:
        """Until it is to be tried again."""
        return max(0.0, self._not_before_s.get(broker, 0.0) - self._clock_s())

    def failed(self, broker: Any) -> None:
        """It took no connection."""
        failures = self._failures[broker] = self.failures(broker) + 1
        pause_s = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 10))
        self._not_before_s[broker] = self._clock_s() + pause_s * (0.5 + self._draw() / 2)

    def succeeded(self, broker: Any) -> None:
        """It took one."""
        self._failures.pop(broker, None)
        self._not_before_s.pop(broker, None)


def with_patience(
    connect: Callable[..., Awaitable[Any]], connected: Callable[..., bool]
) -> Callable[..., Awaitable[Any]]:
    """Of aiokafka's clients: what makes a connection to a broker, and returns None when it takes none.

    connected: (client, broker, group), whether there is a connection already. Who asks too early, or waits while
    another attempt fails, makes none of his own.
    """
    known: WeakKeyDictionary[Any, Reconnects] = WeakKeyDictionary()

    async def connect_patiently(client: Any, broker: Any, **how: Any) -> Any:
        if connected(client, broker, how.get("group")):
            return await connect(client, broker, **how)
        reconnects = known.setdefault(client, Reconnects())
        before = reconnects.failures(broker)
        if wait_s := reconnects.wait_s(broker):
            await asyncio.sleep(min(wait_s, LOOK_S))
            if reconnects.failures(broker) > before or wait_s > LOOK_S:
                return None
        found = await connect(client, broker, **how)
        if found is None:
            reconnects.failed(broker)
        else:
            reconnects.succeeded(broker)
        return found

    return connect_patiently
