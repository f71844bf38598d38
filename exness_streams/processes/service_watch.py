"""What sees from outside of an event loop that a process on Kafka serves nothing, and for how long it may.

Its clients of Kafka try again for ever, whatever is wrong. So when they have got nothing for a while, a new client
looks from this thread at what they should find. Brokers that are away are waited for. A process that they refuse, whose
topics are gone, or that gets nothing although nothing is in the way, ends in one line.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from exness_streams.processes.watchdog import LOOK_S, AwakeTime, say_line
from exness_streams.transport.kafka.outlook import Outlook, Sky, outlook
from exness_streams.transport.kafka.topics import KafkaCluster

MUTE_LOOK_S = 10.0
"""A process that has got nothing for so long has its surroundings looked at, and again after as long."""

MUTE_END_S = 20.0
"""If it gets nothing for so long while nothing is in the way, it ends."""

FIRST_END_S = 120.0
"""The same for one that has not served yet: it may have much to do before."""

STEADY_S = 10.0
"""Who gets something for so long is served; less is an interruption of what is wrong."""

HOPELESS = frozenset({Sky.REFUSED, Sky.GONE})
HOPELESS_LOOKS = 2
"""So often in a row: brokers that start may not know their users yet, nor have their topics."""


class ServiceWatch:
    """Of one process. unserved: why it gets nothing, '' when it does, None when it stops; asked from this thread.

    look_outside: what a new client finds. end: ends the process, with its last words.
    """

    def __init__(
        self,
        unserved: Callable[[], str | None],
        look_outside: Callable[[], Outlook],
        end: Callable[[str], Any],
        *,
        say: Callable[[str], Any] = say_line,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unserved, self._look_outside, self._end, self._say = unserved, look_outside, end, say
        self._awake = AwakeTime(clock_s, LOOK_S)
        self._mute_s = self._served_s = 0.0
        self._has_served = False
        self._next_look_s = MUTE_LOOK_S
        self._sky: Sky | None = None
        self._clear_from_s = 0.0
        self._hopeless = 0

    def start(self) -> None:
        """Watch until the process stops."""
        threading.Thread(target=self._run, name="service watch", daemon=True).start()

    def _run(self) -> None:
        while self.look():
            time.sleep(LOOK_S)

    def look(self) -> bool:
        """Once; to be called every LOOK_S. False when the process stops."""
        reason, passed_s = self._unserved(), self._awake.passed_s()
        if reason is None:
            return False
        if not reason:
            self._served_s += passed_s
            if not self._mute_s or self._served_s >= STEADY_S:
                self._serves()
            return True
        self._served_s, self._mute_s = 0.0, self._mute_s + passed_s
        if self._mute_s >= self._next_look_s:
            self._next_look_s = self._mute_s + MUTE_LOOK_S
            self._look_around(reason, self._mute_s)
        return True

    def _serves(self) -> None:
        if self._sky is not None:
            self._say(f"Kafka is of use again, after {self._mute_s:.0f} s")
        self._has_served, self._sky, self._hopeless = True, None, 0
        self._mute_s, self._next_look_s = 0.0, MUTE_LOOK_S

    def _look_around(self, reason: str, mute_s: float) -> None:
        before, found = self._sky, self._look_outside()
        if not self._unserved():
            return  # meanwhile it is
        self._sky = found.sky
        is_clear = found.sky is Sky.CLEAR
        if not is_clear or before is not Sky.CLEAR:
            self._clear_from_s = mute_s
        self._hopeless = self._hopeless + 1 if found.sky in HOPELESS else 0
        if self._hopeless >= HOPELESS_LOOKS:
            self._end(found.words)
        elif is_clear and mute_s - self._clear_from_s >= (MUTE_END_S if self._has_served else FIRST_END_S):
            self._end(
                f"nothing has reached this process from Kafka for {mute_s:.0f} s, although the brokers answer others "
                f"({reason}): this process must start again"
            )
        elif found.sky is not before and not is_clear and not self._hopeless:
            self._say(f"{reason}; {found.words}. It is waited for (docs/operations.md, The weather of Kafka)")


def watch_service(
    cluster: KafkaCluster,
    group: str,
    topics: Sequence[str],
    unserved: Callable[[], str | None],
    end: Callable[[str], Any],
) -> None:
    """Have a process on Kafka watched, whose group and topics these are, until it ends."""

    def look_outside() -> Outlook:
        return asyncio.run(outlook(cluster, group, topics))

    ServiceWatch(unserved, look_outside, end).start()
