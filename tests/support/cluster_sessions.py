"""People who sign in, trade and sign out on a cluster whose workers die, and what must hold whatever dies."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any, NamedTuple

import aiohttp
import jwt
from cluster import Cluster

GIVE_UP_S = 90.0
PAUSE_S = 0.1
LATER = (429, 502, 503, 504)
"""Nothing was done, or nobody knows: asked again."""


class Said(NamedTuple):
    """An answer that settles something."""

    status: int
    body: dict[str, Any]

    @property
    def session(self) -> str:
        """The session that a token is of."""
        claims = jwt.decode(self.body["token"], options={"verify_signature": False})
        session: str = claims["sid"]
        return session


class Person:
    """One e-mail address. Every request goes to any worker, and again to any other until it is settled."""

    def __init__(self, cluster: Cluster, client: aiohttp.ClientSession, email: str, rng: random.Random) -> None:
        self.cluster, self.email = cluster, email
        self._client, self._rng = client, rng
        self.token = ""

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Said:
        """The answer that settles it. TimeoutError when none ever comes."""
        return await asyncio.wait_for(self._ask(method, path, body, token), GIVE_UP_S)

    async def _ask(self, method: str, path: str, body: Any, token: str | None) -> Said:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        while True:
            url = self._rng.choice(self.cluster.urls) + path
            try:
                timeout = aiohttp.ClientTimeout(total=5)
                async with self._client.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
                    said = await answer.json(content_type=None)
                    if answer.status not in LATER:
                        return Said(answer.status, said)
            except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError):
                pass
            await asyncio.sleep(PAUSE_S)

    async def link(self) -> dict[str, str]:
        """A mailed link: without a mail server a worker prints it."""
        known = self._links()
        assert (await self.ask("POST", "/api/auth/login", {"email": self.email})).status == 200
        while not (new := self._links() - known):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(PAUSE_S)
        return {"token": new.pop(), "email": self.email}

    def _links(self) -> set[str]:
        said = "".join(engine.said() for engine in self.cluster.engines)
        return set(re.findall(rf"sign-in link of {re.escape(self.email)} is: \S+[?]token=([^&\s]+)&", said))

    async def lives(self) -> None:
        """Sign in, be refused a second time, trade, sign out; raises AssertionError at what may not be."""
        body = {**await self.link(), "nonce": f"the nonce of {self.email}"}
        first, again = await asyncio.gather(*(self.ask("POST", "/api/auth/verify", body) for _ in range(2)))
        assert first.status == again.status == 200, (first, again)
        assert first.session == again.session, "one link and one nonce gave two sessions"
        stolen = await self.ask("POST", "/api/auth/verify", {**body, "nonce": "a nonce of somebody else"})
        assert (stolen.status, stolen.body["code"]) == (400, "LINK_USED"), stolen
        self.token = first.body["token"]
        paid = await self.ask("POST", "/api/v1/account/deposit", {"amount": 1}, token=self.token)
        assert paid.status == 200, paid

    async def leaves(self) -> None:
        """Sign out."""
        assert (await self.ask("POST", "/api/auth/logout", token=self.token)).status == 200

    async def check(self, expected: int) -> None:
        """On every worker the session counts, or counts no longer."""
        for url in self.cluster.urls:
            while True:
                headers = {"Authorization": f"Bearer {self.token}"}
                try:
                    async with self._client.get(f"{url}/api/v1/state", headers=headers) as answer:
                        if answer.status not in LATER:
                            assert answer.status == expected, (url, self.email, answer.status)
                            break
                except (aiohttp.ClientError, ConnectionError):
                    pass
                await asyncio.sleep(PAUSE_S)
