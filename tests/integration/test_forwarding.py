"""Passing requests on to the account's owner, with a fake owner that keeps what it is sent."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from forwarding_worker import serving, worker
from guards import guard, signed

from exness_streams.api.access.guard import FORWARDED
from exness_streams.api.errors import ApiError
from exness_streams.api.forwarding import Forwarding
from exness_streams.messages import PLAIN_TOPICS


@dataclass
class FakeOwner:
    """Another worker."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    hangs_up: bool = False
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    paused: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        if self.paused is not None:
            await self.paused.wait()
        if self.hangs_up:
            assert request.transport is not None
            request.transport.close()
        return web.Response(
            body=b'{"from":"owner"}',
            status=self.status,
            headers=self.headers
            or {"Content-Type": "application/json", "Idempotent-Replayed": "true", "X-Internal": "secret"},
        )


def owner_app(owner: FakeOwner) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", owner.answer)
    return app


async def ask(url: str, method: str = "POST", **options: Any) -> tuple[int, dict[str, str], bytes]:
    async with aiohttp.ClientSession() as client, client.request(method, url, **options) as response:
        return response.status, dict(response.headers), await response.read()


async def test_a_request_goes_to_the_owner_with_its_body_and_comes_back_as_it_is() -> None:
    owner = FakeOwner()
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned={1}) as (url, local):
        headers = {"X-Account": "a2", "Idempotency-Key": "k", "Content-Type": "application/json", "X-Other": "no"}
        headers["Prefer"] = "numbers=string"
        status, answered, body = await ask(f"{url}/api/v1/positions/open?x=1", data=b'{"a":1}', headers=headers)
    assert (status, body) == (201, b'{"from":"owner"}')
    assert answered["Idempotent-Replayed"] == "true"
    assert "X-Internal" not in answered
    [(method, path, sent, sent_body)] = owner.seen
    assert (method, path, sent_body) == ("POST", "/api/v1/positions/open?x=1", b'{"a":1}')
    assert (sent["X-Account"], sent["Idempotency-Key"], sent["Prefer"]) == ("a2", "k", "numbers=string")
    told = signed(sent[FORWARDED])
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    assert (told["m"], told["p"], told["b"], told["address"]) == ("POST", path, digest, "127.0.0.1")
    assert "X-Other" not in sent
    assert not local


PASSED_BACK = {
    "Content-Disposition": 'attachment; filename="trades.csv"',
    "Content-Type": "application/json",
    "Idempotent-Replayed": "true",
    "Preference-Applied": "numbers=string",
    "Retry-After": "7",
    "Set-Cookie": "session=x; Path=/",
    "Vary": "Accept, Prefer",
    "WWW-Authenticate": "Bearer",
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [200, 401, 429, 503])
async def test_what_an_answer_says_beside_its_body_comes_back_too(method: str, status: int) -> None:
    """When to ask again, above all: a client that is not told asks at once."""
    owner = FakeOwner(status=status, headers=PASSED_BACK | {"X-Internal": "secret"})
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned=set()) as (url, _):
        answered = await ask(f"{url}/state", method, headers={"X-Account": "a1"})
    assert (answered[0], answered[2]) == (status, b'{"from":"owner"}')
    assert {name: answered[1].get(name) for name in PASSED_BACK} == PASSED_BACK
    assert "X-Internal" not in answered[1]


async def test_what_is_owned_here_is_answered_here() -> None:
    owner = FakeOwner()
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned={1}) as (url, local):
        assert (await ask(f"{url}/state", "GET", headers={"X-Account": "a1"}))[2] == b"local"
    assert local == ["/state"]
    assert not owner.seen


async def test_a_request_is_passed_on_once_only() -> None:
    owner = FakeOwner()
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned=set()) as (url, local):
        await ask(f"{url}/state", "GET", headers={"X-Account": "a1", FORWARDED: "1"})
    assert local == ["/state"]
    assert not owner.seen


async def test_without_a_known_owner_the_view_says_so() -> None:
    async with worker(None, owned=set()) as (url, local):
        await ask(f"{url}/state", "GET", headers={"X-Account": "a1"})
    assert local == ["/state"]


async def test_who_comes_while_a_cell_is_on_its_way_waits_a_moment() -> None:
    moving = [ApiError(503, code, "not yet") for code in ("NOT_READY", "REBALANCING", "REBALANCING")]
    async with worker(None, owned={1}, refusals=moving) as (url, local):
        options: dict[str, Any] = {"headers": {"X-Account": "a1"}, "data": b"{}"}
        assert (await ask(f"{url}/open", **options))[0] == 503  # twice refused
        assert (await ask(f"{url}/open", **options))[0] == 200
    assert local == ["/open"] * 4


