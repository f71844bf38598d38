"""Tries to get in at the socket and the edge of HTTP: each is refused with the right code, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from account_hash import hashed
from platform_harness import OPEN, STATE, PlatformThread, until

from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.processes.engine_worker import Platform
from exness_streams.transport.connections import Patience

WAIT_S = 30.0
SHORT = Patience(head=0.4, body=0.4, idle=0.4, answer=0.4)
ORDER = json.dumps({"margin": 100, "asset": "SOL", "type": "long"}).encode()
SMUGGLED = (
    f"POST {OPEN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(ORDER)}\r\n\r\n"
).encode() + ORDER
ROUTES = sorted({(text.method, text.path) for text in ROUTE_TEXTS})


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform") / "data")
    try:
        thread.start()
        empty = hashed(thread)
        thread.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long"}, "ann")
        until(lambda: hashed(thread) != empty)  # committed
        yield thread
    finally:
        thread.stop()


@pytest.fixture(autouse=True)
def nothing_has_changed(platform: PlatformThread, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    before = hashed(platform)
    yield
    assert hashed(platform) == before
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def said(platform: PlatformThread, sent: bytes) -> bytes:
    """All that comes until the server hangs up."""
    got = b""
    with socket.create_connection(("127.0.0.1", platform.port), WAIT_S) as connection:
        connection.sendall(sent)
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
    return got


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def refused_in_shape(answer: bytes) -> int:
    """The status of one refusal in the one shape, with nothing behind it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    refusal = json.loads(body)
    assert refusal["message"]
    assert refusal["error"]
    assert b"application/json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"X-Request-Id: " in head
    return status_of(answer)


# Paths

PATHS = [
    "//api/v1/state", "/api//v1/state", "/api/v1/state/", "/API/V1/STATE", "/api/v1/./state", "/api/v1/../v1/state",
    "/api/v1/state%00", "/api/v1/state%20", "/api/v1/state;a=1", "/api/v1/state%3fa", "/api%2fv1%2fstate",
    "/%2e%2e/api/v1/state", "/..;/api/v1/state", "/api/v1/%2e%2e/v1/state", "/.", "/..", "//", "///", "/%00", "/%ff",
    "/web/../../pyproject.toml", "/web/%2e%2e/%2e%2e/pyproject.toml", "/web/..%2f..%2fpyproject.toml",
    "/web/%252e%252e/pyproject.toml", "/web//etc/passwd", "/web/%2fetc%2fpasswd", "/web/..\\..\\pyproject.toml",
    "/web/index.html", "/web/0123456789abcdef/../index.html", "/web/js", "/web/js/", "/web/.", "/web/package.json",
    "/.git/config", "/.env", "/server-status", "/debug", "/graph/", "/router/", "/table/", "/stats/", "/live/",
    "/admin", "/api/v1", "/api/v1/", "/api", "/ws/", "//ws", "/ws/..", "/metrics/", "/metrics/../api/v1/state",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_what_it_says_and_nothing_else(platform: PlatformThread, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert refused_in_shape(said(platform, head.encode())) == 404


@pytest.mark.parametrize("path", [path.replace("state", "positions/open") for path in PATHS if "state" in path])
def test_no_other_path_trades(platform: PlatformThread, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answer = said(platform, f"{head}Content-Length: {len(ORDER)}\r\n\r\n".encode() + ORDER)
    assert refused_in_shape(answer) == 404


TARGETS = [
    ("http://localhost{path}", 200), ("HTTP://LOCALHOST{path}", 200), ("http://evil.example{path}", 421),
    ("https://evil.example{path}", 421), ("http://localhost@evil.example{path}", 421),
    ("http://localhost:81{path}", 421),
    ("http://evil.example#@localhost{path}", 421), ("http://localhost.evil.example{path}", 421), ("http://{path}", 421),
    ("ftp://evil.example{path}", 421), ("http:{path}", 421), ("file:///etc/passwd", 421), ("http://[::1{path}", 400),
    ("localhost{path}", 400), ("", 400), ("*", 400),
]  # fmt: skip


@pytest.mark.parametrize(("target", "status"), TARGETS)
def test_a_target_with_a_host_is_for_this_host(platform: PlatformThread, target: str, status: int) -> None:
    head = f"GET {target.format(path=STATE)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = said(platform, head.encode())
    if status == 200:
        assert status_of(answer) == 200
    else:
        assert 400 <= refused_in_shape(answer) < 500
        if status == 421:
            assert status_of(answer) in (421, 400)
    assert b"accountId" not in answer or status == 200


# Hosts and origins


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "2130706433", ""])
def test_a_strangers_name_for_this_machine_is_served_nowhere(
    platform: PlatformThread, method: str, path: str, host: str
) -> None:
    """As after DNS rebinding: the browser takes the page for one of the same origin."""
    named = host.format(port=platform.port)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {named}", f"Origin: http://{named}", "Connection: close"]
    if path in ("/ws", "/"):
        lines[3:] = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines.append("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(ORDER)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + (ORDER if method == "POST" else b"")
    with socket.create_connection(("127.0.0.1", platform.port), WAIT_S) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    assert status_of(answer) == 421
    assert b"Access-Control" not in answer


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}x"])
def test_a_page_elsewhere_can_not_trade(platform: PlatformThread, origin: str, content_type: str) -> None:
    """Also not by a form, or what a browser sends without asking first."""
    headers = {"Origin": origin.format(port=platform.port), "Content-Type": content_type}
    assert platform.send("POST", OPEN, ORDER, headers).status == 403


# Bodies and slowness


def body_of(length: int, *, chunked: bool, told: int | None = None) -> bytes:
    head = f"POST {OPEN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    content = b'{"asset":"' + b"x" * (length - 12) + b'"}'
    if chunked:
        return f"{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n".encode() + content + b"\r\n0\r\n\r\n"
    return f"{head}Content-Length: {length if told is None else told}\r\n\r\n".encode() + content


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("length", "status"), [(16_384, 400), (16_385, 413), (300_000, 413)])
def test_a_body_may_be_so_long(platform: PlatformThread, length: int, status: int, chunked: bool) -> None:
    answer = said(platform, body_of(length, chunked=chunked))
    assert refused_in_shape(answer) == status


