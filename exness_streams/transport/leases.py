"""Leases: the right to commit one partition of an input, for as long as its holder is the only one.

A partition may leave and come back to the same process while its holder awaits something, and its holder is another
object then. So nobody commits by a partition's number: each fence makes a lease, and the one of before is over.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from exness_streams.transport.faults import CellReleased, LogFenced
from exness_streams.transport.interfaces import LogRecord

Transact = Callable[[Sequence[LogRecord], "int | None"], Awaitable[Sequence[int]]]
"""One transaction of a log: the records and the input's next offset (None: it stays), all or nothing; returns the
records' offsets.

Raises LogFault when nothing was written (`written` False) or the outcome is unknown (`written` None).
"""


class _State(enum.Enum):
    HELD = "held"
    QUIESCED = "quiesced"
    ENDED = "ended"


class Ownership(Protocol):
    """What a log knows, beside the lease, of whose a partition is."""

    async def committed(self) -> int | None:
        """The input's next offset as the log has it now, by whoever committed it. LogFault."""

    async def holds_nothing(self, first: int, end: int) -> bool:
        """Whether the input never had a record for a reader from `first` to before `end`: marks of transactions, and
        what was rolled back, take offsets, too. LogFault.
        """

    def asks_again_in_s(self) -> float | None:
        """How long to wait before the group is asked again whose the partitions are; None: that was done too often."""

    def ask_again(self, why: str) -> None:
        """Have the group deal its partitions out anew. They are fenced again then, whoever gets them."""


class Lease:
    """Made by a log's `fence`; held, then quiesced while partitions are dealt out anew, then ended.

    A log's refusal does not tell whose the partition is: a worker that stood still in the middle of its takeover fences
    the owner of now when it goes on. So the group is asked again, and deals out anew; nobody fences beside it.

    committed: the input's next offset as last committed, by whichever holder; None when nothing was.
    """

    def __init__(
        self,
        partition: int,
        name: str,
        committed: int | None,
        transact: Transact,
        *,
        fenced_wait_s: float = 0.0,
        ownership: Ownership | None = None,
    ) -> None:
        """name: of the partition, in messages. fenced_wait_s: how late a worker that is heard of may hear that it lost
        the partition, after its next owner's fence. ownership: None where nobody else can be the owner.
        """
        self.partition = partition
        self.name = name
        self.committed = committed
        self._transact = transact
        self._state = _State.HELD
        self._busy = asyncio.Lock()
        self._fenced_wait_s = fenced_wait_s
        self._left = asyncio.Event()
        self._ownership = ownership
        self._is_doubted = False

    @property
    def is_held(self) -> bool:
        """Whether transactions may begin, and reads be answered. To be asked after each wait."""
        return self._state is _State.HELD and not self._is_doubted

    @property
    def state(self) -> str:
        """In a word: held, doubted (the log refused it, and the group is being asked), quiesced or ended."""
        return "doubted" if self._is_doubted and self._state is _State.HELD else self._state.value

    @property
    def is_over(self) -> bool:
        """Whether somebody else may have committed since: what is under way is for the log, and recovery, to decide."""
        return self._state is _State.ENDED

    async def commit(self, records: Sequence[LogRecord], next_offset: int | None) -> Sequence[int]:
        """Write every record and the input's next offset, all or nothing; returns the records' offsets, in order.

        next_offset: None where there is no input. One transaction at a time. CellReleased: the lease is not held,
        nothing was written. LogFault as Transact's.
        """
        async with self._busy:
            if not self.is_held:
                raise CellReleased(f"{self.name} is not this worker's (any more)")
            try:
                written = await self._transact(records, next_offset)
            except LogFenced as fault:
                if await self._is_dealt_out_anew("the log refuses what it writes"):
                    raise CellReleased(f"{self.name} is another worker's", written=fault.written) from fault
                raise
            if next_offset is not None and not self.is_over:
                self.committed = next_offset
            return written

    async def left(self) -> None:
        """Return once it was quiesced or ended."""
        await self._left.wait()

    async def is_lost(self) -> bool:
        """Whether another has committed since, so that what does not fit what was loaded here is no damage of the log.

        The lease is held no more then. LogFenced: another has, and the group was asked too often whose the partition
        is. LogFault.
        """
        async with self._busy:
            if not self.is_held:
                return True
            if self._ownership is None or (await self._ownership.committed() or 0) <= (self.committed or 0):
                return not self.is_held
            if await self._is_dealt_out_anew("another worker has committed it"):
                return True
        raise LogFenced(
            f"{self.name} was taken over by a worker that does not own it, again and again: this worker must start "
            "again"
        )

    async def holds_nothing(self, first: int, end: int) -> bool:
        """As Ownership's; False where nothing takes an offset but records."""
        return self._ownership is not None and await self._ownership.holds_nothing(first, end)

    async def _is_dealt_out_anew(self, why: str) -> bool:
        """Whether the partition was, which the next owner may hear of first, or is about to be. It is no fault then."""
        self._is_doubted = True  # nothing is told meanwhile
        if await self._left_within(self._fenced_wait_s):
            return True
        wait_s = None if self._ownership is None else self._ownership.asks_again_in_s()
        if self._ownership is None or wait_s is None:
            self._is_doubted = False  # whoever holds it is told of the fault
            return False
        if not await self._left_within(wait_s):
            self._ownership.ask_again(f"{self.name}: {why}")
        return True

    async def _left_within(self, wait_s: float) -> bool:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._left.wait(), wait_s)
        return self._left.is_set()

    async def quiesce(self) -> None:
        """Begin no transaction any more, and wait for the one under way: it is in its table when this returns."""
        if self._state is _State.HELD:
            self._state = _State.QUIESCED
            self._left.set()
        async with self._busy:
            pass

    def end(self) -> None:
        """Somebody else may commit from now on."""
        self._state = _State.ENDED
        self._left.set()


class CellLog(Protocol):
    """One input topic and one consumer group: a cell's rows, events and progress in one transaction.

    The transport fences, quiesces and releases as partitions come and go. Who folds takes the lease and commits by it.
    """

    async def fence(self, partitions: Iterable[int]) -> Mapping[int, Lease]:
        """Become the only writer of these cells, before their tables are recovered; former leases end. LogFault."""

    async def take_over(self, partitions: Iterable[int]) -> None:
        """These are all that is this worker's now: fence them, always anew, and release the others. LogFault."""

    def lease(self, partition: int) -> Lease:
        """What the newest fence of a partition gave. CellReleased when there was none, or it was released since."""

    async def quiesce(self, partitions: Iterable[int]) -> None:
        """Let the transactions in flight of these cells finish, and begin no other: see Lease."""

    async def release(self, partitions: Iterable[int]) -> None:
        """As quiesce, and then give the cells up: their leases are over at once."""