async def test_what_may_have_been_done_is_not_tried_again() -> None:
    unknown = [ApiError(504, "OUTCOME_UNKNOWN", "who knows")]
    async with worker(None, owned={1}, refusals=unknown) as (url, local):
        assert (await ask(f"{url}/open", headers={"X-Account": "a1"}, data=b"{}"))[0] == 504
    assert local == ["/open"]


async def test_an_owner_that_cannot_be_reached_took_nothing() -> None:
    async with worker("http://127.0.0.1:9", owned=set()) as (url, _):
        status, headers, body = await ask(f"{url}/open", headers={"X-Account": "a1"}, data=b"{}")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert b"REBALANCING" in body


async def test_an_owner_that_dies_over_an_order_leaves_its_outcome_unknown() -> None:
    owner = FakeOwner(hangs_up=True)
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned=set()) as (url, _):
        status, _, body = await ask(f"{url}/open", headers={"X-Account": "a1"}, data=b"{}")
        assert (status, b"OUTCOME_UNKNOWN" in body) == (504, True)
        status, _, body = await ask(f"{url}/state", "GET", headers={"X-Account": "a1"})
        assert (status, b"REBALANCING" in body) == (503, True)


async def test_the_size_of_a_body_is_limited_before_it_is_passed_on() -> None:
    owner = FakeOwner()
    async with serving(owner_app(owner)) as owner_url, worker(owner_url, owned=set()) as (url, _):
        status, _, _ = await ask(f"{url}/open", headers={"X-Account": "a1"}, data=b"x" * 20_000)
    await asyncio.sleep(0)
    assert status == 413
    assert not owner.seen


async def test_nobody_waits_for_an_owner_that_is_paused_once_the_cell_has_moved() -> None:
    owner, topics = FakeOwner(paused=asyncio.Event()), dict[str, Any]()
    assert owner.paused is not None
    async with (
        serving(owner_app(owner)) as owner_url,
        worker(owner_url, owned=set(), topics=topics) as (url, _),
    ):
        asking = asyncio.create_task(ask(f"{url}/open", headers={"X-Account": "a1"}, data=b"{}"))
        while not owner.seen:  # noqa: ASYNC110 - what the other end does is seen here only so
            await asyncio.sleep(0.01)
        topics["http://127.0.0.1:9"] = topics.pop(owner_url)
        status, _, body = await asking
        owner.paused.set()
    assert (status, b"OUTCOME_UNKNOWN" in body) == (504, True)


async def test_candles_are_answered_where_the_ticks_are() -> None:
    owner, topics = FakeOwner(), dict[str, Any]()
    async with (
        serving(owner_app(owner)) as owner_url,
        worker(owner_url, owned={0}, topics=topics) as (url, local),
        worker(owner_url, owned=set(), keeps_candles=True) as (keeper_url, kept),
    ):
        assert (await ask(f"{url}/candles?symbol=SOL", "GET"))[2] == b'{"from":"owner"}'
        assert (await ask(f"{keeper_url}/candles?symbol=SOL", "GET"))[2] == b"local"
        assert (await ask(f"{url}/candles", "GET", headers={FORWARDED: "1"}))[2] == b"local"
        topics["http://127.0.0.1:9"] = topics.pop(owner_url)
        status, headers, body = await ask(f"{url}/candles", "GET")
        assert (status, headers["Retry-After"], b"the candles are moving" in body) == (503, "1", True)
    assert [(path, signed(sent[FORWARDED])["p"]) for _, path, sent, _ in owner.seen] == [("/candles?symbol=SOL",) * 2]
    assert (local, kept) == (["/candles"], ["/candles"])


def test_the_owners_are_read_once_for_each_time_that_partitions_are_dealt_out() -> None:
    class DealtOut(dict[str, dict[str, list[int]]]):
        reads = 0

        def items(self) -> Any:
            self.reads += 1
            return super().items()

    dealt_out = [DealtOut({"http://one:1/": {"trading-journal": [1, 2], "backpack-market-updates": [0]}})]
    app = SimpleNamespace(
        router=SimpleNamespace(external_topics_metadata=lambda: dealt_out[-1]),
        conf=SimpleNamespace(canonical_url="http://own:1"),
    )
    forwarding = Forwarding(cast(Any, SimpleNamespace(app=app, topics=PLAIN_TOPICS)), guard())
    for _ in range(3):
        assert forwarding.owners() == {1: "http://one:1", 2: "http://one:1"}
        assert forwarding.owners(PLAIN_TOPICS.market_updates) == {0: "http://one:1"}
    assert dealt_out[0].reads == 2
    dealt_out.append(DealtOut({"http://two:1": {"trading-journal": [2]}, "http://own:1/": {"trading-journal": [1]}}))
    assert forwarding.owners() == {2: "http://two:1"}
    assert forwarding.owners(PLAIN_TOPICS.market_updates) == {}
