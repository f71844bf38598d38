"""What engine/loading.py asks of Faust's app, of one simulated process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import NamedTuple

from exness_streams.messages import PLAIN_TOPICS
from protocol.logs import Connection, journal_of


class TP(NamedTuple):
    topic: str
    partition: int


class SimApp:
    """assigned: this member's partitions in the generation `consumer_generation_id`, changelogs among them."""

    named_topics = PLAIN_TOPICS

    def __init__(self, connection: Connection, crash: Callable[[BaseException], Awaitable[None]]) -> None:
        self._connection = connection
        self._crash = crash
        self.consumer_generation_id = 0
        self.should_stop = False
        self.assigned: list[TP] = []
        self.assignor = SimpleNamespace(assigned_actives=lambda: set(self.assigned))
        self.tables = SimpleNamespace(recovery=SimpleNamespace(is_current=True))
        self.consumer = SimpleNamespace(earliest_offsets=self._starts, highwaters=self._ends)
        self.producer = SimpleNamespace(send=self._send)

    async def crash(self, error: BaseException) -> None:
        await self._crash(error)

    async def _send(self, topic: str, key: None, value: bytes, partition: int, *_: None) -> Awaitable[object]:
        sent: Awaitable[object] = await journal_of(self._connection, topic)(partition, "", value)
        return sent

    async def _starts(self, *tps: TP) -> dict[TP, int]:
        return await self._bounds(tps, lambda tp: self._connection.broker.logs[tp].start)

    async def _ends(self, *tps: TP) -> dict[TP, int]:
        return await self._bounds(tps, lambda tp: self._connection.broker.logs[tp].stable_end())

    async def _bounds(self, tps: Iterable[TP], bound: Callable[[TP], int]) -> dict[TP, int]:
        wanted = sorted(tps)
        found: dict[TP, int] = await self._connection.ask("bounds", lambda: {tp: bound(tp) for tp in wanted})
        return found
