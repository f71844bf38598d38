"""The thread of aiokafka's consumer: however it ends, nobody waits for it for ever, and an end unasked is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError
from aiokafka.protocol.group import HeartbeatRequest
from async_timeout import timeout
from mode import Service

from exness_streams.transport.faults import LogFault
from exness_streams.transport.freshness import MemberFreshness
from exness_streams.transport.kafka import consumer_thread
from exness_streams.transport.kafka.consumer_thread import ConsumerThread, ThreadEnded
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaUnreachable

GIVE_UP_S = 30.0


class App:
    """What the thread needs of a Faust app."""

    def __init__(self) -> None:
        self.should_stop = False
        self.crashed_by: list[BaseException] = []
        self.conf = SimpleNamespace(
            producer_partitioner=None, stream_processing_timeout=300.0, broker_commit_livelock_soft_timeout=300.0
        )

    async def crash(self, reason: BaseException) -> None:
        self.crashed_by.append(reason)


async def answered(request: Any) -> Any:
    """A coordinator that is content with everything."""
    return SimpleNamespace(error_code=0)


class Client:
    """aiokafka's consumer. start, stop: what it does then."""

    def __init__(self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
        self._on_start, self.stop = start, stop
        self.closed = threading.Event()
        self._client = SimpleNamespace(close=self._close, send=answered)
        self.kept: list[BaseException] = []
        self._coordinator: Any = SimpleNamespace(
            _group_instance_id="name", _push_error_to_user=self.kept.append, coordinator_id=1, _send_req=answered,
            _on_join_complete=nothing,
        )  # fmt: skip
        self._fetcher: Any = SimpleNamespace()

    async def start(self) -> None:
        await self._on_start()
        loop = asyncio.get_running_loop()
        self.keeps_membership = self._coordinator._coordination_task = loop.create_future()
        self.fetches = self._fetcher._fetch_task = loop.create_future()

    async def _close(self) -> None:
        self.closed.set()


async def nothing() -> None:
    pass


async def never() -> None:
    await asyncio.sleep(3_600)


async def cancelled() -> None:
    raise asyncio.CancelledError


class Thread(ConsumerThread):
    def __init__(self, app: App, client: Client) -> None:
        self._made = client
        self.freshness = MemberFreshness(6.0)
        cluster = KafkaCluster(("broker:1",))
        transport = SimpleNamespace(app=app, cluster=cluster, freshness=self.freshness)
        consumer = SimpleNamespace(transport=transport, app=app, RebalanceListener=lambda thread: None)
        super().__init__(consumer, loop=asyncio.get_running_loop())

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        return self._made


@asynccontextmanager
async def running(
    start: Callable[[], Awaitable[None]] = nothing, stop: Callable[[], Awaitable[None]] = nothing
) -> AsyncIterator[tuple[Thread, App, Client]]:
    app, client = App(), Client(start, stop)
    thread = Thread(app, client)
    try:
        await thread.start()
        yield thread, app, client
    finally:
        app.should_stop = True
        if thread.should_stop:  # it has ended, or is about to
            await until_ended(thread)
        else:
            await thread.stop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # mode's, of the main loop
            task.cancel()


def end(thread: Thread) -> None:
    """Nobody asked for it, and nothing is said: a cancellation that comes from nowhere."""
    tasks = asyncio.all_tasks(thread.thread_loop)
    # In one step of that loop: it may be closed before a second one is asked for.
    thread.thread_loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])


async def until_ended(thread: Thread) -> None:
    for _ in range(int(GIVE_UP_S / 0.01)):
        if thread._has_ended:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_it_answers_and_stops() -> None:
    async with running() as (thread, app, client):

        async def answer() -> str:
            return threading.current_thread().name

        assert await thread.call_thread(answer) != threading.current_thread().name
        assert await thread.call_thread(threading.current_thread) is not threading.current_thread()
    assert not app.crashed_by
    assert client._coordinator._group_instance_id is None, "it leaves its group"


async def test_who_waits_for_an_answer_when_it_ends_is_told_and_so_is_who_asks_later() -> None:
    async with running() as (thread, app, _):
        asked = threading.Event()

        async def hang() -> None:
            asked.set()
            await never()

        waiting = asyncio.ensure_future(thread.call_thread(hang))
        assert await asyncio.to_thread(asked.wait, GIVE_UP_S)
        end(thread)
        with pytest.raises((ThreadEnded, asyncio.CancelledError)):
            await asyncio.wait_for(waiting, GIVE_UP_S)
        await until_ended(thread)
        with pytest.raises(ThreadEnded):
            await asyncio.wait_for(thread.call_thread(hang), GIVE_UP_S)
        await asyncio.sleep(0)
        (fault,) = app.crashed_by
        assert isinstance(fault, LogFault)
        assert "\n" not in str(fault)


async def test_what_was_asked_and_given_up_is_not_done_later() -> None:
    """A recovery that a rebalance breaks off may wait for committed offsets, and would seek to them at any time."""
    async with running() as (thread, _, _):
        answers, asked, sought = asyncio.Event(), threading.Event(), list[int]()

        async def seek_to_committed() -> None:
            asked.set()
            try:
                await answers.wait()
            finally:
                sought.append(0)
            sought.append(1)

        async def seek() -> None:
            answers.set()  # in that moment the brokers are there again
            sought.append(2)

        recovery = asyncio.ensure_future(thread.call_thread(seek_to_committed))
        assert await asyncio.to_thread(asked.wait, GIVE_UP_S)
        recovery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await recovery
        await thread.call_thread(seek)
        for _ in range(5):
            await thread.call_thread(nothing)
        assert sorted(sought) == [0, 2]
        assert await asyncio.wait_for(thread.call_thread(asyncio.sleep, 0, "still there"), GIVE_UP_S) == "still there"


