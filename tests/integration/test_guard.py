"""The guard of a worker that shares its accounts: what other workers sign counts, what anybody says does not."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from guards import API_KEY, KEYS, guard

from exness_streams.api.access.address import address_of
from exness_streams.api.access.caller import PASSED_ON, account_of, caller_of
from exness_streams.api.access.guard import FORWARDED, agent_of, origin_of, was_vouched_for
from exness_streams.api.errors import error_middleware
from exness_streams.identity.secret_keys import SecretKeys
from exness_streams.identity.tokens import Tokens

BODY = b'{"margin":1}'
PATH = "/orders?x=1"


async def told(request: web.Request) -> web.Response:
    caller = caller_of(request)
    said = {
        "kind": caller.kind,
        "account": account_of(request),
        "operator": caller.is_operator,
        "passed": PASSED_ON in request,
        "vouched": was_vouched_for(request),
        "address": address_of(request),
        "origin": origin_of(request),
        "agent": agent_of(request),
        "body": (await request.read()).decode(),
    }
    return web.json_response(said)


@asynccontextmanager
async def worker(*, required: bool, shared: bool = True) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[error_middleware, guard(required=required, shared=shared).middleware])
    app.router.add_route("*", "/{path:.*}", told)
    async with TestClient(TestServer(app)) as client:
        yield client


def claims(**other: Any) -> dict[str, Any]:
    honest = {
        "m": "POST",
        "p": PATH,
        "b": hashlib.sha256(BODY).hexdigest(),
        "address": "203.0.113.9",
        "origin": "https://trade.example",
        "agent": "a browser",
        "mark": KEYS.pepper_mark,
        "vouched": False,
    }
    return honest | other


def signed(keys: SecretKeys = KEYS, late_s: int = 0, **other: Any) -> str:
    return Tokens(keys).passing(claims(**other), int(time.time()) - late_s)


async def send(client: TestClient[web.Request, web.Application], passing: str | None, **more: Any) -> tuple[int, Any]:
    key = API_KEY.format(account="u_1")
    headers = {"Authorization": f"Bearer {key}", **({} if passing is None else {FORWARDED: passing})}
    async with client.post(more.get("path", PATH), data=more.get("body", BODY), headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def test_what_a_worker_signed_counts() -> None:
    async with worker(required=True) as client:
        status, said = await send(client, signed())
    assert status == 200
    assert (said["kind"], said["account"], said["passed"], said["vouched"]) == ("key", "u_1", True, False)
    assert (said["address"], said["origin"], said["agent"]) == ("203.0.113.9", "https://trade.example", "a browser")
    assert said["body"] == BODY.decode()


STRANGER = SecretKeys((b"somebody else's secret of 32 bytes or more",), KEYS.pepper)


@pytest.mark.parametrize(
    ("passing", "status"),
    [
        (lambda: "1", 403),
        (lambda: "", 403),
        (lambda: "x" * 5_000, 403),
        (lambda: signed(STRANGER), 403),
        (lambda: signed(late_s=3_600), 403),
        (lambda: signed(m="GET"), 403),
        (lambda: signed(p="/orders?x=2"), 403),
        (lambda: signed(p="/"), 403),
        (lambda: signed(b=hashlib.sha256(b"").hexdigest()), 403),
        (lambda: signed(b=None), 403),
        (lambda: signed(mark="another pepper"), 503),
        (lambda: Tokens(KEYS).session("u_1", "s", "a@b.c", 4_000_000_000_000), 403),
        (lambda: Tokens(KEYS).link("u_1", "a@b.c", "x", 4_000_000_000_000), 403),
    ],
)
async def test_what_anybody_else_says_is_refused(passing: Callable[[], str], status: int) -> None:
    async with worker(required=True) as client:
        found, said = await send(client, passing())
    assert found == status
    assert said["error"] in ("FORBIDDEN", "NOT_READY")


async def test_on_loopback_without_sign_in_it_is_worth_nothing() -> None:
    """Workers of one machine may have secrets of their own each: all that this spares is another way round."""
    async with worker(required=False) as client:
        status, said = await send(client, "1")
    assert (status, said["passed"], said["vouched"], said["address"]) == (200, True, False, "127.0.0.1")


async def test_a_worker_on_its_own_listens_to_no_other() -> None:
    async with worker(required=True, shared=False) as client:
        status, said = await send(client, signed(vouched=True))
    assert (status, said["passed"], said["vouched"], said["address"]) == (200, False, False, "127.0.0.1")


def session(account: str, email: str = "a@b.c") -> str:
    return Tokens(KEYS).session(account, "s1", email, 4_000_000_000_000)


@pytest.mark.parametrize(
    ("headers", "method", "path", "expected"),
    [
        ({}, "GET", "/x", 401),
        ({"X-Account": "u_1"}, "GET", "/x", 401),
        ({"Authorization": f"Bearer {session('u_1')}"}, "GET", "/x", "u_1"),
        ({"Authorization": f"bearer {session('u_1')}", "X-Account": "u_1"}, "POST", "/x", "u_1"),
        ({"Authorization": f"Bearer {session('u_1')}", "X-Account": "u_2"}, "GET", "/x", 409),
        ({"Authorization": f"Bearer {session('u_1')}", "X-Account": "not an account"}, "GET", "/x", 400),
        ({"Cookie": f"exness_session={session('u_1')}"}, "GET", "/x", "u_1"),
        ({"Cookie": "exness_session=old"}, "GET", "/x", 401),
        ({"Cookie": f"exness_session={session('u_1')}", "Authorization": "Bearer old"}, "GET", "/x", 401),
        ({"Authorization": f"Bearer {session(KEYS.account_id('boss@example.com'))}"}, "GET", "/x", "boss"),
        ({"Authorization": f"Bearer {session(KEYS.account_id('boss@example.com'))}", "X-Account": "u_2"}, "GET", "/x",
         "u_2"),
        ({"Authorization": f"Bearer {session(KEYS.account_id('boss@example.com'))}", "X-Account": "u_2"}, "POST", "/x",
         409),
        ({"Authorization": f"Bearer {API_KEY.format(account='u_1')}", "X-Account": "u_2"}, "GET", "/x", 409),
    ],
)  # fmt: skip
async def test_whose_account_it_is_about(headers: dict[str, str], method: str, path: str, expected: int | str) -> None:
    async with worker(required=True) as client, client.request(method, path, headers=headers) as answer:
        said = json.loads(await answer.read())
    if isinstance(expected, int):
        assert answer.status == expected
    else:
        own = KEYS.account_id("boss@example.com")
        assert (answer.status, said["account"]) == (200, own if expected == "boss" else expected)
