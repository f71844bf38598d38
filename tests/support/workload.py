"""Clients that trade and repeat each request until it is answered; the auditor checks every answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
from auditor import Answer, Auditor, Books, Json, Request, exact

TRY_AGAIN = frozenset({503, 504})
RETRY_PAUSES_S = (0.02, 0.64)
"""Before a request is repeated for the first time, and at most: each pause is twice the one before. Clients that never
slow down keep a cluster busy with refusals alone once it is short of processors, and it stays so."""

LANES = 24
"""How many clients ask again at once."""

FAR_ABOVE = {"SOL": "2000", "BTC": "900000", "ETH": "50000"}
"""Prices that no market comes near, at which a small margin still buys a step."""


class Workload:
    """Clients that trade until told to stop. Each try of a request goes to any one of the workers at `urls`.

    market_only: they open and close. Otherwise they also close in part, modify, place and cancel, and pay in.
    Triggers and orders are far from any price, so that nothing happens but what is asked for.
    """

    def __init__(
        self,
        urls: Sequence[str],
        session: aiohttp.ClientSession,
        rng: random.Random,
        *,
        pause_s_max: float = 0.0,
        retry_pauses_s: tuple[float, float] = RETRY_PAUSES_S,
        market_only: bool = True,
    ) -> None:
        self.auditor = Auditor()
        self.stopping = asyncio.Event()
        self.met: Counter[str] = Counter()
        self.answered_at_s: dict[str, list[float]] = {}
        self._urls, self._session, self._rng, self._pause_s_max = urls, session, rng, pause_s_max
        self._market_only, self._retry_pauses_s = market_only, retry_pauses_s
        self._busy: set[str] = set()
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
            self._busy.discard(request.body.get("positionId") or request.body.get("orderId"))
            answered_at_s.append(time.monotonic())
            if self._pause_s_max:
                await asyncio.sleep(self._rng.uniform(0, self._pause_s_max))

    def _next(self, account: str, key: str) -> Request:
        rng, books = self._rng, self.auditor.books.get(account, Books())
        free = [position for position in books.held.values() if position["positionId"] not in self._busy]
        waiting = [name for name in books.waiting if name not in self._busy]
        if free and rng.random() < 0.45:
            path, body = self._changing(rng.choice(free))
            self._busy.add(body["positionId"])
        elif waiting and rng.random() < 0.15:
            path, body = "/api/v1/orders/cancel", {"orderId": rng.choice(waiting)}
            self._busy.add(body["orderId"])
        elif not self._market_only and rng.random() < 0.25:
            path, body = self._waiting_or_paying()
        else:
            path, body = "/api/v1/positions/open", self._opening()
        return Request(account, key, path, body)

    def _opening(self) -> Json:
        return {
            "asset": self._rng.choice(["SOL", "BTC", "ETH"]),
            "type": self._rng.choice(["long", "short"]),
            "margin": self._rng.choice([1, 100, 250.5, 100_000]),
            "leverage": self._rng.randint(1, 5),
        }

    def _changing(self, position: Json) -> tuple[str, Json]:
        body: Json = {"positionId": position["positionId"]}
        chance = 0.0 if self._market_only else self._rng.random()
        if chance < 0.6:
            return "/api/v1/positions/close", body
        if chance < 0.8:
            return "/api/v1/positions/close", body | {"percentage": self._rng.choice([25, 50, 99])}
        far = position["entryPrice"] * 100 if position["type"] == "long" else position["entryPrice"] / 100
        on_any_grid = max(1, int(far))
        return "/api/v1/positions/modify", body | {"takeProfit": self._rng.choice([None, str(on_any_grid)])}

    def _waiting_or_paying(self) -> tuple[str, Json]:
        if self._rng.random() < 0.3:
            return "/api/v1/account/deposit", {"amount": self._rng.choice([1, "0.5", 2.25])}
        opening = self._opening()
        price = "1" if opening["type"] == "long" else FAR_ABOVE[opening["asset"]]
        return "/api/v1/orders/place", opening | {"kind": "limit", "price": price}

    async def ask(self, request: Request) -> Answer:
        """Send it, again and again while nobody knows what came of it."""
        headers = {"X-Account": request.account, "Idempotency-Key": request.key}
        pause_s, pause_s_max = self._retry_pauses_s
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
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, pause_s_max)

    def longest_silence_s(self, since_s: float, until_s: float) -> float:
        """The longest time in a period (time.monotonic()) that an account went without an answer."""
        longest_s = 0.0
        for answered_at_s in self.answered_at_s.values():
            times_s = [at_s for at_s in answered_at_s if since_s <= at_s <= until_s]
            pairs = zip([since_s, *times_s], [*times_s, until_s], strict=True)
            longest_s = max(longest_s, *(after - before for before, after in pairs))
        return longest_s

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
        closed = sorted([*books.closed, *(part["positionId"] for part in books.parts)])
        assert _positions_of(history, "PositionClosed") == closed, f"{account}: other closes"
        assert _ids_of(history, "OrderPlaced", "orderId") == sorted(books.orders), f"{account}: other orders"
        assert _ids_of(history, "OrderCancelled", "orderId") == sorted(books.cancelled), f"{account}: other cancels"
        paid = sum((event["amount"] for event in history if event["type"] == "Deposited"), Decimal(0))
        assert paid == books.deposited, f"{account}: other deposits"
        assert len(history) == books.events, f"{account}: events nobody asked for"
        for event in history:
            if event["type"] == "PositionOpened":
                assert event["entryPrice"] == books.opened[event["positionId"]]["entryPrice"]


def _positions_of(history: Iterable[Json], kind: str) -> list[Any]:
    return _ids_of(history, kind, "positionId")


def _ids_of(history: Iterable[Json], kind: str, name: str) -> list[Any]:
    return sorted(event[name] for event in history if event["type"] == kind)
