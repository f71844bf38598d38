"""Clients that trade and repeat each request until it is answered; the auditor checks every answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aiohttp
from auditor import Answer, Auditor, Books, Json, Request, exact

TRY_AGAIN = frozenset({503, 504})
RETRY_PAUSE_S = 0.02
LANES = 8
"""How many clients ask again at once."""


class Workload:
    """Clients that trade until told to stop. Each try of a request goes to any one of the workers at `urls`."""

    def __init__(
        self, urls: Sequence[str], session: aiohttp.ClientSession, rng: random.Random, *, pause_s_max: float = 0.0
    ) -> None:
        self.auditor = Auditor()
        self.stopping = asyncio.Event()
        self.met: Counter[str] = Counter()
        self.answered_at_s: dict[str, list[float]] = {}
        self._urls, self._session, self._rng, self._pause_s_max = urls, session, rng, pause_s_max
        self._closing: set[str] = set()
        self._clients: list[asyncio.Task[None]] = []

    def begin(self, accounts: Iterable[str], clients_each: int) -> None:
        """Trading begins."""
        self._clients = [
            asyncio.create_task(self.client(account, str(name))) for account in accounts for name in range(clients_each)
        ]

    def raise_findings(self) -> None:
        """AssertionError when the auditor has found something."""
        for client in self._clients:
            if client.done():
                client.result()

    async def end(self, answer_s_max: float) -> int:
        """No new requests. Returns how many clients still have no answer; raises what the auditor found."""
        self.stopping.set()
        _, unanswered = await asyncio.wait(self._clients, timeout=answer_s_max)
        self.raise_findings()
        return len(unanswered)

    def cancel(self) -> None:
        """Whatever has happened, nobody goes on."""
        for client in self._clients:
            client.cancel()

    async def client(self, account: str, name: str) -> None:
        """One client, one request at a time."""
        number = 0
        answered_at_s = self.answered_at_s.setdefault(account, [time.monotonic()])
        while not self.stopping.is_set():
            number += 1
            request = self._next(account, f"{account}-{name}-{number}")
            self.auditor.check(request, await self.ask(request))
            answered_at_s.append(time.monotonic())
            if self._pause_s_max:
                await asyncio.sleep(self._rng.uniform(0, self._pause_s_max))

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
            url = self._rng.choice(self._urls) + request.path
            try:
                async with self._session.post(url, json=request.body, headers=headers) as response:
                    answer = Answer(response.status, await response.read())
            except aiohttp.ClientError:
                self.met["broken connections"] += 1
            except asyncio.TimeoutError:
                self.met["time-outs"] += 1
            else:
                if answer.status not in TRY_AGAIN:
                    self.met["repeats answered"] += "Idempotent-Replayed" in response.headers
                    return answer
                self.met[f"{answer.status} {exact(answer.body)['error']}"] += 1
            await asyncio.sleep(RETRY_PAUSE_S)

    async def state(self, account: str, url: str) -> Json:
        """The account as the worker at `url` tells it."""
        async with self._session.get(url + "/api/v1/state", headers={"X-Account": account}) as response:
            body = await response.read()
            assert response.status == 200, body
            return exact(body)

    async def repeat(self, keys: Iterable[str]) -> None:
        """Ask again what was answered: the auditor compares."""
        for key in keys:
            request, _ = self.auditor.answers[key]
            self.auditor.check(request, await self.ask(request))

    async def repeat_all(self) -> None:
        """Ask everything again."""
        keys = list(self.auditor.answers)
        await asyncio.gather(*(self.repeat(keys[first::LANES]) for first in range(LANES)))


def check_events(histories: Mapping[str, Sequence[Json]], auditor: Auditor) -> None:
    """Each acknowledged change is in the events exactly once, and there is no other."""
    ids = [event["eventId"] for history in histories.values() for event in history]
    assert len(ids) == len(set(ids)), "an event was written twice"
    for account, books in auditor.books.items():
        history = histories[account]
        assert [event["sequence"] for event in history] == list(range(1, len(history) + 1)), f"{account}: not in order"
        assert _positions_of(history, "PositionOpened") == sorted(books.opened), f"{account}: other opens"
        assert _positions_of(history, "PositionClosed") == sorted(books.closed), f"{account}: other closes"
        for event in history:
            if event["type"] == "PositionOpened":
                assert event["entryPrice"] == books.opened[event["positionId"]]["entryPrice"]


def _positions_of(history: Iterable[Json], kind: str) -> list[Any]:
    return sorted(event["positionId"] for event in history if event["type"] == kind)
