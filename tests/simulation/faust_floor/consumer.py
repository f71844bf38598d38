"""aiokafka's consumer, as Faust's driver and transport/kafka use it, on the simulated brokers.

It follows aiokafka: a task of its own keeps it in its group and calls the listener, another one fetches ahead of who
asks, and a seek makes what was fetched before it worthless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from protocol.network import Awaited, Unreachable

from exness_streams.transport.batching import Wakeup
from faust_floor.coordinator import (
    FENCED_INSTANCE,
    NO_ERROR,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER,
    Joined,
)

BACKOFF_S = 0.1
ANSWER_S_MAX = 8.0


class Fetched(NamedTuple):
    """aiokafka's ConsumerRecord, as far as it is read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    timestamp_type: int = 0
    checksum: None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0
    headers: tuple[()] = ()


class HeartbeatRequest(NamedTuple):
    member: str
    generation: int


class SyncGroupRequest(NamedTuple):
    member: str
    generation: int
    given: dict[str, Any] | None


class Answer(NamedTuple):
    error_code: int
    content: Any = None


class State:
    """Of an assigned partition. position: None until it is known where to read."""

    def __init__(self) -> None:
        self.position: int | None = None
        self.highwater: int | None = None
        self.timestamp: int | None = None
        self.from_start = self.is_paused = False
        self.is_known = asyncio.Event()

    @property
    def has_valid_position(self) -> bool:
        return self.position is not None

    def seek(self, position: int) -> None:
        self.position = position
        self.is_known.set()

    def reset(self) -> None:
        self.position, self.from_start = None, True
        self.is_known.clear()


class Assignment:
    def __init__(self, tps: Iterable[TopicPartition]) -> None:
        self.tps = frozenset(tps)
        self.states = {tp: State() for tp in sorted(self.tps)}
        self.active = True

    def state_value(self, tp: TopicPartition) -> State | None:
        return self.states.get(tp)


