"""Nothing acknowledged is lost, and nothing is done twice, however often the process is killed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from auditor import Auditor, Json, exact
from platform_process import GIVE_UP_S, PlatformProcess, run_cli
from ports import free_port
from workload import Workload, check_events

from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.embedded.reader import LogReader

KILLS = int(os.environ.get("TEST_KILLS", "4"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))

ACCOUNTS = ("ann", "bob", "cy")
CLIENTS_PER_ACCOUNT = 4
SETTINGS = {
    "EXNESS_FEE_RATE": "0.001",
    # The simulator's first prices come a second after each start: till then those from before the kill do.
    "EXNESS_MAX_QUOTE_AGE_MS": "3600000",
}
REPEATS_PER_ROUND = 5


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(tmp_path / "data", free_port(), **SETTINGS)
    try:
        yield process
    finally:
        process.end()


@pytest.mark.long
async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(platform: PlatformProcess) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    rng = random.Random(SEED)
    platform.start()
    await asyncio.to_thread(platform.wait_tradable)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GIVE_UP_S)) as session:
        work = Workload([platform.url], session, random.Random(rng.random()), market_only=False)
        work.begin(ACCOUNTS, CLIENTS_PER_ACCOUNT)
        try:
            for _ in range(KILLS):
                await _kill_once(platform, work, rng)
            assert await work.end(GIVE_UP_S) == 0, platform.said()
        finally:
            work.cancel()
        print(f"{len(work.auditor.answers)} requests answered; met {dict(work.met)}")
        assert work.met["broken connections"], "no kill met a request: nothing was tested"
        assert not work.met["time-outs"], "a request was left without an answer"
        books = work.auditor.books.values()
        for kind in ("parts", "cancelled", "deposited"):
            assert any(getattr(each, kind) for each in books), f"no {kind}: not all was tested"
        await _check_served(work, platform.url)
        running = await asyncio.to_thread(run_cli, "audit", "--data-dir", str(platform.data_dir))
        assert running.returncode == 0, running.stdout + running.stderr
    assert await asyncio.to_thread(platform.terminate) == 0, platform.said()
    assert "Traceback" not in platform.said(), platform.said()
    _check_events(platform.data_dir, work.auditor)
    stopped = await asyncio.to_thread(run_cli, "audit", "--data-dir", str(platform.data_dir))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


async def _kill_once(platform: PlatformProcess, work: Workload, rng: random.Random) -> None:
    await asyncio.sleep(rng.uniform(0.05, 1.2))
    await asyncio.to_thread(platform.kill)
    while rng.random() < 0.25:
        platform.start()
        await asyncio.sleep(rng.uniform(0.2, 1.0))  # killed while it starts and recovers
        await asyncio.to_thread(platform.kill)
    platform.start()
    await asyncio.to_thread(platform.wait_ready)
    work.raise_findings()
    answered = sorted(work.auditor.answers)
    await work.repeat(rng.sample(answered, min(len(answered), REPEATS_PER_ROUND)))


async def _check_served(work: Workload, url: str) -> None:
    before = {account: await work.state(account, url) for account in ACCOUNTS}
    for account, state in before.items():
        work.auditor.check_state(account, state)
    await work.repeat_all()
    for account in ACCOUNTS:
        after = await work.state(account, url)
        work.auditor.check_state(account, after)
        assert after["sequence"] == before[account]["sequence"]


def _check_events(data_dir: Path, auditor: Auditor) -> None:
    events: dict[str, list[Json]] = {account: [] for account in ACCOUNTS}
    with LogReader(data_dir / "log").snapshot() as snapshot:
        for partition in range(snapshot.topics()[EVENTS_TOPIC]):
            for record in snapshot.records((EVENTS_TOPIC, partition)):
                assert record.value is not None
                event = exact(record.value)
                events[event["accountId"]].append(event)
    check_events(events, auditor)


def test_a_second_process_on_the_same_data_is_refused_in_one_line(platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_ready()
    second = run_cli("run", "--feed", "simulated", "--port", str(free_port()), "--data-dir", str(platform.data_dir))
    _check_refusal(second, exit_code=1, names="EXNESS_DATA_DIR")
    platform.wait_ready()


def test_a_taken_port_is_told_in_one_line(platform: PlatformProcess, tmp_path: Path) -> None:
    platform.start()
    platform.wait_ready()
    second = run_cli("run", "--feed", "simulated", "--port", str(platform.port), "--data-dir", str(tmp_path / "other"))
    _check_refusal(second, exit_code=1, names="PORT")
    platform.wait_ready()


def test_sigterm_ends_it_and_nothing_is_lost(platform: PlatformProcess) -> None:
    platform.start()
    platform.wait_tradable()
    opened = run_cli("open", "SOL", "long", "--margin", "1000", "--url", platform.url)
    assert opened.returncode == 0, opened.stderr
    assert platform.terminate() == 0
    platform.start()
    platform.wait_ready()
    assert "long 1x SOL" in run_cli("state", "--url", platform.url).stdout
    assert platform.terminate() == 0
    assert "Traceback" not in platform.said()


def _check_refusal(ended: Any, *, exit_code: int, names: str) -> None:
    # A page without its chart is no refusal: this machine may have no npm.
    said = [line for line in ended.stderr.splitlines() if line and " INFO " not in line and "no chart" not in line]
    assert ended.returncode == exit_code, ended.stderr
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("exness-streams: ")
    assert names in said[0]
