"""What stands still is said once, and once when it moves again; what is at rest, or moves slowly, is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from exness_streams.engine.stalls import StallWatch, Standing

JOURNAL, EVENTS = "trading-journal", "trading-events"
AFTER_S = 30.0
WALL_S = 1_790_006_400.0


class Inputs:
    """Partitions as a test puts them, at a time that it says."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.at: dict[tuple[str, int], Standing] = {}
        self.watch = StallWatch(self._look, AFTER_S, lambda: self.now_s, lambda: WALL_S + self.now_s)

    def _look(self) -> Iterator[Standing]:
        yield from list(self.at.values())

    def put(
        self, offset: int, *, behind: int = 5, waits: bool = True, topic: str = JOURNAL, partition: int = 3
    ) -> None:
        self.at[topic, partition] = Standing(topic, partition, (offset, offset), behind, waits)

    def look(self, *, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.watch.look()


@pytest.fixture
def inputs(caplog: pytest.LogCaptureFixture) -> Inputs:
    caplog.set_level(logging.INFO)
    return Inputs()


def test_it_is_said_once_with_how_far_behind_and_since_when(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    inputs.put(7)
    inputs.look()
    inputs.look(after_s=AFTER_S - 1)
    assert not caplog.records
    inputs.put(7, behind=90)
    inputs.look(after_s=1)
    inputs.look(after_s=500)
    (said,) = caplog.records
    assert said.levelname == "WARNING"
    assert said.message == (
        "partition 3 of trading-journal stands still since 16:01:40 UTC: 90 records wait, from 7 on "
        "(docs/operations.md, A partition that stands still)"
    )
    inputs.put(8)
    inputs.look(after_s=10)
    inputs.look()
    assert [record.message for record in caplog.records[1:]] == [
        "partition 3 of trading-journal moves again, after 540 s"
    ]
    inputs.look(after_s=AFTER_S)
    assert len(caplog.records) == 3, "it stands still a second time"


def test_at_rest_or_slow_is_not_still(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    for offset in range(20):
        inputs.put(offset)
        inputs.look(after_s=AFTER_S - 1)
    inputs.put(19, behind=1, waits=False)  # a transaction's marker is behind it
    for _ in range(20):
        inputs.look(after_s=AFTER_S)
    inputs.put(19)
    inputs.look(after_s=AFTER_S - 1)
    assert not caplog.records


def test_a_partition_that_has_nothing_left_moves_again(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    inputs.put(7)
    inputs.look()
    inputs.look(after_s=AFTER_S)
    inputs.put(7, behind=0, waits=False)
    inputs.look(after_s=1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_each_partition_for_itself(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    for offset in range(3):
        inputs.put(1)
        inputs.put(1, topic=EVENTS)
        inputs.put(offset, partition=4)
        inputs.look(after_s=AFTER_S)
    assert [record.message.split(" stands")[0] for record in caplog.records] == [
        "partition 3 of trading-journal",
        "partition 3 of trading-events",
    ]


def test_one_that_another_worker_has_now_is_forgotten(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    inputs.put(1)
    inputs.look()
    inputs.at.clear()
    inputs.look(after_s=AFTER_S)
    inputs.put(1)
    inputs.look()
    inputs.look(after_s=AFTER_S - 1)
    assert not caplog.records
