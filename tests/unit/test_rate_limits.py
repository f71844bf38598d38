"""Who is told to wait: by account and address, reads apart from changes, in the one shape of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exness_streams.api.access.address import ClientAddresses
from exness_streams.api.access.rate_limits import BYTES_OF_ONE, STREAM_COST, RateLimits, bill_of, refusal_s
from exness_streams.api.access.rate_metrics import RateCollector
from exness_streams.api.access.rates import Standing
from exness_streams.api.access.turns import AT_ONCE
from exness_streams.api.door import Door
from exness_streams.settings.access import AccessSettings

Client = TestClient[web.Request, web.Application]
NONE = {"rate_limit": "", "address_rate_limit": "", "new_accounts_limit": ""}
REQUIRED = {"auth": "required", "secret_key": ("x" * 32,)}
HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


class Platform:
    """A web app whose answers are as large as they are asked to be."""

    def __init__(self, **settings: Any) -> None:
        self.limits = RateLimits(AccessSettings(**NONE | settings))
        self.answered = self.answering = 0
        self.may_answer = asyncio.Event()
        self.app = web.Application()
        # Every client is behind a proxy, so that it can be anybody.
        self.app.middlewares.append(ClientAddresses([ip_network("127.0.0.0/8")]).middleware)
        Door([]).mount(self.app)
        self.limits.mount(self.app)
        for path in ("/read", "/livez", "/readyz"):
            self.app.router.add_get(path, self.answer)
        self.app.router.add_get("/slow", self.slow)
        self.app.router.add_get("/endless", self.endless)
        self.app.router.add_get("/pieces", self.pieces)
        self.app.router.add_get("/ws", self.stream)
        self.app.router.add_post("/change", self.answer)
        self.app.router.add_post("/begin", self.begin)

    async def answer(self, request: web.Request) -> web.Response:
        self.answered += 1
        return web.Response(body=b"x" * int(request.query.get("size", 1)))

    async def pieces(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4):
            await response.write(b"x" * BYTES_OF_ONE)
        await response.write_eof()
        return response

    async def slow(self, request: web.Request) -> web.Response:
        self.answering += 1
        await self.may_answer.wait()
        return web.Response()

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await self.may_answer.wait()
        await response.write(b"x")
        await response.write_eof()
        return response

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            bill_of(request).pay_bytes(int(message.data))
        return response

    async def begin(self, request: web.Request) -> web.Response:
        await self.limits.begin_account(request, request.query["account"])
        return web.Response()


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Platform, Client]]:
    platform = Platform(**settings)
    async with TestClient(TestServer(platform.app)) as client:
        yield platform, client


def of(account: str = "demo", address: str = "203.0.113.9") -> dict[str, str]:
    return {"X-Account": account, "X-Forwarded-For": address}


async def statuses(client: Client, count: int, path: str = "/read", **who: str) -> list[int]:
    method = "POST" if path.startswith(("/change", "/begin")) else "GET"
    found = []
    for _ in range(count):
        async with client.request(method, path, headers=of(**who)) as response:
            await response.read()
            found.append(response.status)
    return found


async def test_an_account_is_told_to_wait_and_others_are_not() -> None:
    async with served(rate_limit="3 per 10 seconds") as (platform, client):
        assert await statuses(client, 4) == [200, 200, 200, 429]
        assert await statuses(client, 1, address="198.51.100.1") == [429], "another address does not help"
        assert await statuses(client, 3, account="other") == [200] * 3
        assert platform.answered == 6, "who is told to wait costs no answer"
        assert platform.limits.counters == {"account": 2}


async def test_who_reads_much_can_still_order() -> None:
    async with served(rate_limit="3 per minute", address_rate_limit="3 per minute") as (_, client):
        assert await statuses(client, 5) == [200, 200, 200, 429, 429]
        assert await statuses(client, 4, path="/change") == [200, 200, 200, 429]


async def test_an_address_is_told_to_wait_whatever_accounts_it_names() -> None:
    async with served(address_rate_limit="3 per minute") as (platform, client):
        assert [(await statuses(client, 1, account=f"a{number}"))[0] for number in range(4)] == [200, 200, 200, 429]
        assert await statuses(client, 1, address="203.0.113.10") == [200]
        assert platform.limits.counters == {"address": 1}


async def test_of_ipv6_a_network_is_one_client() -> None:
    async with served(address_rate_limit="2 per minute") as (_, client):
        found = [(await statuses(client, 1, address=f"2001:db8::{number}"))[0] for number in range(1, 4)]
        assert found == [200, 200, 429]
        assert await statuses(client, 1, address="2001:db8:0:1::1") == [200]


async def test_an_address_that_must_wait_uses_up_nothing_of_an_account() -> None:
    async with served(rate_limit="3 per minute", address_rate_limit="1 per minute") as (_, client):
        assert await statuses(client, 9) == [200] + [429] * 8
        assert await statuses(client, 3, address="198.51.100.1") == [200, 429, 429]
        assert await statuses(client, 1, address="198.51.100.2") == [200]
        assert await statuses(client, 1, address="198.51.100.3") == [429]


@pytest.mark.parametrize(("settings", "waits"), [({}, False), (REQUIRED, True)], ids=["open", "required"])
async def test_this_machine_is_no_address_where_nobody_signs_in(settings: dict[str, Any], waits: bool) -> None:
    async with served(address_rate_limit="1 per minute", **settings) as (_, client):
        found = [(await client.get("/read")).status for _ in range(3)]
        assert found == ([200, 429, 429] if waits else [200] * 3)


async def test_a_refusal_says_who_must_wait_and_how_long() -> None:
    async with served(rate_limit="2 per 10 seconds") as (_, client):
        await statuses(client, 2)
        async with client.get("/read", headers=of()) as response:
            told = await response.json()
            wait = int(response.headers["Retry-After"])
        assert 1 <= wait <= 10
        assert response.content_type == "application/json"
        assert told == {
            "message": f"too many requests for this account: at most 2 per 10 seconds; try again in {wait} s",
            "error": "RATE_LIMITED",
            "details": {"scope": "account", "limit": "2 per 10 seconds", "retryAfter": wait},
        }
        assert [response.headers[name] for name in HEADERS] == ["2", "0", str(wait)]


async def test_every_answer_says_how_much_is_left_of_what_ends_first() -> None:
    async with served(rate_limit="9 per minute", address_rate_limit="5 per 10 seconds") as (_, client):
        async with client.get("/read", headers=of()) as response:
            assert [response.headers[name] for name in HEADERS[:2]] == ["5", "4"]
            assert 1 <= int(response.headers["RateLimit-Reset"]) <= 10
        async with client.get("/nowhere", headers=of()) as response:
            assert (response.status, response.headers["RateLimit-Remaining"]) == (404, "3")
        async with client.post("/read", headers=of()) as response:
            assert (response.status, response.headers["RateLimit-Remaining"]) == (405, "4")
        async with client.get("/pieces", headers=of()) as response:
            assert response.headers["RateLimit-Remaining"] == "2"


async def test_nothing_is_said_where_there_is_no_limit() -> None:
    async with served() as (_, client), client.get("/read", headers=of()) as response:
        assert not [name for name in response.headers if name.startswith("RateLimit")]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_who_looks_after_the_process_never_waits(path: str) -> None:
    async with served(rate_limit="1 per minute", address_rate_limit="1 per minute") as (_, client):
        assert await statuses(client, 5, path=path) == [200] * 5


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("/read", 1), (f"/read?size={BYTES_OF_ONE - 1}", 1), (f"/read?size={BYTES_OF_ONE}", 2),
        (f"/read?size={5 * BYTES_OF_ONE}", 6), ("/pieces", 5), ("/nowhere", 1),
    ],
)  # fmt: skip
async def test_a_large_answer_costs_more(path: str, cost: int) -> None:
    async with served(rate_limit="100 per minute") as (_, client):
        await statuses(client, 1, path=path)
        async with client.get("/read", headers=of()) as response:
            assert response.headers["RateLimit-Remaining"] == str(100 - cost - 1)


async def test_a_stream_counts_when_it_connects_and_by_what_it_asks_for() -> None:
    async with served(rate_limit=f"{STREAM_COST + 4} per minute") as (_, client):
        async with client.ws_connect("/ws?account=a") as socket:
            await socket.send_str(str(3 * BYTES_OF_ONE))
            await socket.close()
        assert await statuses(client, 2, account="a") == [200, 429]
        assert await statuses(client, 1) == [200]


async def test_streams_keep_no_turn() -> None:
    async with served(rate_limit="1000 per minute") as (_, client):
        streams = [await client.ws_connect("/ws?account=a") for _ in range(3 * AT_ONCE)]
        assert await statuses(client, 1, account="a") == [200]
        for stream in streams:
            await stream.close()


async def test_so_many_accounts_are_begun_from_an_address() -> None:
    async with served(new_accounts_limit="2 per minute") as (platform, client):
        begun = [(await statuses(client, 1, path=f"/begin?account={name}"))[0] for name in "abca"]
        assert begun == [200, 200, 429, 200]
        assert await statuses(client, 1, path="/begin?account=c") == [429], "nor at the next attempt"
        assert await statuses(client, 1, path="/begin?account=c", address="203.0.113.10") == [200]
        assert platform.limits.counters == {"new_accounts": 2}


async def test_an_account_that_is_not_there_yet_counts_once() -> None:
    async with served(new_accounts_limit="2 per minute") as (_, client):
        assert await statuses(client, 20, path="/begin?account=a") == [200] * 20
        assert await statuses(client, 1, path="/begin?account=b") == [200]


def test_a_stream_may_send_so_much_each() -> None:
    limits = RateLimits(AccessSettings(**NONE | {"rate_limit": "9 per minute"}))
    one, other = limits.frames_of_stream(), limits.frames_of_stream()
    assert [one() for _ in range(100)] == [""] * 100
    assert one() == "too many frames: a client may send 100 per 10 seconds"
    assert other() == ""
    unlimited = RateLimits(AccessSettings(**NONE)).frames_of_stream()
    assert not any(unlimited() for _ in range(1000))


async def test_who_asks_much_at_once_takes_turns_with_itself_and_others_do_not_wait() -> None:
    async with served(rate_limit="100 per minute") as (platform, client):
        platform.may_answer.clear()
        asking = [asyncio.create_task(statuses(client, 1, path="/slow")) for _ in range(3 * AT_ONCE)]
        other = [asyncio.create_task(statuses(client, 1, path="/slow", account="other"))]
        assert await statuses(client, 5, account="third") == [200] * 5, "meanwhile they have all come"
        assert platform.answering == AT_ONCE + 1
        assert await statuses(client, 1, path="/change") == [200]
        platform.may_answer.set()
        assert await asyncio.gather(*asking, *other) == [[200]] * (3 * AT_ONCE + 1)


async def test_an_answer_in_pieces_keeps_no_turn_while_its_client_reads() -> None:
    async with served(rate_limit="100 per minute") as (platform, client):
        platform.may_answer.clear()
        reading = [await client.get("/endless", headers=of()) for _ in range(2 * AT_ONCE)]
        assert await statuses(client, 1) == [200]
        platform.may_answer.set()
        assert [await response.read() for response in reading] == [b"xx"] * (2 * AT_ONCE)


@pytest.mark.parametrize(
    ("limit", "excess", "expected_s"),
    [(2000, 1, 0.005), (2000, 100, 0.5), (2000, 200, 1), (2000, 10**9, 1), (3, 1, 0.05), (3, 20, 1), (60, 10, 0.5)],
)
def test_who_takes_no_notice_of_refusals_waits_for_them(limit: int, excess: int, expected_s: float) -> None:
    """So a flood costs as much as its connections, whatever it is answered."""
    assert refusal_s(Standing(False, limit, 0, 7, excess)) == expected_s


async def test_refusals_are_counted_by_whose_rate_it_was() -> None:
    async with served(rate_limit="1 per minute") as (platform, client):
        await statuses(client, 3)
        (refused,) = RateCollector(platform.limits).collect()
        assert {sample.labels["scope"]: sample.value for sample in refused.samples} == {
            "account": 2, "key": 0, "address": 0, "new_accounts": 0, "frames": 0, "links": 0,
        }  # fmt: skip
