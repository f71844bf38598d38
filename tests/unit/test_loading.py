"""What was recovered is taken over in the rebalance it was recovered for, and in no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cell_worker import deposit
from faust.types import TP

from exness_streams.domain import rules
from exness_streams.domain.codec import RulesChanged, decode_record, encode
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.packed_frames import pack
from exness_streams.engine.loading import Loading
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, PLAIN_TOPICS
from exness_streams.transport.faults import LogFault


class Table:
    """One whose changelog is there, and in which nothing is missing."""

    changelog_name, lineage = "changelog", None

    def is_changelog(self, tp: TP) -> bool:
        return tp.topic == self.changelog_name

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Cells:
    """Notes what is loaded. `during` happens while the worker's own offset is mended."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.table = Table()
        self.seen: list[str] = []
        self.has_committed = False
        self._during = during

    async def mend_offset(self, partition: int, *, journal_start: int) -> None:
        self._during()

    def is_new(self, partition: int) -> bool:
        return not self.has_committed

    def load(self, partition: int, *, journal_start: int, journal_end: int) -> None:
        self.seen.append("load")

    def loaded(self) -> None:
        self.seen.append("loaded")


class Views(Cells):
    """Histories, or candles; without any of their own."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    async def mend(self, partition: int, *, events_start: int, events_end: int) -> None:
        self.seen.append("mend")

    def load(self, partition: int, **bounds: int) -> None:
        self.seen.append("load")


class App:
    """A Faust app in its first rebalance, whose recovery is complete."""

    def __init__(self, journal: Sequence[bytes | None] = (), start: int = 0) -> None:
        self.consumer_generation_id = 1
        self.journal, self.journal_start = journal, start
        self.transport = SimpleNamespace(first_value=self._first_value)
        self.appended: list[tuple[str, int, bytes]] = []
        self.producer = SimpleNamespace(send=self._send)
        self.should_stop = False
        self.named_topics = PLAIN_TOPICS
        self.crashed_with: BaseException | None = None
        self.recovery = SimpleNamespace(is_current=True)
        self.tables = SimpleNamespace(recovery=self.recovery)
        self.assigned = {TP(JOURNAL_TOPIC, 0), TP(EVENTS_TOPIC, 0), TP("changelog", 0)}
        self.assignor = SimpleNamespace(assigned_actives=lambda: self.assigned)
        self.consumer = SimpleNamespace(earliest_offsets=self._offsets, highwaters=self._ends)

    async def _offsets(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.journal_start if tp.topic == JOURNAL_TOPIC else 0 for tp in tps}

    async def _ends(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.journal_start + len(self.journal) if tp.topic == JOURNAL_TOPIC else 0 for tp in tps}

    async def _first_value(
        self, topic: str, partition: int, first: int, is_wanted: Callable[[bytes | None], bool]
    ) -> bytes | None:
        assert (topic, partition, first) == (JOURNAL_TOPIC, 0, 0)
        return next((value for value in self.journal if is_wanted(value)), None)

    async def _send(self, topic: str, key: None, value: bytes, partition: int, *_: Any) -> asyncio.Future[None]:
        self.appended.append((topic, partition, value))
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return durable

    async def crash(self, error: BaseException) -> None:
        self.crashed_with = error


async def loaded(app: App, during: Callable[[], None] = lambda: None, *, has_committed: bool = False) -> list[str]:
    cells: Any = Cells(during)
    cells.has_committed = has_committed
    views: Any = Views()
    await asyncio.wait_for(Loading(app, cells, views, views, Path("checkpoints")).load(), 10)
    assert app.crashed_with is None
    seen: list[str] = cells.seen
    return seen


async def test_what_is_recovered_is_loaded() -> None:
    assert await loaded(App()) == ["load", "loaded"]


@pytest.mark.parametrize("topic", [EVENTS_TOPIC, JOURNAL_TOPIC])
async def test_a_cell_without_its_events_ends_the_worker(topic: str) -> None:
    """Their topic was deleted. A start makes it anew; the group by itself would come to it in minutes."""
    app = App()
    app.assigned.remove(TP(topic, 0))
    with pytest.raises(AssertionError):
        await loaded(app)
    assert isinstance(app.crashed_with, LogFault)
    assert str(app.crashed_with).startswith(f"partition 0 of {topic} was not dealt out: the topic was deleted")
    assert "says what is lost" in str(app.crashed_with)
    assert "\n" not in str(app.crashed_with)


async def next_rebalance(app: App) -> None:
    await asyncio.sleep(0.05)
    app.consumer_generation_id += 1


@pytest.mark.parametrize("begins", ["before it is called", "while offsets are mended"])
async def test_a_rebalance_that_begins_meanwhile_leaves_it_to_the_next_recovery(begins: str) -> None:
    app = App()

    def begin() -> None:
        app.recovery.is_current = False

    if begins == "before it is called":
        begin()
    following = asyncio.create_task(next_rebalance(app))
    assert await loaded(app, begin) == []
    assert app.consumer_generation_id == 2, "it was held until the next one"
    await following


async def test_a_rebalance_that_is_over_already_is_not_waited_for() -> None:
    app = App()

    def pass_by() -> None:
        app.consumer_generation_id = 2

    assert await loaded(app, pass_by) == []


def frame_of(epoch: int) -> bytes:
    return encode(PriceFrame(1, (), epoch=epoch, from_offset=0, to_offset=1))


CHANGED = encode(RulesChanged(1, 2))
DEPOSIT = deposit(5).value


@pytest.mark.parametrize(
    ("journal", "start", "has_committed", "begun"),
    [
        ([], 0, False, [(2, 0), (3, 0)]),
        # The framer of another worker has waited for no cell.
        ([frame_of(7)], 0, False, [(2, 7), (3, 7)]),
        ([frame_of(7), frame_of(9), pack(frame_of(8))], 0, False, [(2, 9), (3, 9)]),
        ([frame_of(7)], 0, True, []),
        ([frame_of(7)], 3, False, []),
        ([CHANGED], 0, False, []),
        ([frame_of(7), CHANGED, frame_of(7)], 0, False, []),
        ([frame_of(7), DEPOSIT], 0, False, []),
        ([DEPOSIT], 0, False, []),
        ([None], 0, False, []),
        ([b"garbage", frame_of(7)], 0, False, []),
    ],
)
async def test_a_new_journal_goes_by_the_newest_rules_whoever_has_written_first(
    journal: list[bytes | None],
    start: int,
    has_committed: bool,
    begun: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "NEWEST", 3)
    app = App(journal, start)
    assert await loaded(app, has_committed=has_committed) == ["load", "loaded"]
    assert {(topic, partition) for topic, partition, _ in app.appended} <= {(JOURNAL_TOPIC, 0)}
    records = [decode_record(value) for _, _, value in app.appended]
    assert [(record.rules, record.epoch) for record in records if isinstance(record, RulesChanged)] == begun
    assert len(records) == len(begun)
