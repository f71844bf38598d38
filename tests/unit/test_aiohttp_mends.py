"""What is no HTTP request gets the one error shape, and leaves no traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from pathlib import Path

import pytest
from aiohttp import web

from exness_streams.api.aiohttp_mends import BOUNDS, NEEDED, refuse_other_aiohttp
from exness_streams.api.door import Door
from exness_streams.api.errors import error_middleware
from exness_streams.transport.private_names import is_there

SEED = 20_261_128
HEAD = b"Host: localhost\r\nConnection: close\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HEAD

GARBAGE = {
    "no request line": b"GARBAGE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "unknown method": b"FOO@ / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\n" + HEAD + b"\r\n",
    "bad target": b"GET http://[x/ HTTP/1.1\r\n" + HEAD + b"\r\n",
    "star": b"GET * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "huge header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n b: c\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\n" + HEAD + b"X : a\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
    "old version": b"GET /echo\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no such route": b"GET /nowhere HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no such method": b"DELETE /echo HTTP/1.1\r\n" + HEAD + b"\r\n",
    "Expect": POST + b"Expect: x\r\nContent-Length: 0\r\n\r\n",
    "Expect where there is no route": b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Expect: x\r\n\r\n",
    "Expect with another method": b"PUT /echo HTTP/1.1\r\n" + HEAD + b"Expect: x\r\n\r\n",
    "long target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\r\n" * 2_000 + b"\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "another loopback host": b"GET http://127.0.0.2/ HTTP/1.1\r\n" + HEAD + b"\r\n",
}


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=request.path)  # aiohttp reads the body then, and drops it


def with_our_middleware() -> web.Application:
    app = web.Application()
    Door([]).mount(app)
    app.router.add_post("/echo", echo)
    return app


async def answers(requests: list[bytes], wait_s: float = 10.0, app: web.Application | None = None) -> list[bytes]:
    """Of a server."""
    app = app or with_our_middleware()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    got = []
    try:
        for sent in requests:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            try:
                got.append(await asyncio.wait_for(reader.read(), wait_s))
            except (ConnectionError, asyncio.TimeoutError):
                got.append(b"")  # it waits for the rest of the body
            writer.close()
    finally:
        await runner.cleanup()
    return got


def check(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert 400 <= status < 500, answer
    assert b"application/json" in head, answer
    assert b"aiohttp" not in head, answer
    refusal = json.loads(body)
    assert set(refusal) == {"message", "error", "details"} or set(refusal) == {"message", "error"}
    assert refusal["message"].isprintable()
    assert len(refusal["message"]) < 400


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_refused_in_the_one_shape(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (answer,) = await answers([GARBAGE[name]])
    check(answer)
    assert caplog.records == []


async def test_random_damage_leaves_no_traceback_and_no_500(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rng = random.Random(SEED)
    whole = POST + b"Content-Type: application/json\r\nContent-Length: 7\r\nAccept: */*\r\n\r\n" + b'{"a":1}'
    damaged = []
    for _ in range(300):
        request = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            request[rng.randrange(len(request))] = rng.randrange(256)
        damaged.append(bytes(request))
    for answer in await answers(damaged, 0.2):
        assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), answer
    assert [record.getMessage() for record in caplog.records] == []


class Broken(Exception):
    """A fault of ours."""


@pytest.mark.parametrize(("fault", "status"), [(Broken, 500), (asyncio.TimeoutError, 504)])
async def test_a_fault_outside_of_every_middleware_has_the_one_shape_too(
    fault: type[Exception], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    @web.middleware
    async def broken(request: web.Request, handler: object) -> web.StreamResponse:
        raise fault("a secret")

    for accept in ("*/*", "text/html"):
        app = web.Application(middlewares=[broken, error_middleware])
        (answer,) = await answers([b"GET / HTTP/1.1\r\n" + HEAD + b"Accept: %s\r\n\r\n" % accept.encode()], app=app)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"application/json" in head
        assert set(json.loads(body)) == {"message", "error"}
        assert b"a secret" not in answer
    assert len(caplog.records) == 2


def test_the_names_are_there() -> None:
    assert all(is_there(private) for private in NEEDED)
    refuse_other_aiohttp()
    assert f'"aiohttp{BOUNDS}"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()
