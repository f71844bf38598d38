"""Odd requests, by the thousand: never a 500, a traceback or a change of any account.

FUZZ_REQUESTS: how many (200). FUZZ_SEED: of their choice (1).
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_harness import OPEN, PlatformThread

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "200"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

PATHS = [
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/ws",
    "/api/v1/state",
    "/api/v1/markets",
    "/api/v1/candles",
    "/api/v1/trades",
    "/api/v1/equity",
    "/api/v1/openapi.json",
    OPEN,
    "/api/v1/positions/close",
    "/api/v1/positions/close-all",
    "/api/v1/positions/modify",
    "/api/v1/orders/place",
    "/api/v1/orders/cancel",
    "/api/v1/account/deposit",
    "/api/v1/account/reset",
    "/nowhere",
    "/web/../../etc/passwd",
    "/web/%2e%2e/%2e%2e/etc/passwd",
    "/%00",
    "/%ff%fe",
    "//",
    "/api//v1/state",
    "/api/v1/state/",
    "/API/V1/STATE",
    "/table/",
    "/router/",
    "/web/",
    "*",
    "/ключ",
]
QUERIES = [
    "",
    "?",
    "?symbol=SOL_USDC",
    "?symbol=%00",
    "?symbol=%ff",
    "?limit=1e9",
    "?limit=-1",
    "?cursor=%f0%28",
    "?a[]=1",
    "?account=a%0d%0ab",
    "?account=" + "x" * 300,
    "?numbers=1",
    "?interval=7m",
    "?" + "&".join("a=1" for _ in range(500)),
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "CONNECT", "get"]
HEADERS = [
    "Content-Encoding: gzip",
    "Content-Encoding: deflate",
    "Content-Encoding: br",
    "Content-Encoding: zstd",
    "Content-Encoding: gzip, gzip",
    "Content-Encoding: x",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-99",
    "Content-Type: ;;;",
    "Content-Type:",
    "Accept: application/openmetrics-text; version=1e9",
    "Accept: application/openmetrics-text; version=NaN",
    "Accept: application/openmetrics-text; version=",
    "Accept: text/csv",
    "Accept: */*;q=x",
    "Accept: text/html",
    "Accept-Encoding: gzip;q=nan",
    "Origin: http://[x",
    "Origin: null",
    "Origin: http://evil.example",
    "Origin: ",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Range: bytes=0-1",
    "If-None-Match: \xff",
    "X-Account: a b",
    "X-Account: \xff\xfe",
    "X-Account: " + "a" * 9000,
    "Idempotency-Key: \t",
    "Idempotency-Key: " + "k" * 200,
    "Cookie: " + "c=1;" * 500,
    "X-Exness-Forwarded: 1",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 1e3",
    "Authorization: Bearer \xff",
    "Prefer: numbers=x",
]
BODIES = [
    b"",
    b"{}",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"margin":NaN}',
    b'{"margin":1e400}',
    b"[" * 5000,
    b'"' + b"x" * 20_000,
    b'{"margin":-0,"asset":"SOL","type":"long"}',
    b'{"amount":"\\ud800"}',
    b'{"confirm":"reset"}',
    b"5\r\nabc",
    b'{"orderId":"' + b"\\u0000" * 10 + b'"}',
    b'{"positionId":{"a":1}}',
    b"1f8b0800",
]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path / "data")
    try:
        yield thread.start()
    finally:
        thread.stop()


def odd_request(rng: random.Random) -> bytes:
    """One request, as bytes; its account is one that nothing was done with."""
    method, path = rng.choice(METHODS), rng.choice(PATHS)
    head = [
        f"{method} {path}{rng.choice(QUERIES)} HTTP/1.{rng.choice('11110')}",
        "Host: localhost",
        "Connection: close",
    ]
    body = rng.choice(BODIES) if method not in ("GET", "HEAD") or rng.random() < 0.1 else b""
    if rng.random() < 0.7:
        head.append("Content-Type: application/json")
    if body and rng.random() < 0.9:
        head.append(f"Content-Length: {len(body) + rng.choice((0, 0, 0, 0, 5))}")
    head += rng.sample(HEADERS, rng.randint(0, 3))
    return "\r\n".join([*head, "", ""]).encode(rng.choice(("utf-8", "latin-1")), "replace") + body


def answer_to(port: int, request: bytes) -> bytes:
    """What came back, until the server closed or was silent; some requests are never whole, and have no answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.15) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while len(answer) < 1 << 20 and (piece := connection.recv(65536)):
                answer += piece
        except (TimeoutError, ConnectionError, OSError):
            pass
        return answer


def test_no_request_is_too_odd(platform: PlatformThread, caplog: pytest.LogCaptureFixture) -> None:
    rng = random.Random(SEED)
    platform.post(OPEN, {"margin": 100, "asset": "SOL", "type": "long", "leverage": 2}, "ann")
    before = platform.state("ann")
    statuses: dict[int, int] = {}
    with caplog.at_level(logging.WARNING):
        for _ in range(REQUESTS):
            request = odd_request(rng)
            answer = answer_to(platform.port, request)
            if not answer:
                continue
            status = int(answer.split(b" ", 2)[1])
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500 or status in (501, 503, 505), request
            head, _, body = answer.partition(b"\r\n\r\n")
            if status >= 400 and body:
                assert b"application/json" in head, request
                told, _ = json.JSONDecoder().raw_decode(body.decode())  # what follows answers the next request
                assert told["error"] and told["message"], request
                assert "\n" not in told["message"], request
    assert len(statuses) > 5, statuses
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    after = platform.state("ann")
    assert (after["sequence"], after["balances"]) == (before["sequence"], before["balances"])
    assert platform.state("demo")["sequence"] == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "x-y"])
def test_a_body_is_sent_as_it_is(platform: PlatformThread, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    reply = platform.send("POST", OPEN, b'{"margin":1}', headers)
    assert reply.status in (400, 415), reply.body
    assert b"Traceback" not in reply.body
    headers["Content-Encoding"] = "identity"
    assert platform.send("POST", OPEN, b'{"margin":1}', headers).json["details"] == {"field": "asset"}


def test_a_client_that_leaves_amid_its_body_is_no_fault_of_ours(
    platform: PlatformThread, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {OPEN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", platform.port)) as connection:
            connection.sendall(head.encode())
    for version in ("1e9", "NaN", "-1", "1e999999", "x", "0.0.1"):
        accept = f"application/openmetrics-text; version={version}"
        metrics = platform.send("GET", "/metrics", headers={"Accept": accept})
        assert metrics.status == 200
        assert b'outcome="INTERNAL"' not in metrics.body
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def test_the_platform_serves_on_the_other_loopback(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    thread = PlatformThread(tmp_path / "data", host="::1")
    thread._thread.start()
    try:
        assert thread._ready.wait(60), thread.failed
        with socket.create_connection(("::1", thread.port)) as connection:
            connection.sendall(
                f"GET /livez HTTP/1.1\r\nHost: [::1]:{thread.port}\r\nConnection: close\r\n\r\n".encode()
            )
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert thread.settings.own_url == f"http://[::1]:{thread.port}"
    finally:
        thread.stop()
