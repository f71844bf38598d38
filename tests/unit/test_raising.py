"""The rules are raised by records, one number at a time; on an embedded log only with a proof of what was before."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exness_streams.domain import codec, rules
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta, RulesChanged
from exness_streams.engine.raising import RulesRaiser, append_changes, changes
from exness_streams.messages import JOURNAL_TOPIC, PLAIN_TOPICS


@pytest.fixture(autouse=True)
def _a_release_that_knows_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 3)


class FakeProducer:
    """Folds what it is given at once into the cells."""

    def __init__(self, cells: dict[int, Cell]) -> None:
        self.cells = cells
        self.sent: list[tuple[int, RulesChanged]] = []

    async def send(self, topic: str, key: Any, value: bytes, partition: int, *_: Any) -> asyncio.Future[None]:
        record = codec.decode_record(value)
        assert isinstance(record, RulesChanged)
        assert (topic, key) == (JOURNAL_TOPIC, None)
        self.sent.append((partition, record))
        cell = self.cells[partition]
        cell.fold(cell.next_offset, record)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return durable


def engine_of(*numbers: int) -> Any:
    """With a cell of each of these rules."""
    cells = {}
    for partition, number in enumerate(numbers):
        cells[partition] = Cell(partition, lambda key: None)
        cells[partition].load(5, [], [], meta=Meta(partition, 5, rules=number))
    host = SimpleNamespace(ready=asyncio.Event(), partitions=sorted(cells), cell=cells.get)
    app = SimpleNamespace(producer=FakeProducer(cells), named_topics=PLAIN_TOPICS)
    return SimpleNamespace(cells=host, app=app, settings=SimpleNamespace(data_dir=Path("data")))


class Proof:
    """Checkpoints that are refused so often, and then written."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.asked = 0
        self.refusing = asyncio.Event()

    async def __call__(self, data_dir: Path) -> str:
        self.asked += 1
        self.refusing.set()
        return self.refusals.pop(0) if self.refusals else ""


def sent(engine: Any) -> list[tuple[int, int]]:
    return [(partition, record.rules) for partition, record in engine.app.producer.sent]


def test_changes_lead_from_one_to_the_next() -> None:
    records = [codec.decode_record(value) for value in changes(1, 3)]
    assert [record.rules for record in records if isinstance(record, RulesChanged)] == [2, 3]
    assert changes(3, 3) == []


async def test_a_new_journal_gets_all_of_them() -> None:
    engine = engine_of(1)
    await append_changes(engine.app, 0, rules.FIRST)
    assert sent(engine) == [(0, 2), (0, 3)]


async def test_each_partition_is_raised_from_where_it_is_once_all_is_proven() -> None:
    engine, proof = engine_of(1, 3, 2), Proof()
    raising = asyncio.create_task(RulesRaiser(engine, proof).run())
    await asyncio.sleep(0)
    assert proof.asked == 0  # not before the cells have caught up
    engine.cells.ready.set()
    await raising
    assert sent(engine) == [(0, 2), (0, 3), (2, 3)]
    assert proof.asked == 1


async def test_nothing_is_proven_or_written_where_the_newest_are_in_force() -> None:
    engine, proof = engine_of(3, 3), Proof()
    engine.cells.ready.set()
    await RulesRaiser(engine, proof).run()
    assert (sent(engine), proof.asked) == ([], 0)


async def test_without_a_proof_the_old_rules_stay_and_it_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    engine, proof = engine_of(2), Proof("cell 0 differs from its journal", "cell 0 differs from its journal")
    engine.cells.ready.set()
    raiser = RulesRaiser(engine, proof, retry_s=0.0)
    raising = asyncio.create_task(raiser.run())
    with caplog.at_level(logging.WARNING):
        await proof.refusing.wait()  # and the raiser has gone on to its next wait
        assert raiser.refused == "cell 0 differs from its journal"
        assert sent(engine) == []
        await raising
    assert (sent(engine), raiser.refused, proof.asked) == ([(0, 3)], "", 3)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]  # the same reason is told once