@pytest.mark.parametrize("told", [16_385, 10**9, 10**18])
def test_a_body_that_is_announced_as_too_long_is_refused_at_once(platform: PlatformThread, told: int) -> None:
    with socket.create_connection(("127.0.0.1", platform.port), WAIT_S) as connection:
        connection.sendall(body_of(100, chunked=False, told=told))
        assert status_of(connection.recv(65536)) == 413


@pytest.fixture
def impatient(platform: PlatformThread) -> Iterator[PlatformThread]:
    running = platform.platform
    assert isinstance(running, Platform)
    connections = running.engine.app.web.connections
    usual, connections.patience = connections.patience, SHORT
    yield platform
    connections.patience = usual


SLOW = {
    "a head": b"POST " + OPEN.encode() + b" HTTP/1.1\r\nHost: localhost\r\n",
    "a body": body_of(200, chunked=False, told=300),
    "chunks": body_of(200, chunked=True)[:-5],
    "a chunk": body_of(200, chunked=True)[:-30],
}


@pytest.mark.parametrize("name", SLOW)
async def test_who_does_not_go_on_is_let_go(impatient: PlatformThread, name: str) -> None:
    async def drip() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
        writer.write(SLOW[name])
        try:
            return await asyncio.wait_for(reader.read(), WAIT_S)
        finally:
            writer.close()

    answers = await asyncio.gather(*(drip() for _ in range(50)))
    assert {refused_in_shape(answer) for answer in answers} == {408}
    assert await asyncio.to_thread(lambda: impatient.get(STATE).status) == 200


