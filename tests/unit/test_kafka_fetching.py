"""What of a worker's partitions is fetched and taken: aiokafka's own fetcher, and brokers that a test fills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Set
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from exness_streams.transport.kafka.aiokafka_mends import tell_fetches
from exness_streams.transport.kafka.fetching import ANSWER_S_MAX, Fetching

GIVE_UP_S = 30.0
HOUR_S = 3_600.0
NODE = 1

JOURNAL, EVENTS, TICKS, CHANGELOG = ALL = tuple(
    TopicPartition(topic, 0) for topic in ("journal", "events", "ticks", "changelog")
)
"""Of one broker."""


class Answer(NamedTuple):
    API_VERSION: int
    topics: list[Any]


class Brokers:
    """One broker. A fetch that finds nothing is held until something is written."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1_000_000
        self.cluster = self
        self.written: dict[TopicPartition, list[bytes]] = {tp: [] for tp in ALL}
        self._more = asyncio.Event()
        self.asked: list[set[TopicPartition]] = []

    def leader_for_partition(self, tp: TopicPartition) -> int:
        return NODE

    def write(self, tp: TopicPartition, count: int = 1) -> None:
        self.written[tp] += [b"%d" % n for n in range(len(self.written[tp]), len(self.written[tp]) + count)]
        self._more.set()

    async def send(self, node: int, request: Any) -> Answer:
        wanted = {TopicPartition(topic, n): at for topic, several in request.topics for n, at, _ in several}
        self.asked.append(set(wanted))
        while not any(len(self.written[tp]) > at for tp, at in wanted.items()):
            self._more.clear()
            await self._more.wait()
        return Answer(4, [(tp.topic, [self._found(tp, at)]) for tp, at in wanted.items()])

    def _found(self, tp: TopicPartition, at: int) -> tuple[Any, ...]:
        end, encoded = len(self.written[tp]), b""
        if end > at:
            builder = DefaultRecordBatchBuilder(
                magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0,
                batch_size=1 << 20,
            )  # fmt: skip
            for n, value in enumerate(self.written[tp][at:]):
                builder.append(n, timestamp=1, key=b"k", value=value, headers=[])
            whole = bytearray(builder.build())
            whole[:8] = at.to_bytes(8, "big")  # its base offset, which is in no checksum
            encoded = bytes(whole)
        return tp.partition, 0, end, end, None, encoded


