"""The thread in which aiokafka's consumer lives: asked from the main loop, and told apart from one that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any

from aiokafka.errors import InvalidSessionTimeoutError, KafkaError
from async_timeout import timeout
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from exness_streams.transport.batching import Wakeup
from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.aiokafka_mends import (
    ask_group_anew,
    beat_while_taking_over,
    close_connections,
    lacks_topic,
    leave_when_stopped,
    own_tasks,
    poll_records_max,
    read_committed,
    refuse_to_seek_unassigned,
    seen,
    tell_confirmations,
    tell_fetches,
    tell_group_errors,
)
from exness_streams.transport.kafka.error_words import words_of
from exness_streams.transport.kafka.fetching import Fetching
from exness_streams.transport.kafka.session import session_refused
from exness_streams.transport.kafka.topics import CONNECT_S_MAX

FETCH_WAIT_MS_MAX = 100
"""How long a broker holds a fetch that finds nothing. A partition that is wanted again meanwhile waits for its end."""

LEAVE_S_MAX = 8.0
"""How long the consumer may take to leave its group; a rebalance that is under way must end first."""

STOP_S_MAX = LEAVE_S_MAX + 2.0
"""How long its thread may take to end."""


def stands_still(error: BaseException | None) -> LogFault:
    """The fault when a consumer's own task has ended unasked, with an error or without."""
    cause = error and (error.__cause__ or error)
    if isinstance(cause, LogFault):
        return cause
    words = "it has ended" if cause is None else words_of(cause)
    return LogFault(f"the consumer of Kafka can't go on: this worker must start again ({words})")


class ThreadEnded(KafkaError):  # type: ignore[misc]  # aiokafka is untyped here
    """Nobody answers any more. Who waited need not tell of it: the end itself crashes the app, unless it was asked for.

    mode takes a RuntimeError with these words for the end of a task, and for no fault.
    """

    def __init__(self) -> None:
        super().__init__("Event loop is closed")


class FetchEnd:
    """Ends one fetch in the consumer's thread; may be set before that fetch has begun."""

    def __init__(self, thread_loop: asyncio.AbstractEventLoop) -> None:
        self._loop = thread_loop
        self._event = asyncio.Event()

    def set(self) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """In the consumer's thread."""
        await self._event.wait()


