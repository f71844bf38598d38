"""A worker that may have lost its cells tells nothing of them: every route, by the table of all routes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from platform_harness import STATE, PlatformThread

from exness_streams.api import forwarding
from exness_streams.api.access.guard import Guard
from exness_streams.api.openapi.route_text import RouteText
from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.identity.secret_keys import secret_keys

EMAIL = "boss@example.com"
ID = "0123456789abcdef01234567"

ANSWERED = {
    ("POST", "/api/auth/signup"): "a mail is sent, and no account looked at",
    ("POST", "/api/auth/login"): "as signup",
    ("GET", "/api/auth/verify"): "a browser is led to the page, which redeems the link",
    ("GET", "/"): "the page, or the banner",
    ("GET", "/livez"): "the process lives",
    ("GET", "/metrics"): "of this process",
    ("GET", "/api/v1/openapi.json"): "a document",
    ("GET", "/api/v1/asyncapi.json"): "a document",
    ("GET", "/api/v1/markets"): "public prices, each with its time",
}
"""The only routes that a stale worker answers, and why. A new route is refused, or has a reason here."""

BODIES: dict[str, Any] = {
    "/api/auth/verify": {"token": "link"},
    "/api/v1/keys": {"name": "bot", "scopes": ["read"]},
    "/api/v1/operator/sessions/end": {"email": EMAIL},
}
QUERIES = {"/api/v1/candles": "?symbol=SOL_USDC", "/api/v1/operator/account": f"?email={EMAIL}"}


class Member:
    """The standing of a worker in its group."""

    def __init__(self) -> None:
        self.fresh = True

    def is_fresh(self) -> bool:
        return self.fresh


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    running = PlatformThread(
        tmp_path_factory.mktemp("data"), past_minutes=5, operators=(EMAIL,), metrics_port=None
    ).start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def member(platform: PlatformThread, monkeypatch: pytest.MonkeyPatch) -> Member:
    assert platform.platform is not None
    member = Member()
    monkeypatch.setattr(platform.platform.engine.freshness, "is_fresh", member.is_fresh)
    monkeypatch.setattr(forwarding, "PATIENCE_S", 0.0)
    return member


@pytest.fixture(scope="module")
def guard(platform: PlatformThread) -> Guard:
    return Guard(secret_keys(platform.settings), (EMAIL,), required=False, shared=False)


def asked(text: RouteText, guard: Guard) -> tuple[str, str, bytes, dict[str, str]]:
    """A request that a route takes, of somebody whose credential is in order as far as it says itself."""
    now_ms = int(time.time() * 1000)
    account_id = guard.keys.account_id(EMAIL)
    headers = {"Authorization": f"Bearer {guard.tokens.session(account_id, ID, EMAIL, now_ms + 3_600_000)}"}
    body = BODIES.get(text.path, next(iter(text.examples.values()), None))
    if text.path == "/api/auth/verify":
        body = {"token": guard.tokens.link(account_id, EMAIL, ID, now_ms)}
        headers = {}
    if text.method == "POST":
        headers["Content-Type"] = "application/json"
    if text.path == "/ws":
        headers |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    path = text.path.replace("{id}", ID) + QUERIES.get(text.path, "")
    content = json.dumps(body or {}).encode() if text.method == "POST" else b""
    return text.method, path, content, headers


@pytest.mark.parametrize("text", ROUTE_TEXTS, ids=lambda text: f"{text.method} {text.path}")
def test_every_route_is_refused_by_a_stale_worker(
    platform: PlatformThread, member: Member, guard: Guard, text: RouteText
) -> None:
    member.fresh = False
    answer = platform.send(*asked(text, guard))
    if text.path == "/readyz":
        assert (answer.status, answer.json["status"]) == (503, "unready")
        assert "have not confirmed" in answer.json["reasons"][0]
    elif (text.method, text.path) in ANSWERED:
        assert answer.status != 503, answer
    else:
        assert (answer.status, answer.json["error"]) == (503, "REBALANCING"), answer
        assert answer.headers["Retry-After"] == "1"


def test_the_reasons_are_of_routes_that_there_are() -> None:
    assert ANSWERED.keys() <= {(text.method, text.path) for text in ROUTE_TEXTS}


def test_it_answers_again_once_it_is_confirmed(platform: PlatformThread, member: Member) -> None:
    member.fresh = False
    assert platform.get(STATE, "ann").status == 503
    assert 'exness_requests_refused_total{reason="stale"}' in platform.get("/metrics").body.decode()
    assert "exness_ready 0.0" in platform.get("/metrics").body.decode()
    member.fresh = True
    assert platform.get(STATE, "ann").status == 200
    assert platform.get("/readyz").status == 200


def test_a_repeat_by_key_is_a_read_too(platform: PlatformThread, member: Member) -> None:
    """What a worker remembers of a key may be older than what another has settled under it."""
    deposit = "/api/v1/account/deposit"
    assert platform.post(deposit, {"amount": 5}, "ann", "k").status == 200
    member.fresh = False
    assert platform.post(deposit, {"amount": 5}, "ann", "k").json["error"] == "REBALANCING"
    member.fresh = True
    assert "Idempotent-Replayed" in platform.post(deposit, {"amount": 5}, "ann", "k").headers


@pytest.mark.parametrize("path", ["/api/v1/trades", "/api/v1/equity"])
def test_a_read_that_waits_is_looked_at_after_its_wait(
    platform: PlatformThread, member: Member, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The process may have stood still in it."""
    assert platform.platform is not None
    history = platform.platform.engine.history
    wait_for = history.wait_for

    async def stopped_meanwhile(*arguments: Any) -> bool:
        found = await wait_for(*arguments)
        member.fresh = False
        return found

    assert platform.get(path, "ann").status == 200
    monkeypatch.setattr(history, "wait_for", stopped_meanwhile)
    answer = platform.get(path, "ann")
    assert (answer.status, answer.json["error"]) == (503, "REBALANCING")


async def test_who_listens_to_a_stale_worker_is_sent_away(platform: PlatformThread, member: Member) -> None:
    url = f"http://127.0.0.1:{platform.port}/ws"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers={"X-Account": "eve"}) as stream:
        told = await stream.receive_json(timeout=30)
        assert told["type"] == "connection"
        member.fresh = False
        while (heard := await stream.receive(timeout=30)).type is not aiohttp.WSMsgType.CLOSE:
            assert heard.type is aiohttp.WSMsgType.TEXT, heard
        assert (stream.close_code, heard.extra) == (1012, "the account is moving: connect again")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await session.ws_connect(url, headers={"X-Account": "eve"})
        member.fresh = True
        async with session.ws_connect(url, headers={"X-Account": "eve"}) as again:
            assert (await again.receive_json(timeout=30))["type"] == "connection"
