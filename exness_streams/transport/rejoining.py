"""When a worker asks its group to deal the partitions out anew: the log refuses what it writes, though it owns it.

So it does to the first who writes after days: brokers forget transactional ids that nobody uses.

Whoever finished a takeover late has fenced the owner of now. Were that one to fence again by itself, two workers could
fence each other for ever, and neither would know what the other committed meanwhile. The group knows who is a member:
it deals out anew, and each fences what it was given, and loads it from what is committed.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

ASKED_MAX = 5
ASKED_WITHIN_S = 600.0
BACK_OFF_S = 1.0


class Rejoining:
    """Of one worker, whatever it was refused. count: how often it has asked."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._asked_s: deque[float] = deque()
        self._is_asked = False
        self.count = 0
        self.rejoin: Callable[[], None] = lambda: None
        """Has the group deal out anew; set by whoever is its member."""

    def asks_again_in_s(self) -> float | None:
        """How long to wait first: longer each time. None when it was asked too often: something else is wrong."""
        now_s = self._clock_s()
        while self._asked_s and self._asked_s[0] + ASKED_WITHIN_S <= now_s:
            self._asked_s.popleft()
        if self._is_asked or not self._asked_s:
            return 0.0
        return None if len(self._asked_s) >= ASKED_MAX else BACK_OFF_S * 2 ** (len(self._asked_s) - 1)

    def ask_again(self, why: str) -> None:
        """Once until the partitions are dealt out."""
        if self._is_asked:
            return
        self._is_asked = True
        self._asked_s.append(self._clock_s())
        self.count += 1
        log.warning(
            "%s: a worker that is late has taken it over, a transaction took too long, or the brokers have forgotten "
            "an id that nobody used for days. The group is asked anew whose it is; nothing is lost "
            "(docs/operations.md, A fenced worker)",
            why,
        )
        self.rejoin()

    def dealt_out(self) -> None:
        """The group has."""
        self._is_asked = False