class Call:
    """What the consumer's thread is asked to do, until nobody waits for it any more."""

    def __init__(self, thread_loop: asyncio.AbstractEventLoop) -> None:
        self._loop = thread_loop
        self._task: asyncio.Future[Any] | None = None

    async def run(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In the consumer's thread. fun: a coroutine function, or a plain one."""
        result = fun(*args, **kwargs)
        if not isawaitable(result):
            return result
        self._task = asyncio.ensure_future(result)
        return await self._task

    def give_up(self) -> None:
        """From any thread; before what that one asks next."""

        def cancel() -> None:
            if self._task is not None:
                self._task.cancel()

        with suppress(RuntimeError):  # the thread has ended
            self._loop.call_soon_threadsafe(cancel)


class FetchWakeup(Wakeup):
    """A Wakeup that also ends the fetch under way."""

    def __init__(self) -> None:
        super().__init__()
        self.fetch: FetchEnd | None = None

    def set(self) -> None:
        super().set()
        if self.fetch is not None:
            self.fetch.set()


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # faust is untyped here
    """Reads only what was committed, lets a fetch be ended, and leaves its group when it stops."""

    shutdown_timeout = STOP_S_MAX

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._asked: set[asyncio.Future[Any]] = set()
        self._has_ended = False
        self._fetching = Fetching()
        super().__init__(*args, **kwargs)

    async def on_start(self) -> None:
        try:
            async with timeout(CONNECT_S_MAX):
                await super().on_start()
        except (KafkaError, OSError, asyncio.TimeoutError) as error:
            raise self.transport.cluster.unreachable(error) from error
        for task in own_tasks(self._consumer):
            task.add_done_callback(self._on_task_ended)
        beat_while_taking_over(self._consumer)
        tell_group_errors(self._consumer, self._on_group_error)
        tell_fetches(self._consumer, self._fetching.asked)
        self.transport.unanswered = self._fetching.unanswered
        self.transport.lacks_topic = partial(lacks_topic, self._consumer)
        freshness = self.transport.freshness
        tell_confirmations(self._consumer, freshness.clock_s, freshness.confirmed)

    async def on_thread_stop(self) -> None:
        if self._consumer is not None:
            leave_when_stopped(self._consumer)
        try:
            async with timeout(LEAVE_S_MAX):
                await super().on_thread_stop()
        except (asyncio.CancelledError, asyncio.TimeoutError):
            # A broker that does not answer holds a stop up no longer. And aiokafka's own cancellation, of a fetch that
            # waits for its broker, would end this thread in silence.
            if self._consumer is not None:
                await close_connections(self._consumer)

    # -- its end

    def _on_task_ended(self, task: asyncio.Future[Any]) -> None:
        """Unless the app stops, aiokafka's consumer can't go on: no partition would come to this worker any more."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._crash_app(stands_still(error))

    def _on_group_error(self, error: BaseException, broker_id: int) -> None:
        """The brokers refuse it as a member of its group, now or from now on."""
        self._telling = asyncio.ensure_future(self._tell_group_error(error, broker_id))

    async def _tell_group_error(self, error: BaseException, broker_id: int) -> None:
        if isinstance(error, InvalidSessionTimeoutError):
            session_s = self.app.conf.broker_session_timeout
            self._crash_app(await session_refused(self.transport.cluster, broker_id, session_s))
        else:
            self._crash_app(stands_still(error))

    def _crash_app(self, fault: LogFault) -> None:
        """From any thread. Nothing when it stops already: its consumer ends then."""

        def crash() -> None:
            if not self.app.should_stop:
                self._crashing = asyncio.ensure_future(self.app.crash(fault))

        with suppress(RuntimeError):  # that loop is closed: the app has ended
            self.parent_loop.call_soon_threadsafe(crash)

    def _start_thread(self) -> None:
        try:
            super()._start_thread()
        except (asyncio.CancelledError, LogFault):
            pass  # the app crashes with it, which tells of it
        finally:
            with suppress(RuntimeError):  # that loop is closed: nobody waits there
                self.parent_loop.call_soon_threadsafe(self._on_ended)

    def _on_ended(self) -> None:
        """However the thread has ended: what it was asked gets no answer, and who waits for its end has waited."""
        self._has_ended = True
        self._shutdown.set()
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(ThreadEnded())
        self._crash_app(LogFault("the connection to Kafka has ended unasked: this worker must start again"))

    async def crash(self, exc: BaseException) -> None:
        """mode's. It tells who waits for the start, and asyncio complains when nobody waits any more."""
        starting = self._thread_running
        await super().crash(exc)
        if starting is not None:
            with suppress(RuntimeError):
                self.parent_loop.call_soon_threadsafe(seen, starting)

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """mode's, which prints a traceback: also of a fault that has its own words."""
        if not any(isinstance(argument, LogFault) for argument in fmt):
            super().on_crash(msg, *fmt, **kwargs)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """mode's. ThreadEnded when the thread ends first; mode would wait for ever.

        Cancelled, it is not done, or no further: mode would do it whenever its turn comes. So a recovery that was
        broken off while the brokers were away went back, behind its successor, to what was committed by then.
        """
        if self._has_ended:
            raise ThreadEnded
        asked, call = self.parent_loop.create_future(), Call(self.thread_loop)
        self._asked.add(asked)
        try:
            await self.method_queue.call(asked, call.run, fun, *args, **kwargs)
            return await asked
        except asyncio.CancelledError:
            call.give_up()
            raise
        except RuntimeError as error:
            if self.thread_loop.is_closed():  # a moment before we hear of it
                raise ThreadEnded from error
            raise
        finally:
            self._asked.discard(asked)

    def _stopped_set(self) -> None:
        if not self.thread_loop.is_closed():  # the thread may have ended first
            super()._stopped_set()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        read_committed(consumer, FETCH_WAIT_MS_MAX)
        return consumer

    async def fetch(self, wanted: set[TP], timeout_s: float, end: FetchEnd) -> Mapping[Any, list[Any]]:
        """Records of the wanted partitions; nothing when `end` was set first."""
        consumer = self._ensure_consumer()
        records: Mapping[Any, list[Any]] = await self.call_thread(self._fetch_until, consumer, wanted, timeout_s, end)
        return records

    async def _fetch_until(
        self, consumer: Any, wanted: set[TP], timeout_s: float, end: FetchEnd
    ) -> Mapping[Any, list[Any]]:
        self._fetching.hold_back(consumer, wanted)
        # Of all partitions: those that are held back have to be looked at, too.
        fetch = asyncio.ensure_future(
            self._fetch_records(consumer, None, timeout=timeout_s, max_records=poll_records_max(consumer))
        )
        ended = asyncio.ensure_future(end.wait())
        try:
            await asyncio.wait({fetch, ended}, return_when=asyncio.FIRST_COMPLETED)
            # aiokafka takes records and returns them in one step: a fetch that is not done has taken none.
            if not fetch.done():
                fetch.cancel()
                await asyncio.wait({fetch})
            return {} if fetch.cancelled() else fetch.result()
        finally:
            ended.cancel()
            fetch.cancel()

    def rejoin(self) -> None:
        """Have the group deal its partitions out anew. From any thread."""

        def ask() -> None:
            if self._consumer is not None:
                ask_group_anew(self._consumer)

        with suppress(RuntimeError):  # the thread has ended, which is told
            self.thread_loop.call_soon_threadsafe(ask)

    async def seek_on_thread(self, tp: TP, offset: int) -> None:
        """aiokafka's own seek is for its own thread only."""
        await self.call_thread(self._seek_one, self._ensure_consumer(), driver.ensure_aiokafka_TP(tp), offset)

    async def _seek_one(self, consumer: Any, tp: Any, offset: int) -> None:
        refuse_to_seek_unassigned(consumer)
        consumer.seek(tp, offset)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        """Faust's, of several. IllegalStateError, which its recovery takes for another rebalance."""
        refuse_to_seek_unassigned(consumer)
        await super()._seek_wait(consumer, partitions)