class Consumer:
    """Takes all of aiokafka's settings; those named are heeded."""

    def __init__(
        self,
        *,
        group_id: str | None = None,
        group_instance_id: str | None = None,
        partition_assignment_strategy: Any = (None,),
        max_poll_records: int | None = None,
        session_timeout_ms: int = 10_000,
        rebalance_timeout_ms: int = 10_000,
        heartbeat_interval_ms: int = 3_000,
        fetch_max_wait_ms: int = 500,
        isolation_level: str = "read_uncommitted",
        **_: Any,
    ) -> None:
        from faust_floor.clients import connection_of

        self.connection = connection_of()
        self.group_id = group_id
        self._isolation_level = isolation_level
        self._fetch_max_wait_ms = fetch_max_wait_ms
        self._max_poll_records = max_poll_records
        self._closed = False
        self.is_assigned = asyncio.Event()
        """Not while partitions are given out anew: nothing is taken then."""
        self._client = SimpleNamespace(close=self._disconnect, send=None)  # its fetches are made elsewhere
        self._subscription = SimpleNamespace(subscription=None)
        self._fetcher = Fetcher(self)
        self._coordinator = Membership(
            self,
            group_instance_id,
            partition_assignment_strategy[0],
            session_timeout_ms / 1000,
            rebalance_timeout_ms / 1000,
            heartbeat_interval_ms / 1000,
        )

    async def _disconnect(self) -> None:
        self._closed = True

    async def ask(self, channel: str, action: Callable[[], Any], timeout_s: float = ANSWER_S_MAX) -> Any:
        """Until there is an answer; aiokafka tries again for as long as it is waited for."""
        while True:
            try:
                return await self.connection.ask(channel, action, timeout_s)
            except Unreachable as error:  # noqa: PERF203 - that is what tries are for
                if self._closed:
                    raise KafkaError(str(error)) from error
                await asyncio.sleep(BACKOFF_S)

    # -- its life

    async def start(self) -> None:
        assert self._isolation_level == "read_committed", "what is not committed would be read"
        await self.ask("metadata", lambda: None)
        self._fetcher.start()
        if self.group_id is not None:
            self._coordinator.start()

    async def stop(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._coordinator.close()
        await self._fetcher.close()

    def subscribe(self, topics: Iterable[str], listener: Any) -> None:
        self._coordinator.subscribe(set(topics), listener)

    def assign(self, tps: Iterable[TopicPartition]) -> None:
        self._subscription.subscription = SimpleNamespace(assignment=Assignment(tps), topics=set())
        self.is_assigned.set()
        self._fetcher.wake()

    # -- what it has

    @property
    def current(self) -> Assignment | None:
        subscription = self._subscription.subscription
        return None if subscription is None else subscription.assignment

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset() if self.current is None else self.current.tps

    def _state(self, tp: TopicPartition) -> State:
        state = None if self.current is None else self.current.state_value(tp)
        if state is None:
            raise IllegalStateError(f"Partition {tp} is not assigned")
        return state

    def highwater(self, tp: TopicPartition) -> int | None:
        assert tp in self.assignment(), "Partition is not assigned"
        return self._state(tp).highwater

    async def position(self, tp: TopicPartition) -> int:
        while True:
            state = self._state(tp)
            if state.position is not None:
                return state.position
            self._fetcher.wake()
            waiting = asyncio.ensure_future(state.is_known.wait())
            await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._state(tp).seek(offset)
        self._fetcher.forget(tp)

    def pause(self, *tps: TopicPartition) -> None:
        for tp in tps:
            self._state(tp).is_paused = True

    def resume(self, *tps: TopicPartition) -> None:
        for tp in tps:
            self._state(tp).is_paused = False
        self._fetcher.wake()

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        for tp in tps:
            self._state(tp).reset()
            self._fetcher.forget(tp)
        for tp in tps:
            state = self._state(tp)
            waiting = asyncio.ensure_future(state.is_known.wait())
            while not waiting.done() and self.current is not None and self.current.state_value(tp) is state:
                await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()

    # -- offsets

    async def committed(self, tp: TopicPartition) -> int | None:
        broker, place = self.connection.broker, (self.group_id, tp.topic, tp.partition)
        found: int | None = await self.ask("group", lambda: broker.offsets.get(place))
        return found

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        tps = sorted(self.assignment())
        assert tps, "No partitions are currently assigned"
        found = {}
        for tp in tps:
            found[tp] = offset = await self.committed(tp)
            if offset and offset > 0:
                self.seek(tp, offset)
        return found

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        if self.current is None:
            raise IllegalStateError("No partitions assigned")
        for tp in offsets:
            if tp not in self.current.tps:
                raise IllegalStateError(f"Partition {tp} is not assigned")
        await self._coordinator.commit({(self.group_id, *tp): at.offset for tp, at in offsets.items()})

    async def beginning_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        logs, wanted = self.connection.broker.logs, sorted(tps)
        found: dict[TopicPartition, int] = await self.ask(
            "offsets", lambda: {tp: logs[tuple(tp)].start for tp in wanted}
        )
        return found

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        logs, wanted = self.connection.broker.logs, sorted(tps)
        found: dict[TopicPartition, int] = await self.ask(
            "offsets", lambda: {tp: logs[tuple(tp)].stable_end() for tp in wanted}
        )
        return found

    async def getmany(self, *tps: TopicPartition, timeout_ms: int = 0) -> dict[TopicPartition, list[Fetched]]:
        return await self._fetcher.fetched_records(set(tps), timeout_ms / 1000, None)


class Fetcher:
    """Fetches for all assigned partitions of which nothing waits to be taken."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._closed = False
        self._fetch_task: Any = None
        self._records: dict[TopicPartition, tuple[list[Fetched], int]] = {}
        self._wake = Wakeup()
        self._arrived = Wakeup()
        self._subscriptions = self

    @contextmanager
    def fetch_context(self) -> Iterator[None]:
        yield

    @property
    def subscription(self) -> Any:
        return self._consumer._subscription.subscription

    def start(self) -> None:
        self._fetch_task = asyncio.ensure_future(self._run())

    def wake(self) -> None:
        self._wake.set()

    def forget(self, tp: TopicPartition) -> None:
        self._records.pop(tp, None)
        self.wake()

    async def close(self) -> None:
        self._closed = True
        self._arrived.set()
        if self._fetch_task is not None:
            self._fetch_task.cancel()
            await asyncio.wait({self._fetch_task})

    async def _run(self) -> None:
        while True:
            assignment = self._consumer.current
            if assignment is not None:
                await self._find_positions(assignment)
                wanted = {
                    tp: state.position
                    for tp, state in assignment.states.items()
                    if state.position is not None and not state.is_paused and tp not in self._records
                }
                if wanted and assignment is self._consumer.current:
                    await self._fetch(assignment, wanted)
                    continue
            await self._wake.wait(0.5)

    async def _find_positions(self, assignment: Assignment) -> None:
        consumer = self._consumer
        for tp, state in assignment.states.items():
            if state.position is not None or assignment is not consumer.current:
                continue
            at = None
            if consumer.group_id is not None and not state.from_start:
                at = await consumer.committed(tp)
            if at is None:
                at = (await consumer.beginning_offsets([tp]))[tp]
            if state.position is None:  # else somebody has sought meanwhile
                state.seek(at)

    async def _fetch(self, assignment: Assignment, wanted: dict[TopicPartition, int]) -> None:
        """While something waits to be taken, the brokers' answer is not waited for long."""
        consumer = self._consumer
        asked = asyncio.ensure_future(consumer.ask("fetch", lambda: self._at_the_brokers(wanted)))
        try:
            while not asked.done():
                await asyncio.wait({asked}, timeout=1.0)
                if assignment is not consumer.current:
                    return
        finally:
            asked.cancel()
        for tp, (records, after, end) in asked.result().items():
            state = assignment.state_value(tp)
            if state is None or state.position != wanted[tp] or assignment is not consumer.current:
                continue
            state.highwater, state.timestamp = end, int(asyncio.get_running_loop().time() * 1000)
            if records:
                self._records[tp] = records, after
                self._arrived.set()
            else:
                state.position = after

    def _at_the_brokers(self, wanted: dict[TopicPartition, int]) -> Any:
        """Records, at once or when there are some, or none when it took too long."""
        found = self._read(wanted)
        if any(records or after > wanted[tp] for tp, (records, after, _) in found.items()):
            return found
        connection, answer = self._consumer.connection, Awaited()
        logs = [connection.broker.logs[tuple(tp)] for tp in wanted]

        def read() -> None:
            timer.cancel()
            for log in logs:
                if wake in log.waiters:
                    log.waiters.remove(wake)
            answer.comes(self._read(wanted))

        def wake() -> None:
            if not timer.cancelled():
                timer.cancel()
                connection.network.later(0.0, read)

        timer = connection.network.later(self._consumer._fetch_max_wait_ms / 1000, read)
        for log in logs:
            log.waiters.append(wake)
        return answer

    def _read(self, wanted: dict[TopicPartition, int]) -> dict[TopicPartition, tuple[list[Fetched], int, int]]:
        connection = self._consumer.connection
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        found = {}
        for tp, position in wanted.items():
            log = connection.broker.logs[tuple(tp)]
            stored, after = log.read(position, connection.batch)
            records = [Fetched(tp.topic, tp.partition, one.offset, one.key, one.value, now_ms) for one in stored]
            found[tp] = records, after, log.end
        return found

    async def fetched_records(
        self, partitions: set[TopicPartition] | None, timeout: float = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Fetched]]:
        """aiokafka's. Taken and returned in one step."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout or 0)
        while True:
            await self._consumer.is_assigned.wait()
            taken: dict[TopicPartition, list[Fetched]] = {}
            left = max_records or 10**9
            assigned = self._consumer.assignment()
            for tp in list(self._records):
                if tp not in assigned or self._consumer._state(tp).is_paused:
                    del self._records[tp]  # fetched again when it is wanted: its position stays
                elif (not partitions or tp in partitions) and left:
                    records, after = self._records[tp]
                    taken[tp], rest = records[:left], records[left:]
                    left -= len(taken[tp])
                    self._consumer._state(tp).position = rest[0].offset if rest else after
                    if rest:
                        self._records[tp] = rest, after
                    else:
                        del self._records[tp]
            if taken:
                self.wake()
                return taken
            wait_s = end - loop.time()
            if wait_s <= 0 or self._closed:
                return {}
            await self._arrived.wait(wait_s)


class Membership:
    """What keeps a consumer in its group."""

    def __init__(
        self,
        consumer: Consumer,
        instance: str | None,
        assignor: Any,
        session_s: float,
        rebalance_s: float,
        heartbeat_s: float,
    ) -> None:
        self._consumer = consumer
        self._instance = self._group_instance_id = instance
        self._assignor = assignor
        self._session_s, self._rebalance_s, self._heartbeat_s = session_s, rebalance_s, heartbeat_s
        self._coordination_task: Any = None
        self._heartbeat_task: Any = None
        self._closing = asyncio.Event()
        self._rejoin = asyncio.Event()
        self._topics: set[str] = set()
        self._listener: Any = None
        self.member = ""
        self.generation = -1
        self.coordinator_id = 0

    @property
    def _metadata_snapshot(self) -> dict[str, int]:
        return {name: topic.partitions for name, topic in self._consumer.connection.broker.topics.items()}

    @property
    def _group(self) -> Any:
        return self._consumer.connection.coordinator

    def _push_error_to_user(self, error: BaseException) -> Any:
        return asyncio.sleep(0)

    def request_rejoin(self) -> None:
        self._rejoin.set()

    def start(self) -> None:
        self._coordination_task = asyncio.ensure_future(self._coordinate())

    def subscribe(self, topics: set[str], listener: Any) -> None:
        self._topics, self._listener = topics, listener
        self._consumer._subscription.subscription = SimpleNamespace(assignment=None, topics=topics)
        self._rejoin.set()

    async def close(self) -> None:
        self._closing.set()
        if self._coordination_task is not None:
            await asyncio.wait({self._coordination_task})
        await self._stop_heartbeats()
        if self._instance is not None and self._group_instance_id is None and self.member:
            member, group = self.member, self._group
            with suppress(Unreachable):
                await self._consumer.connection.ask("group", lambda: group.leave(member), 2.0)

    async def _send_req(self, request: Any) -> Answer:
        """KafkaError when no answer comes."""
        group = self._group
        try:
            if isinstance(request, HeartbeatRequest):
                return Answer(await self._consumer.connection.ask("group", lambda: group.heartbeat(*request)))
            synced = await self._consumer.connection.ask("group-round", lambda: group.sync(*request), 30.0)
            return Answer(synced.error, synced.assignment)
        except Unreachable as error:
            raise KafkaError(str(error)) from error

    async def commit(self, offsets: dict[Any, int]) -> None:
        """CommitFailedError when the group has gone on without this member."""
        group, broker, member, generation = self._group, self._consumer.connection.broker, self.member, self.generation

        def commit() -> int:
            error: int = group.check(member, generation)
            if error == NO_ERROR:
                broker.offsets.update(offsets)
            return error

        error = await self._consumer.ask("group", commit)
        if error != NO_ERROR:
            self._heard(error)
            raise CommitFailedError(f"error {error}")

    def _heard(self, error: int) -> None:
        if error == UNKNOWN_MEMBER:
            self.member = ""
        if error == FENCED_INSTANCE:
            raise KafkaError("another process has this member's name")
        if error != NO_ERROR:
            self._rejoin.set()

    # -- its task

    async def _coordinate(self) -> None:
        while not self._closing.is_set():
            await self._until_something()
            if self._closing.is_set():
                return
            if self._rejoin.is_set():
                self._rejoin.clear()
                await self._round()

    async def _until_something(self) -> None:
        waiting = {asyncio.ensure_future(event.wait()) for event in (self._rejoin, self._closing)}
        others = {self._heartbeat_task} if self._heartbeat_task is not None else set()
        try:
            await asyncio.wait(waiting | others, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        if self._heartbeat_task is not None and self._heartbeat_task.done():
            task, self._heartbeat_task = self._heartbeat_task, None
            task.result()

    async def _round(self) -> None:
        """Give back, join, and take what is given."""
        consumer = self._consumer
        before = consumer.assignment()
        consumer.is_assigned.clear()
        await _told(self._listener.on_partitions_revoked, set(before))
        await self._stop_heartbeats()
        while not self._closing.is_set():
            given = await self._join()
            if given is not None:
                break
            await asyncio.sleep(BACKOFF_S)
        else:
            return
        await self._on_join_complete(given)
        self._start_heartbeat_task()

    async def _on_join_complete(self, given: Any) -> None:
        consumer = self._consumer
        assignment = Assignment(TopicPartition(*tp) for tp in given.partitions())
        consumer._subscription.subscription = SimpleNamespace(assignment=assignment, topics=self._topics)
        consumer.is_assigned.set()
        self._assignor.on_assignment(given)
        consumer._fetcher.wake()
        await _told(self._listener.on_partitions_assigned, set(assignment.tps))

    def _start_heartbeat_task(self) -> None:
        if self._heartbeat_task is None:
            self._heartbeat_task = asyncio.ensure_future(self._heartbeats())

    async def _join(self) -> Any:
        """The assignment; None: try again."""
        group, told = self._group, self._assignor.metadata(self._topics)
        member, instance = self.member, self._instance
        try:
            joined: Joined = await self._consumer.connection.ask(
                "group-round",
                lambda: group.join(member, instance, told, self._session_s, self._rebalance_s),
                self._rebalance_s + 5.0,
            )
        except Unreachable:
            return None
        if joined.error != NO_ERROR:
            self.member = ""
            return None
        self.member, self.generation = joined.member, joined.generation
        given = None
        if joined.members:
            given = self._assignor.assign(Cluster(self._metadata_snapshot), joined.members)
        try:
            answer = await self._send_req(SyncGroupRequest(self.member, self.generation, given))
        except KafkaError:
            return None
        if answer.error_code in (UNKNOWN_MEMBER, FENCED_INSTANCE):
            self.member = ""
        return answer.content if answer.error_code == NO_ERROR else None

    async def _heartbeats(self) -> None:
        while self.member:
            await asyncio.sleep(self._heartbeat_s)
            try:
                answer = await self._send_req(HeartbeatRequest(self.member, self.generation))
            except KafkaError:
                continue
            self._heard(answer.error_code)
            if answer.error_code not in (NO_ERROR, REBALANCE_IN_PROGRESS):
                return

    async def _stop_heartbeats(self) -> None:
        task, self._heartbeat_task = self._heartbeat_task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})


class Cluster:
    """What an assignor asks."""

    def __init__(self, partitions: dict[str, int]) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._partitions.get(topic, 0)))

    def topics(self) -> set[str]:
        return set(self._partitions)


async def _told(callback: Callable[[set[TopicPartition]], Any], tps: set[TopicPartition]) -> None:
    """aiokafka logs what a listener raises, and goes on."""
    try:
        called = callback(tps)
        if asyncio.iscoroutine(called):
            await called
    except Exception as error:
        from faust_floor.clients import connection_of

        connection_of().listener_failed(error)
