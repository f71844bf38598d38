"""A cell that is behind refuses before the journal is written, answers what needs no record, and recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from platform_harness import OPEN, STATE, PlatformThread, Reply, until

from exness_streams.engine.cells import CellHost
from exness_streams.engine.gateway import OLDEST_WAIT_S_MAX, Gateway

DEPOSIT, CANCEL = "/api/v1/account/deposit", "/api/v1/orders/cancel"
ORDER = {"margin": 100, "asset": "SOL", "type": "long"}


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    running = PlatformThread(tmp_path_factory.mktemp("data"), past_minutes=5).start()
    try:
        yield running
    finally:
        running.stop()


class Cell:
    """The folding of a platform's cell, held until it is let go, and what its gateway appends."""

    def __init__(self, platform: PlatformThread, monkeypatch: pytest.MonkeyPatch) -> None:
        self._platform = platform
        self._goes_on = platform.call(asyncio.Event)
        self._ahead_s = 0.0
        self.appended: list[str] = []
        assert platform.platform is not None
        self.gateway: Gateway = platform.platform.engine.gateway
        goes_on, fold, journal = self._goes_on, CellHost.fold, self.gateway._journal

        async def later(host: CellHost, partition: int, batch: Sequence[Any]) -> None:
            await goes_on.wait()
            await fold(host, partition, batch)

        async def counting(partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
            self.appended.append(account_id)
            return await journal(partition, account_id, value)

        monkeypatch.setattr(CellHost, "fold", later)
        monkeypatch.setattr(self.gateway, "_journal", counting)
        monkeypatch.setattr(self.gateway, "_answer_timeout_s", 60.0)  # however slow this machine is
        monkeypatch.setattr(self.gateway, "_clock_s", lambda: time.monotonic() + self._ahead_s)

    def time_passes(self, seconds: float) -> None:
        self._ahead_s += seconds

    def let_go(self) -> None:
        self._platform.call(self._goes_on.set)


def test_an_overloaded_cell_refuses_before_the_append_and_recovers(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert platform.post(DEPOSIT, {"amount": 1}, "ann", key="settled").status == 200
    cell = Cell(platform, monkeypatch)
    with ThreadPoolExecutor(3) as clients:
        try:
            waiting: list[Future[Reply]] = [
                clients.submit(platform.post, DEPOSIT, {"amount": 1}, "ann", f"waits-{number}") for number in range(3)
            ]
            until(lambda: len(cell.appended) == 3)
            cell.time_passes(2 * OLDEST_WAIT_S_MAX)
            for path, body in ((DEPOSIT, {"amount": 1}), (OPEN, ORDER), (CANCEL, {"orderId": "ord_0_1"})):
                refused = platform.post(path, body, "bob", key="later")
                assert (refused.status, refused.json["error"]) == (503, "OVERLOADED"), refused
                assert refused.headers["Retry-After"] == "1"
                assert "Nothing was done" in refused.json["message"]
            assert cell.appended == ["ann"] * 3, "nothing of what is refused is in the journal"
            # What needs no record is answered.
            again = platform.post(DEPOSIT, {"amount": 1}, "ann", key="settled")
            assert (again.status, again.headers.get("Idempotent-Replayed")) == (200, "true")
            assert platform.post(CANCEL, {"orderId": "ord_0_1"}, "bob").json["error"] == "ORDER_NOT_FOUND"
            assert platform.get(STATE, "ann").json["sequence"] == 1
            assert _sample(platform, 'exness_requests_refused_total{reason="overload"}') >= 3
            assert _sample(platform, "exness_oldest_wait_seconds") >= 2 * OLDEST_WAIT_S_MAX
        finally:
            cell.let_go()
        assert [answered.result().status for answered in waiting] == [200, 200, 200]
    taken = platform.post(DEPOSIT, {"amount": 1}, "bob", key="later")
    assert (taken.status, "Idempotent-Replayed" in taken.headers) == (200, False), "its key was not spent"
    assert (platform.state("ann")["sequence"], platform.state("bob")["sequence"]) == (4, 1)
    assert _sample(platform, "exness_oldest_wait_seconds") == 0


def _sample(platform: PlatformThread, name: str) -> float:
    lines = platform.get("/metrics").body.decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.rsplit(" ", 1)[1])
