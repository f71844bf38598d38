"""What Faust's recovery of tables is given to read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.tables.recovery import RebalanceAgain
from faust.types import TP
from mode.utils.queues import FlowControlEvent
from standing_by import CHANGELOG, JOURNAL, StandingBy, numbered

from exness_streams.transport.batching import SINGLES_AT_ONCE
from exness_streams.transport.recovery import ChangelogQueue, Recovery, _last_of


def app_of(generation: int) -> Any:
    return SimpleNamespace(flow_control=FlowControlEvent(), consumer_generation_id=generation)


def event(offset: int, generation: int) -> Any:
    return SimpleNamespace(message=SimpleNamespace(offset=offset, generation_id=generation))


async def next_offset(queue: ChangelogQueue) -> Any:
    return (await asyncio.wait_for(queue.get(), 5)).message.offset


@pytest.mark.parametrize(("away_h", "last"), [(0, 7), (19, 7), (21, 41)])
async def test_the_end_of_a_standbys_changelog_is_asked_for_where_it_matters(away_h: int, last: int) -> None:
    asked: list[TP] = []

    async def highwaters(*tps: TP) -> dict[TP, int]:
        asked.extend(tps)
        return dict.fromkeys(tps, 42)

    table: Any = SimpleNamespace(away_s=lambda partition: away_h * 3600.0)
    assert await _last_of(SimpleNamespace(highwaters=highwaters), table, CHANGELOG, 7) == last
    assert asked == ([CHANGELOG] if away_h > 20 else [])


async def test_what_a_standby_has_read_is_kept_when_the_flow_goes_on() -> None:
    app = app_of(generation=1)
    queue = ChangelogQueue(app)
    app.flow_control.resume()
    queue.put_nowait(event(3, generation=1))
    app.flow_control.resume()  # at the end of recovery, when standbys are being read already
    assert await next_offset(queue) == 3


async def test_what_was_read_before_a_rebalance_does_not_reach_recovery() -> None:
    app = app_of(generation=2)
    queue = ChangelogQueue(app)
    queue.put_nowait(event(7, generation=1))
    queue.put_nowait(event(3, generation=2))
    assert await next_offset(queue) == 3


StandingBy.__abstractmethods__ = frozenset()


async def all_of(consumer: StandingBy) -> list[tuple[TP, Any]]:
    """What one call of getmany gives."""
    return [given async for given in consumer.getmany(timeout=1.0)]


async def test_a_long_changelog_of_a_standby_does_not_hold_the_sources_up() -> None:
    consumer = StandingBy()  # whose sources are released a moment after the changelog was fetched
    changelog = numbered(SINGLES_AT_ONCE * 2 + 50)
    consumer.fetches = [{CHANGELOG: changelog}, {JOURNAL: [7, 8]}]
    first = await all_of(consumer)
    consumer._sources_released = True
    assert first == [(CHANGELOG, offset) for offset in changelog[:SINGLES_AT_ONCE]]
    second = await all_of(consumer)
    assert second[0] == (JOURNAL, [7, 8])
    third = await all_of(consumer)
    given = [offset for tp, offset in first + second + third if tp == CHANGELOG]
    assert given == changelog
    assert not consumer._waiting


async def test_what_waits_is_forgotten_when_its_partition_is_sought_anew() -> None:
    consumer = StandingBy()
    consumer._sources_released = True
    consumer.fetches = [{CHANGELOG: numbered(SINGLES_AT_ONCE + 1)}, {CHANGELOG: [40]}]
    await all_of(consumer)
    await consumer.perform_seek()  # of the sources: the changelog goes on
    assert consumer._waiting
    consumer._forget_batches([CHANGELOG])
    assert await all_of(consumer) == [(CHANGELOG, 40)]


async def test_seeking_the_sources_leaves_a_changelog_that_is_being_read() -> None:
    # A standby's changelog flows before the end of recovery seeks the sources; it is not sought then.
    consumer = StandingBy()
    read = []
    async for _, offset in consumer.getmany(timeout=1.0):
        read.append(offset)
        if offset == 0:
            await consumer.perform_seek()
    assert read == [0, 1, 2]


@pytest.fixture
def app() -> faust.App:
    app = faust.App("group", broker="memory://", store="memory://")
    app.consumer = SimpleNamespace(
        assignment=set, resume_partitions=lambda tps: None, resume_flow=lambda: None, perform_seek=None
    )
    app._fetcher = SimpleNamespace(maybe_start=lambda: asyncio.sleep(0))
    return app


class Completed:
    """A table that notes when it is told that all of it was read."""

    def __init__(self) -> None:
        self.told = 0

    async def on_recovery_completed(self, *_: Any) -> None:
        self.told += 1


async def recovery_of(app: faust.App) -> tuple[Recovery, Completed]:
    """In the first rebalance, of generation 1; there is one table."""
    recovery, table = Recovery(app, app.tables), Completed()
    app.tables.data["accounts"] = table
    begin_rebalance(app, 1)
    await recovery.on_rebalance(set(), set(), set(), 1)
    recovery.signal_recovery_start.clear()  # Faust's, when the recovery begins
    return recovery, table


def begin_rebalance(app: faust.App, generation: int) -> None:
    app.rebalancing_count += 1
    app.consumer_generation_id = generation


async def test_a_recovery_that_was_broken_off_is_not_complete(app: faust.App) -> None:
    recovery, table = await recovery_of(app)
    begin_rebalance(app, 2)
    await recovery.on_rebalance(set(), set(), set(), 2)
    await recovery.on_recovery_completed(1)
    await recovery.on_recovery_completed(2)  # Faust looks for its signal only afterwards
    assert table.told == 0


async def test_nor_is_one_whose_next_rebalance_has_only_begun(app: faust.App) -> None:
    recovery, table = await recovery_of(app)
    app.rebalancing_count += 1  # its partitions are taken away; the new generation is told later
    await recovery.on_recovery_completed(1)
    assert table.told == 0


async def test_one_that_came_to_its_end_is_complete(app: faust.App) -> None:
    recovery, table = await recovery_of(app)
    await recovery.on_recovery_completed(1)
    assert table.told == 1


class SoughtConsumer:
    """Keeps where it was told to seek."""

    def __init__(self) -> None:
        self.sought: dict[TP, int] = {}

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.sought.update(offsets)


async def test_offsets_that_the_next_rebalance_fills_anew_are_not_sought(app: faust.App) -> None:
    """Found on a machine under load: Faust sought None, and the worker ended."""
    recovery, consumer = Recovery(app, app.tables), SoughtConsumer()
    one, two = TP("changelog", 0), TP("changelog", 1)
    await recovery._seek_offsets(consumer, {one, two}, {one: 7, two: -1}, "active")
    assert consumer.sought == {one: 7, two: 0}
    with pytest.raises(RebalanceAgain):
        await recovery._seek_offsets(consumer, {one, two}, {one: 9, two: None}, "active")
    assert consumer.sought == {one: 7, two: 0}
