"""The gateway for commands: appends each to the journal, and answers with the outcome of its fold."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from exness_streams.domain import codec
from exness_streams.domain.cell import Reply
from exness_streams.domain.commands import Command
from exness_streams.domain.identity import AccessCommand
from exness_streams.transport.faults import LogFault

ANSWER_TIMEOUT_S = 10.0

OLDEST_WAIT_S_MAX = 1.0
"""While somebody waits longer than this for a cell, it takes no more: the journal is no queue for overload."""


class NotWritten(Exception):
    """The command is certainly not in the journal: nothing happened, and nothing will."""


class Overloaded(NotWritten):
    """The cell is behind with what it has taken: a command would only wait longer than those before it."""


class OutcomeUnknown(Exception):
    """The command may have taken effect. Repeating it with the same idempotency key tells."""


class Journal(Protocol):
    """Where commands are appended."""

    async def __call__(self, partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        """Append to the account's partition; the future is resolved when durable, LogFault when not."""


class _Waiting(NamedTuple):
    partition: int
    answer: asyncio.Future[Reply]


class Gateway:
    """Clients waiting for the outcome of their commands.

    is_fresh: whether nobody else can own by now what is owned here. An outcome is right whoever folds it; but who was
    told of it by a worker that has lost the account would ask its owner next, which may not have read so far.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        is_fresh: Callable[[], bool] = lambda: True,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._is_fresh = is_fresh
        self._answer_timeout_s = answer_timeout_s
        self._clock_s = clock_s
        self._waiting: dict[str, _Waiting] = {}
        # Since when they wait, in this order. A dict would walk over all that was taken from its front.
        self._since_s: dict[int, OrderedDict[str, float]] = {}
        self._closed = False

    def on_reply(self, reply: Reply) -> None:
        """The fold has settled a command; its client may wait here, or in a process that is gone."""
        waiting = self._waiting.get(reply.command_id)
        if waiting is not None and not waiting.answer.done():
            if self._is_fresh():
                waiting.answer.set_result(reply)
            else:
                waiting.answer.set_exception(OutcomeUnknown("the account may be another worker's by now"))
            self._settled(waiting.partition, reply.command_id)

    def check_room(self, partition: int) -> None:
        """Overloaded while the oldest command that waits for this cell has waited too long."""
        since_s = self._since_s.get(partition)
        if not since_s:
            return
        waited_s = self._clock_s() - next(iter(since_s.values()))
        if waited_s > OLDEST_WAIT_S_MAX:
            raise Overloaded(
                f"the account's cell is behind: the oldest of {len(since_s)} requests has waited for {waited_s:.1f} s. "
                "Nothing was done: try again later"
            )

    @property
    def oldest_wait_s(self) -> float:
        """How long the command waits that waits the longest of all; 0 when none does."""
        begun_s = [next(iter(since_s.values())) for since_s in self._since_s.values() if since_s]
        return self._clock_s() - min(begun_s) if begun_s else 0.0

    def _settled(self, partition: int, command_id: str) -> None:
        since_s = self._since_s.get(partition)
        if since_s is not None:
            since_s.pop(command_id, None)

    def abandon(self, partitions: Iterable[int]) -> None:
        """Another worker folds these partitions from now on: nobody here will learn what becomes of a command."""
        gone = set(partitions)
        for partition in gone:
            self._since_s.pop(partition, None)
        for waiting in self._waiting.values():
            if waiting.partition in gone and not waiting.answer.done():
                waiting.answer.set_exception(OutcomeUnknown("the account moved to another worker"))

    async def close(self, answer_s_max: float) -> None:
        """Take no more commands; those under way have so long to be settled, and then nobody here learns it."""
        self._closed = True
        answers = [waiting.answer for waiting in self._waiting.values()]
        if answers:
            await asyncio.wait(answers, timeout=answer_s_max)
        for answer in answers:
            if not answer.done():
                answer.set_exception(OutcomeUnknown("this worker is stopping"))

    async def submit(self, partition: int, command: Command | AccessCommand) -> Reply:
        """Append a command to its account's partition and wait for its outcome.

        NotWritten, Overloaded of them, or OutcomeUnknown.
        """
        if self._closed:
            raise NotWritten("this worker is stopping")
        self.check_room(partition)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        # Registered first: the fold may meet the record before its append is acknowledged here.
        self._waiting[command.command_id] = _Waiting(partition, answer)
        self._since_s.setdefault(partition, OrderedDict())[command.command_id] = self._clock_s()
        try:
            appended = await self._journal(partition, command.account_id, codec.encode(command))
            appended.add_done_callback(_fail_with(answer))
            late = loop.call_later(self._answer_timeout_s, _give_up, answer, self._answer_timeout_s)
            try:
                return await answer
            finally:
                late.cancel()
        except LogFault as fault:
            raise (NotWritten if fault.written is False else OutcomeUnknown)(str(fault)) from fault
        finally:
            del self._waiting[command.command_id]
            self._settled(partition, command.command_id)


def _give_up(answer: asyncio.Future[Reply], after_s: float) -> None:
    if not answer.done():
        answer.set_exception(OutcomeUnknown(f"no outcome within {after_s:g} s"))


def _fail_with(answer: asyncio.Future[Reply]) -> Callable[[asyncio.Future[object]], None]:
    def on_done(appended: asyncio.Future[object]) -> None:
        error = LogFault("the log was closed", written=None) if appended.cancelled() else appended.exception()
        if error is not None and not answer.done():
            answer.set_exception(error)

    return on_done
