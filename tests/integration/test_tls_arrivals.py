"""Strangers that connect to a TLS port and go no further."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from certificates import CertificateFiles, certificates

from exness_streams.api import aiohttp_mends  # noqa: F401 - its handler takes the places
from exness_streams.api.errors import error_middleware
from exness_streams.transport.connections import Connections, Patience
from exness_streams.transport.web_server import Site, runner_of

GIVE_UP_S = 30.0
NEVER_S = 9e6
LONG = Patience(head=NEVER_S, body=NEVER_S, idle=NEVER_S, answer=NEVER_S)
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return certificates(tmp_path_factory.mktemp("tls"), "localhost")


@asynccontextmanager
async def served(files: CertificateFiles, connections: Connections) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"secure": request.secure})

    app = web.Application(middlewares=[error_middleware])
    app.router.add_get("/", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    runner = runner_of(app, connections)
    await runner.setup()
    await Site(runner, "127.0.0.1", 0, context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def asked(files: CertificateFiles, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=files.trusting, server_hostname="localhost")
    writer.write(ASK)
    answer = await asyncio.wait_for(reader.read(), GIVE_UP_S)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return answer


async def test_those_that_say_nothing_lock_nobody_out(files: CertificateFiles) -> None:
    connections = Connections(20, 20, LONG)
    async with served(files, connections) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _ in range(3):
            assert (await asked(files, port)).endswith(b'{"secure": true}')
        assert len(connections) <= 20
        gone = [reader for reader, _ in silent if reader.at_eof() or reader.exception() is not None]
        assert len(gone) >= 80, "they hold no file of ours either"
        for _, writer in silent:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_a_head_may_come_with_the_end_of_the_handshake(files: CertificateFiles) -> None:
    """In one piece, as it may be on a slow network; and byte by byte."""
    connections = Connections(20, 20, LONG)

    def ask(port: int, *, slowly: bool) -> bytes:
        context = files.trusting
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        got = b""
        with socket.create_connection(("127.0.0.1", port), GIVE_UP_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
            tls.write(ASK)
            sent = outgoing.read()  # the handshake's last message, and the request
            for piece in [sent[at : at + 1] for at in range(len(sent))] if slowly else [sent]:
                connection.sendall(piece)
            while not got.endswith(b"}"):
                try:
                    got += tls.read(65536)
                except ssl.SSLWantReadError:  # noqa: PERF203
                    incoming.write(connection.recv(65536))
        return got

    async with served(files, connections) as port:
        for slowly in (False, True):
            for _ in range(10):
                answer = await asyncio.to_thread(ask, port, slowly=slowly)
                assert answer.endswith(b'{"secure": true}')
    assert len(connections) == 0


async def test_where_all_are_busy_the_refusal_comes_by_tls(files: CertificateFiles) -> None:
    connections = Connections(1, 1, LONG)
    async with served(files, connections) as port:
        _, busy = await asyncio.open_connection("127.0.0.1", port, ssl=files.trusting, server_hostname="localhost")
        busy.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
        for _ in range(3000):
            if any(place.is_busy for place in connections._here):
                break
            await asyncio.sleep(0.01)
        head, _, body = (await asked(files, port)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body)["error"] == "NO_CONNECTION_FREE"
        busy.close()
        with suppress(OSError):
            await busy.wait_closed()


async def test_a_handshake_that_does_not_end_is_ended(files: CertificateFiles) -> None:
    connections = Connections(20, 20, Patience(head=0.1, body=NEVER_S, idle=NEVER_S, answer=NEVER_S))
    async with served(files, connections) as port:
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01", b"\x16"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), GIVE_UP_S)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    assert connections.counters["late_head"] == 3
    assert len(connections) == 0
