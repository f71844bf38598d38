"""Clients who trade on a cluster while something happens to it; at the end it is held to all that they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from auditor import Json, exact
from cluster import Cluster, read_topic, wait_no_lag
from workload import Workload, check_events

from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC

STRANGER = b"stranger"
"""The key of what a test writes to the topic of events that is none."""

ACCOUNTS = 24
CLIENTS_PER_ACCOUNT = 2
PAUSE_S_MAX = 0.8
"""Some hundred orders a second: a cluster that two cores carry with ease, also while its workers start."""
REQUEST_S_MAX = 1.0
POLL_S = 0.1
END_S_MAX = 120.0


@asynccontextmanager
async def trading(
    cluster: Cluster, prefix: str, rng: random.Random, *, has_all_events: bool = True
) -> AsyncIterator[Workload]:
    """Clients trade inside the context; at its end all is audited. has_all_events: none was deleted."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_S_MAX)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        work = Workload(cluster.urls, session, random.Random(rng.random()), pause_s_max=PAUSE_S_MAX, market_only=False)
        work.begin([f"{prefix}{account}" for account in range(ACCOUNTS)], CLIENTS_PER_ACCOUNT)
        try:
            yield work
            unanswered = await work.end(END_S_MAX)
            assert not unanswered, f"{unanswered} clients get no answer\n{cluster.said()}"
        finally:
            work.cancel()
        print(f"{len(work.auditor.answers)} requests answered; met {dict(work.met)}")
        await _check_all(cluster, work)
        if has_all_events:
            await _check_events(cluster, work)


async def _check_all(cluster: Cluster, work: Workload) -> None:
    await asyncio.to_thread(cluster.wait_ready)
    for account in work.auditor.books:
        states = [await work.state(account, url) for url in cluster.urls]
        for state in states:
            work.auditor.check_state(account, state)
        assert len({state["sequence"] for state in states}) == 1
    answered = work.met["repeats answered"]
    await work.repeat_all()
    assert work.met["repeats answered"] - answered == len(work.auditor.answers), "a repeat was taken for a new request"
    for number, account in enumerate(work.auditor.books):
        work.auditor.check_state(account, await work.state(account, cluster.urls[number % len(cluster.urls)]))
    await wait_no_lag(cluster.broker, JOURNAL_TOPIC)
    for engine in cluster.engines:
        assert "Traceback" not in engine.said(), engine.said()


async def _check_events(cluster: Cluster, work: Workload) -> None:
    histories: dict[str, list[Json]] = defaultdict(list)
    for record in await read_topic(cluster.broker, EVENTS_TOPIC):
        if record.key == STRANGER:
            continue
        event = exact(record.value)
        if event["accountId"] in work.auditor.books:
            histories[event["accountId"]].append(event)
    check_events(histories, work.auditor)


async def until(cluster: Cluster, work: Workload, happens: Callable[[], bool]) -> None:
    """While clients trade. AssertionError when it never happens, or as soon as an answer is wrong."""
    give_up_at_s = time.monotonic() + END_S_MAX
    while not happens():
        work.raise_findings()
        assert time.monotonic() < give_up_at_s, f"it never happens\n{cluster.said()}"
        await asyncio.sleep(POLL_S)


async def until_all_answered(cluster: Cluster, work: Workload) -> None:
    """Until every account has had an answer from now on."""
    now_s = time.monotonic()

    def all_answered() -> bool:
        times_s = work.answered_at_s.values()  # each begins with the account's first request
        return len(times_s) == ACCOUNTS and all(len(at_s) > 1 and at_s[-1] > now_s for at_s in times_s)

    await until(cluster, work, all_answered)
