"""A client whose first bytes are there before anybody looks: the handshake begins with them, on either event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from certificates import CertificateFiles, certificates

from exness_streams.settings.platform import load_settings
from exness_streams.transport.web_server import Site, new_connections, runner_of

uvloop = pytest.importorskip("uvloop")

GIVE_UP_S = 20.0
CLIENTS = 8


class Client(threading.Thread):
    """Asks once by TLS; `answer` is what it got, or why it got none."""

    def __init__(self, port: int, files: CertificateFiles) -> None:
        super().__init__()
        self._port, self._files = port, files
        self.answer = ""

    def run(self) -> None:
        try:
            with (
                socket.create_connection(("127.0.0.1", self._port), GIVE_UP_S) as bare,
                self._files.trusting.wrap_socket(bare, server_hostname="127.0.0.1") as secured,
            ):
                secured.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.answer = secured.recv(1000).decode()
        except OSError as error:
            self.answer = repr(error)


async def serve(files: CertificateFiles) -> list[str]:
    """The answers to clients that have come, and said hello, while the loop was busy with something else."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = runner_of(app, new_connections())
    await runner.setup()
    try:
        await Site(runner, "127.0.0.1", 0, load_settings(**files.settings).server_tls()).start()
        clients = [Client(runner.addresses[0][1], files) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(0.5)  # noqa: ASYNC251 - that is the point
        while any(client.is_alive() for client in clients):  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.01)
        return [client.answer for client in clients]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_has_said_hello_already_is_answered(
    run: Callable[[Coroutine[Any, Any, list[str]]], list[str]], tmp_path: Path
) -> None:
    files = certificates(tmp_path, "127.0.0.1", "localhost")
    answers = run(serve(files))
    assert [answer.split("\r\n")[0] for answer in answers] == ["HTTP/1.1 200 OK"] * CLIENTS