async def test_a_stop_after_it_has_ended_waits_for_nothing() -> None:
    async with running() as (thread, _, _):
        end(thread)
        await until_ended(thread)
        await asyncio.wait_for(thread.stop(), GIVE_UP_S)


@pytest.mark.parametrize("stop", [never, cancelled])
async def test_a_broker_that_does_not_answer_holds_up_no_stop(
    stop: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_thread, "LEAVE_S_MAX", 0.05)
    async with running(stop=stop) as (thread, app, client):
        app.should_stop = True
        await asyncio.wait_for(thread.stop(), GIVE_UP_S)
        assert client.closed.is_set()
        assert not app.crashed_by


async def refused() -> None:
    raise KafkaConnectionError("refused")


@pytest.mark.parametrize("start", [never, refused])
async def test_a_broker_that_does_not_answer_ends_the_start_in_one_line(
    start: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_thread, "CONNECT_S_MAX", 0.05)
    async with timeout(GIVE_UP_S):
        app, client = App(), Client(start, nothing)
        thread = Thread(app, client)
        with suppress(KafkaUnreachable):  # mode raises it unless the thread was faster
            await thread.start()
        await until_ended(thread)
    assert isinstance(thread.crash_reason, KafkaUnreachable)
    assert "broker:1" in str(thread.crash_reason)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_the_end_of_the_thread_crashes_the_app_once_and_not_by_those_who_waited() -> None:
    async with running() as (thread, app, _):
        begun = threading.Event()

        async def called() -> None:
            begun.set()
            await never()

        async def ask() -> None:
            await thread.call_thread(called)

        service = Service()
        await service.start()
        waiting = service.add_future(ask())
        assert await asyncio.to_thread(begun.wait, GIVE_UP_S)
        end(thread)
        await until_ended(thread)
        await asyncio.wait([waiting], timeout=GIVE_UP_S)
        late = service.add_future(ask())
        await asyncio.wait([late], timeout=GIVE_UP_S)
        assert service.crash_reason is None
        assert len(app.crashed_by) == 1
        await service.stop()


TAKEN_FROM_IT = KafkaConnectionError("the coordinator has gone")
NAMESAKE = LogFault("another process has this one's name")


def wrapped(error: Exception) -> KafkaConnectionError:
    """As aiokafka wraps it."""
    outer = KafkaConnectionError(f"Unexpected error during coordination {error!r}")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize("which", ["keeps_membership", "fetches"])
@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (lambda task: task.set_exception(TAKEN_FROM_IT), "the coordinator has gone"),
        (lambda task: task.set_exception(wrapped(AssertionError())), "AssertionError"),
        (lambda task: task.set_exception(wrapped(NAMESAKE)), str(NAMESAKE)),
        (lambda task: task.cancel(), "CancelledError"),
        (lambda task: task.set_result(None), "this worker must start again"),
    ],
    ids=["error", "assertion", "our fault", "cancelled", "returned"],
)
async def test_a_consumer_that_cannot_go_on_crashes_the_app(which: str, ended: Callable[[Any], Any], says: str) -> None:
    async with running() as (thread, app, client):
        thread.thread_loop.call_soon_threadsafe(ended, getattr(client, which))
        for _ in range(int(GIVE_UP_S / 0.01)):
            if app.crashed_by:
                break
            await asyncio.sleep(0.01)
        (fault,) = app.crashed_by
        assert isinstance(fault, LogFault)
        assert says in str(fault)
        assert "\n" not in str(fault)


async def test_the_tasks_of_a_consumer_that_is_stopped_end_without_a_word() -> None:
    async with running() as (thread, app, client):

        async def stop() -> None:
            client.keeps_membership.set_result(None)
            client.fetches.cancel()
            await asyncio.sleep(0)

        client.stop = stop
        app.should_stop = True
        await thread.stop()
        assert client.fetches.cancelled()
        await asyncio.sleep(0)
        assert not app.crashed_by


async def test_what_keeps_it_out_of_its_group_does_not_wait_for_a_fetch() -> None:
    """aiokafka keeps it for one, as it always did."""
    async with running() as (thread, app, client):
        refused = GroupAuthorizationFailedError("exness-streams")
        thread.thread_loop.call_soon_threadsafe(client._coordinator._push_error_to_user, refused)
        for _ in range(int(GIVE_UP_S / 0.01)):
            if app.crashed_by:
                break
            await asyncio.sleep(0.01)
        (fault,) = app.crashed_by
        assert isinstance(fault, LogFault)
        assert "exness-streams" in str(fault)
        assert client.kept == [refused]


async def test_what_the_coordinator_confirms_keeps_what_is_read_fresh() -> None:
    async with running() as (thread, _, client):
        assert not thread.freshness.is_fresh()

        async def beat() -> None:
            await client._coordinator._send_req(HeartbeatRequest("group", 1, "member"))

        await thread.call_thread(beat)
        assert thread.freshness.is_fresh()
