"""What is fetched while a batch is in flight, and when it is given out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from event_loop import turns
from faust.types import TP
from mode import Service
from standing_by import CHANGELOG, JOURNAL, StandingBy

from exness_streams.transport.batching import AHEAD_BYTES_LOW, AHEAD_BYTES_MAX, SINGLES_AT_ONCE, BatchMessage

OTHER = TP(JOURNAL.topic, 1)
BOTH = {JOURNAL, OTHER}


class Read(NamedTuple):
    offset: int
    value: bytes | None = b"x"


def records(*offsets: int) -> list[Read]:
    return [Read(offset) for offset in offsets]


class Reading(StandingBy):
    """Two partitions of a batched topic. `fetches`: what each fetch finds of those that are asked for."""

    def __init__(self, *, reads_ahead: bool) -> None:
        super().__init__()
        self.reads_ahead = reads_ahead
        self.fetches = []
        self.asked: list[set[TP]] = []
        self.active = set(BOTH)
        self._sources_released = True
        self.given: list[Any] = []

    def assignment(self) -> set[TP]:
        return set(BOTH)

    def _get_active_partitions(self) -> set[TP]:
        return self.active

    async def _getmany(self, active: set[TP], timeout: float) -> Mapping[TP, Any]:
        self.asked.append(set(active))
        found: Mapping[TP, Any] = self.fetches.pop(0) if self.fetches else {}
        return {tp: list(some) for tp, some in found.items()}

    def _to_message(self, tp: TP, record: Any) -> Any:
        return SimpleNamespace(
            topic=tp.topic, partition=tp.partition, offset=record.offset, timestamp=0.0, timestamp_type=0, headers=[],
            tp=tp, generation_id=1,
        )  # fmt: skip

    def _deliver(self, tp: TP, found: Any) -> Any:
        return super(StandingBy, self)._deliver(tp, found)

    def _begins_again(self, tp: TP, found: Any) -> bool:
        return super(StandingBy, self)._begins_again(tp, found)

    async def turn(self) -> list[tuple[TP, list[int]]]:
        """One call of getmany; what it gives out stays in flight."""
        now: list[BatchMessage] = [message async for _, message in self.getmany(timeout=1.0)]
        self.given += now
        return [(message.tp, [record.offset for record in message.value]) for message in now]


Reading.__abstractmethods__ = frozenset()


async def test_a_partition_with_a_batch_in_flight_is_read_ahead() -> None:
    """What is read is taken from the driver at once, and is the next batch, whole and in order."""
    consumer = Reading(reads_ahead=True)
    consumer.fetches = [{JOURNAL: records(1, 2)}, {JOURNAL: records(3), OTHER: records(7)}, {JOURNAL: records(4, 5)}]
    assert await consumer.turn() == [(JOURNAL, [1, 2])]
    assert await consumer.turn() == [(OTHER, [7])]
    assert await consumer.turn() == []
    assert consumer.asked == [BOTH, BOTH, BOTH]
    consumer.given[0].acked = True
    consumer.fetches = [{JOURNAL: records(6)}]
    assert await consumer.turn() == [(JOURNAL, [3, 4, 5, 6])]
    assert not consumer._waiting
    assert not consumer._ahead_bytes


async def test_without_reading_ahead_it_is_left_to_the_driver() -> None:
    consumer = Reading(reads_ahead=False)
    consumer.fetches = [{JOURNAL: records(1, 2)}, {}]
    await consumer.turn()
    await consumer.turn()
    assert consumer.asked == [BOTH, {OTHER}]
    consumer.given[0].acked = True
    await consumer.turn()
    assert consumer.asked[-1] == BOTH


async def test_what_is_read_ahead_is_bounded() -> None:
    consumer = Reading(reads_ahead=True)
    half = [Read(n, b"x" * (AHEAD_BYTES_MAX // 2)) for n in range(1, 4)]
    consumer.fetches = [{JOURNAL: records(0)}, {JOURNAL: half[:1]}, {JOURNAL: half[1:2]}, {OTHER: records(1)}]
    for _ in range(4):
        await consumer.turn()
    assert consumer.asked == [BOTH, BOTH, BOTH, {OTHER}]
    consumer.given[0].acked = True
    assert await consumer.turn() == [(JOURNAL, [1, 2])]
    await consumer.turn()
    assert consumer.asked[-1] == BOTH


@pytest.mark.parametrize("forgotten", [[JOURNAL], None])
async def test_what_was_read_ahead_of_a_seek_is_forgotten(forgotten: list[TP] | None) -> None:
    consumer = Reading(reads_ahead=True)
    consumer.fetches = [{JOURNAL: records(1)}, {JOURNAL: records(2, 3)}]
    await consumer.turn()
    await consumer.turn()
    consumer._forget_batches(forgotten)
    consumer.given[0].acked = True
    consumer.fetches = [{JOURNAL: records(1, 2)}]
    assert await consumer.turn() == [(JOURNAL, [1, 2])]


@pytest.mark.parametrize(("found", "ends"), [([4, 5], False), ([3], True), ([0, 1, 9], True)])
@pytest.mark.parametrize("acked", [True, False])
async def test_a_topic_that_was_made_anew_ends_the_worker(found: list[int], ends: bool, acked: bool) -> None:
    """In one line: Faust would drop what stands before the offset that it has come to."""
    crashed: list[Exception] = []

    async def crash(fault: Exception) -> None:
        crashed.append(fault)

    consumer = Reading(reads_ahead=True)
    consumer.app.crash = crash
    consumer.fetches = [{JOURNAL: records(2, 3), OTHER: records(7)}, {JOURNAL: records(*found), OTHER: records(8)}]
    await consumer.turn()
    consumer.given[0].acked = acked
    await consumer.turn()
    assert [str(fault).split(": ")[0] for fault in crashed] == [
        f"partition 0 of {JOURNAL.topic} begins again at record {found[0]}, but was read up to 4"
    ][: int(ends)]


@pytest.mark.parametrize("forgotten", [[JOURNAL], None])
async def test_a_partition_that_was_sought_may_go_back(forgotten: list[TP] | None) -> None:
    consumer = Reading(reads_ahead=True)
    consumer.fetches = [{JOURNAL: records(2, 3)}, {JOURNAL: records(0, 1)}]
    await consumer.turn()
    consumer._forget_batches(forgotten)
    assert await consumer.turn() == [(JOURNAL, [0, 1])]


async def test_what_was_read_ahead_of_a_paused_partition_waits_and_nobody_spins() -> None:
    consumer = Reading(reads_ahead=True)
    consumer.fetches = [{JOURNAL: records(1)}, {JOURNAL: records(2)}]
    await consumer.turn()
    await consumer.turn()
    consumer.active = {OTHER}
    consumer.given[0].acked = True
    assert consumer.is_waiting(JOURNAL)
    assert not consumer._givable(consumer.active)
    assert await consumer.turn() == []
    consumer.active = set(BOTH)
    assert await consumer.turn() == [(JOURNAL, [2])]


async def test_an_acknowledgement_wakes_the_reader_only_for_what_waits() -> None:
    consumer = Reading(reads_ahead=True)
    consumer.fetches = [{JOURNAL: records(1), OTHER: records(1)}, {JOURNAL: records(2)}]
    await consumer.turn()
    await consumer.turn()
    assert not consumer.wakeup._is_set
    by_partition = {message.tp: message for message in consumer.given}
    by_partition[OTHER].acked = True
    assert not consumer.wakeup._is_set
    by_partition[JOURNAL].acked = True
    assert consumer.wakeup._is_set


def test_a_changelog_is_not_batched() -> None:
    assert not Reading(reads_ahead=True)._is_batched(CHANGELOG)


class StandingByAhead(Reading):
    """A source, and a changelog whose records are given out one by one."""

    def __init__(self) -> None:
        super().__init__(reads_ahead=True)
        self.active = {JOURNAL, CHANGELOG}

    def assignment(self) -> set[TP]:
        return self.active

    def _deliver(self, tp: TP, found: Any) -> Any:
        return SimpleNamespace(tp=tp, value=found if isinstance(found, list) else [found])


async def test_a_standbys_changelog_is_read_ahead_and_does_not_lie_in_wait_in_the_driver() -> None:
    consumer = StandingByAhead()
    consumer.fetches = [{CHANGELOG: records(*range(3 * SINGLES_AT_ONCE))}, {CHANGELOG: records(700)}]
    seen = []
    for _ in range(4):
        seen += [offset for tp, offsets in await consumer.turn() if tp == CHANGELOG for offset in offsets]
    assert seen == [*range(3 * SINGLES_AT_ONCE), 700]
    assert consumer.asked == [{JOURNAL, CHANGELOG}] * 4
    assert not consumer._ahead_bytes


async def test_a_changelog_at_its_mark_is_fetched_again_before_all_is_given_out() -> None:
    """A fetch under way for others ends first."""
    consumer = StandingByAhead()
    size = AHEAD_BYTES_MAX // (4 * SINGLES_AT_ONCE)
    consumer.fetches = [{CHANGELOG: [Read(n, b"x" * size) for n in range(6 * SINGLES_AT_ONCE)]}]
    held = []
    for _ in range(6):
        await consumer.turn()
        held.append((CHANGELOG not in consumer.asked[-1], consumer._ahead_bytes.get(CHANGELOG, 0)))
    waited = [size * SINGLES_AT_ONCE * left for left in (5, 4, 3, 2, 1, 0)]
    assert [ahead for _, ahead in held] == waited
    full = [False, True, True, True, False, False]
    assert [is_held for is_held, _ in held] == full
    assert waited[2] > AHEAD_BYTES_LOW >= waited[3]


class Crashing(StandingBy):
    """As a service, which Faust lets fetch until it is stopped; `rounds`: how often it went round so far."""

    should_stop = Service.should_stop

    def __init__(self) -> None:
        Service.__init__(self)
        super().__init__()
        self.rounds = 0
        self.diag = SimpleNamespace(set_flag=self._count, unset_flag=lambda flag: None)
        self._commit_every = None
        self.callback = None
        self.app.topics = SimpleNamespace(acks_enabled_for=lambda topic: True)
        self.app.should_stop = True
        self.transport = SimpleNamespace(app=self.app)

    def _count(self, flag: str) -> None:
        self.rounds += 1


Crashing.__abstractmethods__ = frozenset()


async def test_a_consumer_that_crashed_waits_to_be_stopped_and_does_not_spin() -> None:
    """What the worker still does until it is stopped, it does on the same core, and for as long as brokers are gone."""
    consumer, fetcher = Crashing(), Service()
    consumer._crash(RuntimeError())
    fetching = asyncio.ensure_future(consumer._drain_messages(fetcher))
    await turns(200)
    assert consumer.rounds == 1
    assert not fetching.done()
    consumer._stopped_set()
    await fetching
