"""Time without service on Kafka: a worker is killed, or told to stop, while clients of all accounts trade.

Needs Java and Maven (tests/support/broker.py). Three engine workers, two market data processes, the simulator and the
broker are processes of this machine. Every client repeats what was not answered, with its key, at any worker, after
0.2 s; time without service is the longest that one of the accounts went without an answer. An auditor checks every
answer.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from figures import Figure, report

TESTS = Path(__file__).parents[1] / "tests"
sys.path.append(str(TESTS / "support"))

from broker import Broker, fetch_jars  # type: ignore[import-not-found]  # noqa: E402  # found at run time
from cluster import SESSION_TIMEOUT_S, Cluster, Member  # type: ignore[import-not-found]  # noqa: E402
from compiled_modules import share_compiled_modules  # type: ignore[import-not-found]  # noqa: E402
from workload import Workload  # type: ignore[import-not-found]  # noqa: E402

share_compiled_modules()

ACCOUNTS = 16
PAUSE_S_MAX = 0.3
RETRY_PAUSES_S = (0.2, 0.2)
REQUEST_S_MAX = 1.0
ROUNDS = 3
CALM_S = 4.0
AWAY_S = 30.0
"""A worker that stays away is started again so much later: long after the others have taken over."""

KILLED_S_MAX = SESSION_TIMEOUT_S + 3
STOPPED_S_MAX = 3.0
CASES = (
    ("SIGKILL, not started again", signal.SIGKILL, AWAY_S, KILLED_S_MAX),
    ("SIGKILL, started again at once", signal.SIGKILL, 0.2, KILLED_S_MAX),
    ("SIGTERM, started again at once", signal.SIGTERM, 0.2, STOPPED_S_MAX),
)


async def silence_s(cluster: Cluster, work: Workload, member: Member, number: int, away_s: float) -> float:
    """End one worker; the longest time that an account then waits."""
    await asyncio.to_thread(cluster.wait_ready)
    await asyncio.sleep(CALM_S)
    began_s = time.monotonic()
    member.restart_pause_s = away_s
    member.signal(signal.Signals(number))
    if away_s < AWAY_S:
        await asyncio.sleep(1.0)
        await asyncio.to_thread(cluster.wait_ready)
        await asyncio.sleep(CALM_S)
    else:
        await asyncio.sleep(SESSION_TIMEOUT_S * 3)
    work.raise_findings()
    longest_s: float = work.longest_silence_s(began_s, time.monotonic())
    return longest_s


async def follow(cluster: Cluster) -> list[Figure]:
    """All cases, in turn, round after round."""
    found: dict[str, list[float]] = {name: [] for name, *_ in CASES}
    timeout = aiohttp.ClientTimeout(total=REQUEST_S_MAX)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        work = Workload(cluster.urls, session, random.Random(1), pause_s_max=PAUSE_S_MAX, retry_pauses_s=RETRY_PAUSES_S)
        work.begin([f"account-{number}" for number in range(ACCOUNTS)], 1)
        try:
            for nth in range(ROUNDS):
                for name, number, away_s, _ in CASES:
                    member = cluster.engines[nth % len(cluster.engines)]
                    found[name].append(await silence_s(cluster, work, member, number, away_s))
            if await work.end(60):
                raise RuntimeError("clients are left without an answer")
        finally:
            work.cancel()
    return [
        figure
        for name, _, _, s_max in CASES
        for figure in (
            Figure(f"{name}: median", statistics.median(found[name]), "s", at_most=s_max),
            Figure(f"{name}: longest of {ROUNDS}", max(found[name]), "s"),
        )
    ]


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        (directory / "kafka").mkdir()
        broker = Broker(directory / "kafka", fetch_jars())
        broker.start()
        cluster = Cluster(broker, directory, EXNESS_MAX_QUOTE_AGE_MS="3600000")
        try:
            cluster.start()
            return asyncio.run(follow(cluster))
        finally:
            cluster.end()
            broker.kill()


if __name__ == "__main__":
    report(measure())
