"""A clock that is off: said once, and once when it is right again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_S = 5.0


class ClockWatch:
    """fault: what is wrong with this machine's clock, as a sentence, '' when nothing is."""

    def __init__(self, fault: Callable[[], str]) -> None:
        self._fault = fault
        self._is_said = False

    async def run(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Once."""
        fault = self._fault()
        if fault and not self._is_said:
            log.warning("%s", fault)
        elif self._is_said and not fault:
            log.info("this machine's clock agrees with the brokers' again")
        self._is_said = bool(fault)