class Consumer:
    """As much of aiokafka's consumer as is asked, with its own subscription and fetcher."""

    def __init__(self, brokers: Brokers) -> None:
        self._subscription = SubscriptionState()
        self._subscription.subscribe({tp.topic for tp in ALL})
        # Nobody is let go by waiting: what holds a broker's fetches back does so for an hour.
        self._fetcher = Fetcher(brokers, self._subscription, prefetch_backoff=HOUR_S, fetcher_timeout=HOUR_S)
        self.fetching = Fetching()
        self.deal_out(dict.fromkeys(ALL, 0))

    def deal_out(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A rebalance; where each partition is read from."""
        self._subscription.begin_reassignment()
        self._subscription.assign_from_subscribed(set(offsets))
        for tp, offset in offsets.items():
            self._subscription.subscription.assignment.state_value(tp).reset_to(offset)

    def assignment(self) -> Set[TopicPartition]:
        found: Set[TopicPartition] = self._subscription.assigned_partitions()
        return found

    def pause(self, *tps: TopicPartition) -> None:
        for tp in tps:
            self._subscription.pause(tp)

    def resume(self, *tps: TopicPartition) -> None:
        for tp in tps:
            self._subscription.resume(tp)

    async def take(self, *wanted: TopicPartition, timeout_s: float = GIVE_UP_S) -> dict[str, list[int]]:
        """What one fetch brings, by topic: the offsets. As ConsumerThread does it."""
        self.fetching.hold_back(self, set(wanted))  # type: ignore[arg-type]
        found = await self._fetcher.fetched_records(None, timeout=timeout_s)
        return {tp.topic: [record.offset for record in records] for tp, records in found.items()}


@pytest.fixture
async def brokers() -> AsyncIterator[Brokers]:
    yield Brokers()


@pytest.fixture
async def consumer(brokers: Brokers) -> AsyncIterator[Consumer]:
    made = Consumer(brokers)
    yield made
    await made._fetcher.close()


NOT_WANTED = [{EVENTS}, {TICKS}, {CHANGELOG}, {EVENTS, TICKS, CHANGELOG}]


@pytest.mark.parametrize("full", NOT_WANTED)
async def test_an_orders_record_comes_although_other_partitions_are_full(
    brokers: Brokers, consumer: Consumer, full: set[TopicPartition]
) -> None:
    """Theirs were fetched with it, or before, and nobody takes them."""
    for tp in full:
        brokers.write(tp, 3)
    brokers.write(JOURNAL)
    wanted = set(ALL) - full
    assert await consumer.take(*wanted) == {"journal": [0]}
    for n in range(1, 4):
        for tp in full:
            brokers.write(tp)
        brokers.write(JOURNAL)
        assert await asyncio.wait_for(consumer.take(*wanted), GIVE_UP_S) == {"journal": [n]}


@pytest.mark.parametrize("full", NOT_WANTED)
async def test_what_was_left_is_fetched_when_it_is_wanted_again(
    brokers: Brokers, consumer: Consumer, full: set[TopicPartition]
) -> None:
    for tp in full:
        brokers.write(tp, 3)
    taken = 0
    while taken < 3 * len(full):
        taken += sum(map(len, (await consumer.take(*ALL)).values()))
    for tp in full:
        brokers.write(tp, 2)
    await consumer.take(*(set(ALL) - full), timeout_s=0.001)
    brokers.write(JOURNAL)  # which ends the fetch under way
    seen: dict[str, list[int]] = {}
    while sum(map(len, seen.values())) < 2 * len(full) + 1:
        for topic, offsets in (await asyncio.wait_for(consumer.take(*ALL), GIVE_UP_S)).items():
            seen.setdefault(topic, []).extend(offsets)
    for tp in full:
        assert seen[tp.topic][-2:] == [3, 4]


async def test_it_is_held_back_after_a_rebalance_too(brokers: Brokers, consumer: Consumer) -> None:
    """aiokafka's own pause is over then."""
    brokers.write(EVENTS, 3)
    brokers.write(JOURNAL)
    assert await consumer.take(JOURNAL) == {"journal": [0]}
    consumer.deal_out({JOURNAL: 1, EVENTS: 0})
    brokers.write(JOURNAL)
    assert await asyncio.wait_for(consumer.take(JOURNAL), GIVE_UP_S) == {"journal": [1]}
    brokers.write(JOURNAL)
    assert await asyncio.wait_for(consumer.take(JOURNAL), GIVE_UP_S) == {"journal": [2]}


async def test_nothing_is_asked_twice(brokers: Brokers, consumer: Consumer) -> None:
    """What stands already costs nothing: it is looked at before each fetch."""
    said = []
    consumer.pause = lambda *tps: said.append(tps)  # type: ignore[method-assign]
    for _ in range(3):
        brokers.write(JOURNAL)
        await consumer.take(JOURNAL)
    assert len(said) == 1


class FetchRequest:
    """By its name alone."""


async def test_a_broker_that_answers_no_fetch_is_told_of() -> None:
    now_s, answers = 100.0, {1: asyncio.Event(), 2: asyncio.Event()}

    async def send(node_id: int, request: Any) -> int:
        await answers[node_id].wait()
        return node_id

    client = SimpleNamespace(send=send)
    fetching = Fetching(lambda: now_s)
    tell_fetches(SimpleNamespace(_client=client), fetching.asked)
    asked = [asyncio.ensure_future(client.send(1, FetchRequest())), asyncio.ensure_future(client.send(1, object()))]
    await asyncio.sleep(0)
    now_s += ANSWER_S_MAX
    asked.append(asyncio.ensure_future(client.send(2, FetchRequest())))
    await asyncio.sleep(0)
    assert fetching.unanswered() == ""
    now_s += 1.0
    assert fetching.unanswered() == "broker 1 has not answered a fetch for 16 s"
    answers[1].set()
    assert await asyncio.gather(*asked[:2]) == [1, 1]
    assert fetching.unanswered() == ""
    now_s += ANSWER_S_MAX
    assert fetching.unanswered().startswith("broker 2 ")
    asked[2].cancel()
    await asyncio.wait({asked[2]})
    assert fetching.unanswered() == "", "one that was given up is waited for no more"
