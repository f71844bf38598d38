"""A platform that may open few files, as under `ulimit -n 256`, and strangers that take as many as they can."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from platform_process import PlatformProcess
from ports import free_port

FILES = 256
STRANGERS = 306
BEGUN = {
    "silent": b"",
    "a head": b"POST /api/v1/positions/open HTTP/1.1\r\nHost: localhost\r\n",
    "asked once": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "streams": b"GET /ws?account=%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformProcess]:
    running = PlatformProcess(tmp_path_factory.mktemp("process") / "data", free_port())
    running.prefix = ("bash", "-c", f'ulimit -n {FILES}; exec "$@"', "bash")
    running.start()
    try:
        running.wait_tradable()
        yield running
    finally:
        running.end()


def asked(port: int, method: str, path: str, body: str = "") -> int:
    """The status of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("kind", BEGUN)
def test_strangers_lock_nobody_out(process: PlatformProcess, kind: str) -> None:
    order = '{"margin":10,"asset":"SOL","type":"long"}'
    with ExitStack() as stack:
        for number in range(STRANGERS):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), 30))
            connection.sendall(BEGUN[kind].replace(b"%s", b"stranger-%d" % number))
        assert asked(process.port, "GET", "/readyz") == 200
        assert asked(process.port, "GET", "/api/v1/state") == 200
        assert asked(process.port, "POST", "/api/v1/positions/open", order) == 201
    assert "Traceback" not in Path(process.output).read_text()


def test_what_is_begun_is_not_waited_for_for_ever(process: PlatformProcess) -> None:
    with socket.create_connection(("127.0.0.1", process.port), 60) as connection:
        connection.sendall(BEGUN["a head"])
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
