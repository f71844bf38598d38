"""The pace of transactions: a slow log gets fewer of them, and what nobody was answered waits for no pace."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from cell_worker import Log, Read, Worker, deposit
from trading_samples import batch, flat, open_command

from exness_streams.domain import codec
from exness_streams.engine import paced_commits
from exness_streams.engine.committer import PACE_S
from exness_streams.engine.paced_commits import REST, REST_S_MAX
from exness_streams.transport.batching import Wakeup
from exness_streams.transport.interfaces import LogRecord


class Rests(Wakeup):
    """Keeps how long each wait would have been, and waits no longer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[float] = []

    async def wait(self, timeout_s: float) -> None:
        if not self._is_set:
            self.asked_s.append(timeout_s)
        self._is_set = False


class SlowLog(Log):
    """Its transactions take a while, by a clock that stands still otherwise."""

    def __init__(self, takes_s: float) -> None:
        super().__init__()
        self.now_s, self.takes_s = 100.0, takes_s
        self.commits = 0

    async def commit(self, partition: int, written: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        self.now_s += self.takes_s
        self.commits += 1
        return await super().commit(partition, written, next_offset)


def paced(monkeypatch: pytest.MonkeyPatch, takes_s: float) -> tuple[Worker, SlowLog, Rests]:
    log, rests = SlowLog(takes_s), Rests()
    monkeypatch.setattr(paced_commits, "time", SimpleNamespace(monotonic=lambda: log.now_s))
    worker = Worker(log)
    worker.host._cells[0].wanted = rests
    return worker, log, rests


async def all_committed(worker: Worker) -> None:
    """In their own time."""
    committing = worker.host._cells[0].committing
    if committing is not None:
        await committing


@pytest.mark.parametrize(
    ("takes_s", "rest_s"),
    [(0.0, PACE_S), (PACE_S / REST / 2, PACE_S), (0.02, 0.02 * REST), (10.0, REST_S_MAX)],
)
async def test_a_partition_rests_longer_after_a_slower_transaction_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, takes_s: float, rest_s: float
) -> None:
    worker, log, rests = paced(monkeypatch, takes_s)
    for offset in range(2):
        await worker.host.fold(0, [deposit(offset)])
        await all_committed(worker)
    assert rests.asked_s == [pytest.approx(rest_s)], "what comes alone does not wait"
    assert (log.commits, worker.cash) == (2, 2)


async def test_what_a_price_has_done_waits_for_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is answered knows; of a stop loss nobody hears but from the topic."""
    worker, log, rests = paced(monkeypatch, 0.02)
    records = [batch(flat(150, 1)), open_command(stop="140"), batch(flat(139, 2))]
    asked = []
    for offset, record in enumerate(records):
        await worker.host.fold(0, [Read(offset, codec.encode(record))])
        await all_committed(worker)
        asked.append(len(rests.asked_s))
    assert [type(event).__name__ for event in log.events][-2:] == ["PositionOpened", "PositionClosed"]
    assert asked[1] == asked[2]
