"""Nothing acknowledged is lost, and nothing is done twice, however often the process is killed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from auditor import Answer, Auditor, Books, Json, Request, exact
from platform_process import GIVE_UP_S, PlatformProcess, free_port, run_cli

from exness_streams.messages import EVENTS_TOPIC
from exness_streams.transport.log_reader import LogReader

KILLS = int(os.environ.get("TEST_KILLS", "20"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))

ACCOUNTS = ("ann", "bob", "cy")
CLIENTS_PER_ACCOUNT = 4
SETTINGS = {
    "EXNESS_FEE_RATE": "0.001",
    # The simulator's first prices come a second after each start: till then those from before the kill do.
    "EXNESS_MAX_QUOTE_AGE_MS": "3600000",
}
TRY_AGAIN = frozenset({503, 504})
RETRY_PAUSE_S = 0.02
REPEATS_PER_ROUND = 5


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(tmp_path / "data", free_port(), **SETTINGS)
    try:
        yield process
    finally:
        process.end()


class Workload:
    """Clients that trade until told to stop, and repeat each request until it is answered."""

    def __init__(self, url: str, session: aiohttp.ClientSession, rng: random.Random) -> None:
        self.auditor = Auditor()
        self.stopping = asyncio.Event()
        self.met: Counter[str] = Counter()
        self._url, self._session, self._rng = url, session, rng
        self._closing: set[str] = set()

    async def client(self, account: str, name: str) -> None:
        """One client, one request at a time."""
        number = 0
        while not self.stopping.is_set():
            number += 1
            request = self._next(account, f"{account}-{name}-{number}")
            self.auditor.check(request, await self.ask(request))

    def _next(self, account: str, key: str) -> Request:
        rng, books = self._rng, self.auditor.books.get(account, Books())
        free = [position for position in books.held if position not in self._closing]
        if free and rng.random() < 0.45:
            position_id = rng.choice(free)
            self._closing.add(position_id)
            return Request(account, key, "/api/v1/positions/close", {"positionId": position_id})
        body = {
            "asset": rng.choice(["SOL", "BTC", "ETH"]),
            "type": rng.choice(["long", "short"]),
            "margin": rng.choice([1, 100, 250.5, 100_000]),
            "leverage": rng.randint(1, 5),
        }
        return Request(account, key, "/api/v1/positions/open", body)

    async def ask(self, request: Request) -> Answer:
        """Send it, again and again while nobody knows what came of it."""
        headers = {"X-Account": request.account, "Idempotency-Key": request.key}
        while True:
            try:
                async with self._session.post(self._url + request.path, json=request.body, headers=headers) as response:
                    answer = Answer(response.status, await response.read())
            except aiohttp.ClientError:
                self.met["broken connections"] += 1
            else:
                if answer.status not in TRY_AGAIN:
                    self.met["repeats answered"] += "Idempotent-Replayed" in response.headers
                    return answer
                self.met[f"{answer.status} {exact(answer.body)['error']}"] += 1
            await asyncio.sleep(RETRY_PAUSE_S)

    async def state(self, account: str) -> Json:
        async with self._session.get(self._url + "/api/v1/state", headers={"X-Account": account}) as response:
            assert response.status == 200
            return exact(await response.read())

    async def repeat(self, keys: list[str]) -> None:
        """Ask again what was answered: the auditor compares."""
        for key in keys:
            request, _ = self.auditor.answers[key]
            self.auditor.check(request, await self.ask(request))


async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(platform: PlatformProcess) -> None:
    print(f"TEST_SEED={SEED} TEST_KILLS={KILLS}")
    rng = random.Random(SEED)
    platform.start()
    await asyncio.to_thread(platform.wait_tradable)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GIVE_UP_S)) as session:
        work = Workload(platform.url, session, random.Random(rng.random()))
        clients = [
            asyncio.create_task(work.client(account, str(name)))
            for account in ACCOUNTS
            for name in range(CLIENTS_PER_ACCOUNT)
        ]
        try:
            for _ in range(KILLS):
                await _kill_once(platform, work, rng, clients)
            work.stopping.set()
            await asyncio.wait_for(asyncio.gather(*clients), GIVE_UP_S)
        finally:
            for client in clients:
                client.cancel()
        print(f"{len(work.auditor.answers)} requests answered; met {dict(work.met)}")
        assert work.met["broken connections"], "no kill met a request: nothing was tested"
        await _check_served(work)
        running = await asyncio.to_thread(run_cli, "audit", "--data-dir", str(platform.data_dir))
        assert running.returncode == 0, running.stdout + running.stderr
    assert await asyncio.to_thread(platform.terminate) == 0, platform.said()
    assert "Traceback" not in platform.said(), platform.said()
    _check_events(platform.data_dir, work.auditor)
    stopped = await asyncio.to_thread(run_cli, "audit", "--data-dir", str(platform.data_dir))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


async def _kill_once(
    platform: PlatformProcess, work: Workload, rng: random.Random, clients: list[asyncio.Task[None]]
) -> None:
    await asyncio.sleep(rng.uniform(0.05, 1.2))
    await asyncio.to_thread(platform.kill)
    while rng.random() < 0.25:
        platform.start()
        await asyncio.sleep(rng.uniform(0.2, 1.0))  # killed while it starts and recovers
        await asyncio.to_thread(platform.kill)
    platform.start()
    await asyncio.to_thread(platform.wait_ready)
    for client in clients:
        if client.done():
            await client  # raises what the auditor found
    answered = sorted(work.auditor.answers)
    await work.repeat(rng.sample(answered, min(len(answered), REPEATS_PER_ROUND)))


async def _check_served(work: Workload) -> None:
    before = {account: await work.state(account) for account in ACCOUNTS}
    for account, state in before.items():
        work.auditor.check_state(account, state)
    keys = list(work.auditor.answers)
    lanes = [keys[first::8] for first in range(8)]
    await asyncio.gather(*(work.repeat(lane) for lane in lanes))
    for account in ACCOUNTS:
        after = await work.state(account)
        work.auditor.check_state(account, after)
        assert after["sequence"] == before[account]["sequence"]


def _check_events(data_dir: Path, auditor: Auditor) -> None:
    """Each acknowledged change is in the events exactly once, and there is no other."""
    events: dict[str, list[Json]] = {account: [] for account in ACCOUNTS}
    with LogReader(data_dir / "log").snapshot() as snapshot:
        for partition in range(snapshot.topics()[EVENTS_TOPIC]):
            for record in snapshot.records((EVENTS_TOPIC, partition)):
                assert record.value is not None
                event = exact(record.value)
                events[event["accountId"]].append(event)
    ids = [event["eventId"] for history in events.values() for event in history]
    assert len(ids) == len(set(ids)), "an event was written twice"
    for account, history in events.items():
        books = auditor.books[account]
        assert [event["sequence"] for event in history] == list(range(1, len(history) + 1))
        assert _positions_of(history, "PositionOpened") == sorted(books.opened)
        assert _positions_of(history, "PositionClosed") == sorted(books.closed)
        for event in history:
            if event["type"] == "PositionOpened":
                assert event["entryPrice"] == books.opened[event["positionId"]]["entryPrice"]


def _positions_of(history: list[Json], kind: str) -> list[Any]:
    return sorted(event["positionId"] for event in history if event["type"] == kind)


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
    said = [line for line in ended.stderr.splitlines() if line and " INFO " not in line]
    assert ended.returncode == exit_code, ended.stderr
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("exness-streams: ")
    assert names in said[0]
