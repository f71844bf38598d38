"""The small interfaces behind the commit protocol: what a cell, and the market agent, need of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class LogRecord(NamedTuple):
    """A record to be written.

    value: None is a tombstone. partition: None means the committing cell's own. timestamp_ms: None means now.
    headers: for consumers that are not ours, on Kafka; the embedded log, which nobody else reads, keeps none.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    timestamp_ms: int | None = None
    headers: Headers = ()


class FrameLog(Protocol):
    """The market agent's side: frames out, and how far the ticks of a partition are framed."""

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        """Write the frames of the ticks of `partition` before `next_offset`; they are durable when this returns.

        LogFault: nobody knows which of them are, or will be.
        """

    def framed_end(self, partition: int) -> int | None:
        """Ticks with offsets below this were framed, and none from there on: it is written in one with the frames.

        None: this log does not, and the framer has to promise what it will write (engine/framer_state.py).
        """


class Lineage(Protocol):
    """Of a log that may be replaced by an older copy of itself: whether it goes on from what somebody has read."""

    @property
    def life(self) -> bytes:
        """The name of the log's life under way: kept with what is read in it."""

    def continues(self, tp: tuple[str, int], life: bytes | None, last: int) -> bool:
        """Whether a partition's records up to `last`, read in a life of that name (None: in any), are this log's, and
        it still tells of all that was removed since."""