async def test_streams_lock_nobody_out(tmp_path: Path) -> None:
    """More than there are places for, of as many accounts, by clients that read nothing: each newcomer is served."""
    thread = PlatformThread(tmp_path / "data", max_connections=16)
    await asyncio.to_thread(thread.start)
    try:
        async with aiohttp.ClientSession() as session:
            streams = []
            for number in range(50):
                streams.append(await session.ws_connect(f"http://127.0.0.1:{thread.port}/ws?account=a{number}"))
                assert (await asyncio.to_thread(thread.get, STATE)).status == 200
            metrics = (await asyncio.to_thread(thread.get, "/metrics")).body.decode()
        assert "exness_connections_max 16.0" in metrics
        assert 'exness_connections_refused_total{reason="all"} 0.0' in metrics
        assert "exness_stream_displaced_total 44.0" in metrics  # 6 are left: half of three quarters
    finally:
        await asyncio.to_thread(thread.stop)


# Requests that two servers would read differently

AMBIGUOUS = {
    "two lengths": "Content-Length: 0\r\nContent-Length: {length}",
    "two lengths, turned round": "Content-Length: {length}\r\nContent-Length: 0",
    "a list of lengths": "Content-Length: 0, {length}",
    "the same length in a list": "Content-Length: {length}, {length}",
    "length with a sign": "Content-Length: +{length}",
    "length in hex": "Content-Length: 0x1",
    "length with an underscore": "Content-Length: 1_0",
    "negative length": "Content-Length: -{length}",
    "no length": "Content-Length:",
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: {length}",
    "unknown coding": "Transfer-Encoding: xchunked",
    "chunked before another coding": "Transfer-Encoding: chunked, identity",
    "chunked twice": "Transfer-Encoding: chunked, chunked",
    "chunked in two headers": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "chunked, quoted": 'Transfer-Encoding: "chunked"',
    "chunked after a tab": "Transfer-Encoding: \x0bchunked",
    "a space before the colon": "Transfer-Encoding : chunked",
    "a folded header": "Transfer-Encoding:\r\n chunked",
    "a bare newline": "X: y\nTransfer-Encoding: chunked",
    "a bare return": "X: y\rTransfer-Encoding: chunked",
    "a NUL": "Transfer-Encoding: chunked\x00",
    "an underscore": "Content_Length: 3\r\nTransfer-Encoding: gzip",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_not_read(platform: PlatformThread, name: str) -> None:
    """One answer, no second request: what stands behind would be somebody else's to a proxy in front."""
    lines = AMBIGUOUS[name].format(length=len(SMUGGLED) + 5)
    head = f"POST /api/v1/account/deposit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\r\n"
    answer = said(platform, head.encode() + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert answer.count(b"HTTP/1.") == 1, answer
    assert refused_in_shape(answer) in (400, 501)


CHUNKS = [
    b"-1\r\n",
    b"+0\r\n",
    b"0x0\r\n",
    b"0 \r\n",
    b" 0\r\n",
    b"0_0\r\n",
    b"\r\n",
    b"g\r\n",
    b"0\n",
    b"0;\n",
    b"0\r\r\n",
    b"f" * 40,
]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_chunk_has_one_spelling(platform: PlatformThread, chunk: bytes) -> None:
    head = "POST /api/v1/account/deposit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = said(platform, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n" + SMUGGLED)
    assert answer.count(b"HTTP/1.") == 1, answer
    assert refused_in_shape(answer) == 400


def test_requests_behind_one_another_are_each_answered(platform: PlatformThread) -> None:
    """Which is how the tests above would notice a second request."""
    one = f"GET {STATE} HTTP/1.1\r\nHost: localhost\r\nX-Account: new\r\n"
    answer = said(platform, one.encode() + b"\r\n" + one.encode() + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2


def test_the_pages_files_are_all_that_is_served(platform: PlatformThread) -> None:
    root = Path(__file__).parents[2]
    for path in (root / "exness_streams" / "web").rglob("*"):
        name = path.relative_to(root / "exness_streams" / "web").as_posix()
        if path.is_file():
            status = platform.get(f"/web/{name}").status
            assert status == (200 if path.suffix in (".css", ".js", ".mjs", ".svg", ".txt") else 404), name
