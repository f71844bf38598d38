"""Clients that keep a server waiting, by hand, over real sockets: each is told, and let go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from exness_streams.api import aiohttp_mends  # noqa: F401 - its handler is the one under test
from exness_streams.api.errors import error_middleware
from exness_streams.transport.connections import Connections, Patience
from exness_streams.transport.web_server import runner_of

GIVE_UP_S = 30.0
SOON_S = 0.15
NEVER_S = 9e6
LONG = {"head": NEVER_S, "body": NEVER_S, "idle": NEVER_S, "answer": NEVER_S}
HEAD = b"Host: localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HEAD


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"bytes": len(await request.read())})


async def much(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 20_000_000)


async def stream(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        await response.send_str(message.data)
    return response


@asynccontextmanager
async def served(connections: Connections) -> AsyncIterator[int]:
    app = web.Application(middlewares=[error_middleware])
    app.router.add_post("/echo", echo)
    app.router.add_get("/much", much)
    app.router.add_get("/ws", stream)
    runner = runner_of(app, connections)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def said(reader: asyncio.StreamReader) -> bytes:
    """All until the server hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), GIVE_UP_S)
    except ConnectionResetError:
        return b""


def check(answer: bytes, status: int, error: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"content-type: application/json" in head.lower()
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"] == error


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"P",
        b"POST /echo HTTP/1.1\r\n",
        POST,
        POST + b"Content-Length: 2",
        b"\r\n",
    ],
)
async def test_a_head_that_does_not_end(sent: bytes) -> None:
    connections = Connections(10, 10, Patience(**{**LONG, "head": SOON_S}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answer = await said(reader)
        writer.close()
    if sent:
        check(answer, 408, "REQUEST_TIMEOUT")
    else:
        assert answer == b""  # it asked nothing
    assert connections.counters == {"late_head": 1}


async def test_a_head_that_comes_byte_by_byte() -> None:
    connections = Connections(10, 10, Patience(**{**LONG, "head": SOON_S}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        await reader.readuntil(b"}")
        answering, sent = asyncio.create_task(said(reader)), POST + b"X: "
        while not answering.done():  # each byte is no new beginning
            writer.write(sent)
            sent = b"x"
            await asyncio.sleep(SOON_S / 10)
        check(answering.result(), 408, "REQUEST_TIMEOUT")
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 2\r\n\r\n",
        POST + b"Content-Length: 2\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_a_body_that_does_not_end(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connections = Connections(10, 10, Patience(**{**LONG, "body": SOON_S}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answer = (await said(reader)).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        check(answer, 408, "REQUEST_TIMEOUT")
        writer.close()
    assert caplog.records == []
    assert len(connections) == 0


async def test_a_body_that_nobody_wants_and_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connections = Connections(10, 10, Patience(**{**LONG, "body": SOON_S}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\n")
        assert (await said(reader)).startswith(b"HTTP/1.1 404 ")
        writer.close()
    assert caplog.records == []


async def test_a_body_that_comes_in_time_is_read_and_the_next_request_too() -> None:
    connections = Connections(10, 10, Patience(**{**LONG, "body": 5.0, "head": 5.0}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            for piece in (POST, b"Content-Length: 4\r\n\r\n", b"ab", b"cd"):
                writer.write(piece)
                await asyncio.sleep(0.01)
            assert (await reader.readuntil(b"}")).endswith(b'{"bytes": 4}')
        writer.write(2 * (POST + b"Content-Length: 1\r\n\r\nx"))  # pipelined
        for _ in range(2):
            assert (await reader.readuntil(b"}")).endswith(b'{"bytes": 1}')
        writer.close()
    assert not connections.counters


async def test_a_connection_that_is_kept_and_not_used() -> None:
    connections = Connections(10, 10, Patience(**{**LONG, "idle": SOON_S}))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        assert (await said(reader)).endswith(b'{"bytes": 0}')
        writer.close()


@pytest.mark.parametrize("waits_long", ["answer", "idle"])
async def test_an_answer_that_is_not_read(waits_long: str) -> None:
    connections = Connections(10, 10, Patience(**{**LONG, waits_long: SOON_S, "answer": SOON_S}))
    async with served(connections) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /much HTTP/1.1\r\n" + HEAD + b"\r\n")
        for _ in range(int(GIVE_UP_S / 0.01)):
            if connections.counters["late_answer"] and not len(connections):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("it is still there")
        writer.close()


async def test_a_stream_is_not_idle() -> None:
    connections = Connections(2, 2, Patience(head=SOON_S, body=SOON_S, idle=SOON_S, answer=SOON_S))
    async with served(connections) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /ws HTTP/1.1\r\n" + HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        for _ in range(4):  # others came, did nothing, and were sent away meanwhile
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            assert await said(idle_reader) == b""
            idle_writer.close()
            await idle_writer.wait_closed()
        writer.write(b"\x81\x82\0\0\0\0hi")
        assert await asyncio.wait_for(reader.readexactly(4), GIVE_UP_S) == b"\x81\x02hi"
        assert len(connections) == 1
        writer.close()


async def test_one_too_many_is_told_so() -> None:
    connections = Connections(2, 2, Patience(**LONG))
    async with served(connections) as port:
        busy = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Content-Length: 1\r\n\r\n")  # its body is missing
            busy.append((reader, writer))
        for _ in range(int(GIVE_UP_S / 0.01)):
            if sum(place.is_busy for place in connections._here) == 2:
                break
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        answer = await said(reader)
        check(answer, 503, "NO_CONNECTION_FREE")
        assert b"retry-after" in answer.lower()
        writer.close()
        for reader, writer in busy:
            writer.write(b"x")
            assert (await reader.readuntil(b"}")).endswith(b'{"bytes": 1}')
        # Now they are idle, and the oldest makes room.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        assert (await reader.readuntil(b"}")).endswith(b'{"bytes": 0}')
        assert await said(busy[0][0]) == b""
        writer.close()
        for _, writer in busy:
            writer.close()
    assert connections.counters == {"refused_address": 1, "displaced": 1}


async def test_many_that_never_ask_lock_nobody_out() -> None:
    connections = Connections(20, 20, Patience(**LONG))
    async with served(connections) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
            assert (await said(reader)).endswith(b'{"bytes": 0}')
            writer.close()
        assert len(connections) <= 20
        for _, writer in silent:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
