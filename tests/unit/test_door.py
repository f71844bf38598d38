"""The door: the names a request may use for the platform, and the pages that may act for their visitor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from exness_streams.api.door import Door, host_of
from exness_streams.api.errors import error_middleware

OURS = ("Trade.Example.com", "10.1.2.3", "fd00::7")

KNOWN = [
    "localhost", "LOCALHOST:4000", "localhost.", "localhost.:4000", "127.0.0.1", "127.0.0.1:1", "127.9.8.7:65535",
    "[::1]", "[::1]:4000", "trade.example.com", "TRADE.example.com:443", "trade.example.com.", "10.1.2.3:80",
    "[fd00::7]:4000",
]  # fmt: skip
STRANGE = [
    "", " ", "evil.example", "evil.example:4000", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost",
    "localhost@evil.example", "evil.example@localhost", "user:pw@127.0.0.1", "127.0.0.1:", "127.0.0.1:0",
    "127.0.0.1:65536", "127.0.0.1:4000:4000", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1 evil", "127.0.0.1,evil.example",
    "127.0.0.1/evil", "127.0.0.1#", "127.0.0.1?", "::1", "[::1", "::1]", "[127.0.0.1]x", "[]", "[e]",
    "0.0.0.0", "0", "2130706433", "0x7f.0.0.1", "127.1", "010.1.2.3", "10.1.2.4", "[fd00::8]", "localhost..",
    "ⓛocalhost", "127。0。0。1", "trade.example.com.evil", "example.com", "localhost\t",
]  # fmt: skip


@pytest.mark.parametrize("authority", KNOWN)
def test_it_answers_to_its_own_names(authority: str) -> None:
    assert Door(OURS).knows(authority)


@pytest.mark.parametrize("authority", STRANGE)
def test_it_answers_to_no_other_name(authority: str) -> None:
    assert not Door(OURS).knows(authority)


def test_a_host_is_told_from_its_port() -> None:
    assert host_of("A.b:1") == "a.b"
    assert host_of("[::1]:80") == "::1"
    assert host_of("a:b") is None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server with one route that changes something, one that reads, and a door."""

    async def done(request: web.Request) -> web.Response:
        return web.Response(text="done")

    app = web.Application(middlewares=[error_middleware, Door(OURS, ["https://app.example"]).middleware])
    app.router.add_get("/read", done)
    app.router.add_post("/change", done)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def ask(port: int, head: str) -> tuple[int, str]:
    """Status and body of a request written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"Connection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    status, _, body = answer.decode().partition("\r\n\r\n")
    return int(status.split()[1]), body


@pytest.mark.parametrize(
    "head",
    [
        "GET /read HTTP/1.1\nHost: evil.example\n",
        "GET /read HTTP/1.1\nHost: 127.0.0.1\nHost: evil.example\n",
        "GET /read HTTP/1.1\nHost: evil.example\nHost: 127.0.0.1\n",
        "GET /read HTTP/1.1\nHost: 127.0.0.1\nHost: 127.0.0.1\n",
        "GET /read HTTP/1.1\n",
        "GET /read HTTP/1.0\n",
        "GET /read HTTP/1.1\nHost:\n",
        "GET http://evil.example/read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET http://127.0.0.2/read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET http://127.0.0.1:1/read HTTP/1.1\nHost: 127.0.0.1:4000\n",
        "GET http://localhost/read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET http://127.0.0.1@evil.example/read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET http://evil.example#@127.0.0.1/read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET http:///read HTTP/1.1\nHost: 127.0.0.1\n",
        "GET //evil.example/read HTTP/1.1\nHost: evil.example\n",
        "GET http:evil.example/read HTTP/1.1\nHost: 127.0.0.1\n",
        "CONNECT evil.example:80 HTTP/1.1\nHost: 127.0.0.1\n",
        "OPTIONS * HTTP/1.1\nHost: evil.example\n",
        "GET /read HTTP/1.1\nHost: [::1%25lo]\n",
        "GET /read HTTP/1.1\nHost: 127.0.0.1\x7f\n",
        "GET /nowhere HTTP/1.1\nHost: evil.example\n",
        "DELETE /read HTTP/1.1\nHost: evil.example\n",
        "POST /change HTTP/1.1\nHost: evil.example\nContent-Length: 0\n",
        "GET /read HTTP/1.1\nHost: evil.example\nX-Exness-Forwarded: 1\n",
        "GET /read HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: 127.0.0.1\n",
    ],
)
async def test_a_request_for_another_host_gets_421_everywhere(port: int, head: str) -> None:
    status, body = await ask(port, head)
    assert status in (400, 421), body
    if status == 421:
        assert json.loads(body)["error"] == "MISDIRECTED_REQUEST"
    assert "done" not in body


async def test_a_request_for_this_host_is_served_in_each_form(port: int) -> None:
    for head in (
        f"GET /read HTTP/1.1\nHost: 127.0.0.1:{port}\n",
        "GET /read HTTP/1.0\nHost: localhost\n",
        "GET http://localhost/read HTTP/1.1\nHost: localhost\n",
        f"GET http://LocalHost:{port}/read HTTP/1.1\nHost: localhost:{port}\n",
        "GET /read?u=http://evil.example HTTP/1.1\nHost: localhost\n",
        "GET /read HTTP/1.1\nHost: localhost.\n",
    ):
        assert await ask(port, head) == (200, "done")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:4000", 200),
        ("HTTP://127.0.0.1:4000", 200),
        ("https://app.example", 200),
        ("http://127.0.0.1:4001", 403),
        ("http://127.0.0.1", 403),
        ("https://evil.example", 403),
        ("http://[x", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("http://127.0.0.1:4000/x", 403),
        ("http://user@127.0.0.1:4000", 403),
    ],
)
async def test_only_pages_of_our_own_may_change_something(port: int, origin: str, status: int) -> None:
    for extra in ("", "X-Exness-Forwarded: 1\n"):  # which is no pass
        head = f"POST /change HTTP/1.1\nHost: 127.0.0.1:4000\nOrigin: {origin}\nContent-Length: 0\n{extra}"
        assert (await ask(port, head))[0] == status
    assert (await ask(port, f"GET /read HTTP/1.1\nHost: 127.0.0.1:4000\nOrigin: {origin}\n"))[0] == 200


async def test_a_program_sends_no_origin(port: int) -> None:
    assert (await ask(port, "POST /change HTTP/1.1\nHost: localhost\nContent-Length: 0\n"))[0] == 200
