"""Load for order_latency.py, in a process of its own: keep-alive clients that open and close, over and over.

Usage: order_client.py PORT CLIENTS BEGIN_S DURATION_S NAME {plain|keyed|live}
BEGIN_S: time.time() of the first counted request. Prints one JSON object: latencies in ms, CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

BODY_OPEN = b'{"margin":100,"asset":"SOL","type":"long","leverage":2}'


class Answers(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the platform hung up"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        lowered = head.lower()
        length = int(lowered.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if head[9:12] not in (b"200", b"201"):
            self._answer.set_exception(RuntimeError(self._received.decode()[:600]))
        else:
            self._answer.set_result(body)
        self._received = b""

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """The body of the answer; RuntimeError when it is no success."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer


def post(path: str, account: str, key: str | None, body: bytes) -> bytes:
    """A request's bytes."""
    keyed = "" if key is None else f"Idempotency-Key: {key}\r\n"
    head = (
        f"POST /api/v1/positions/{path} HTTP/1.1\r\nHost: localhost\r\nX-Account: {account}\r\n{keyed}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Load:
    """Clients that share a clock and a list of latencies."""

    def __init__(self, port: int, name: str, mode: str, begin_s: float, duration_s: float) -> None:
        self._port, self._name, self._mode = port, name, mode
        self._begin_s, self._end_s = begin_s, begin_s + duration_s
        self.latencies_ms: list[float] = []

    async def client(self, number: int) -> None:
        """Open and close on an account of its own until the time is up."""
        loop = asyncio.get_running_loop()
        _, answers = await loop.create_connection(Answers, "127.0.0.1", self._port)
        account, count = f"{self._name}-{number}", 0
        while time.time() < self._end_s:
            count += 1
            if self._mode == "live":
                await self._timed(answers, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                continue
            key = f"key-{count}" if self._mode == "keyed" else None
            opened = await self._timed(answers, post("open", account, key and f"{key}-open", BODY_OPEN))
            position = json.loads(opened)["positionId"]
            body = b'{"positionId":"%s"}' % position.encode()
            await self._timed(answers, post("close", account, key and f"{key}-close", body))

    async def _timed(self, answers: Answers, request: bytes) -> bytes:
        begun_s = time.perf_counter()
        counts = self._begin_s <= time.time() < self._end_s
        body = await answers.ask(request)
        if counts and time.time() < self._end_s:
            self.latencies_ms.append((time.perf_counter() - begun_s) * 1000)
        return body


async def main() -> None:
    """Run the load that the command line describes."""
    port, clients, begin_s, duration_s, name, mode = sys.argv[1:]
    load = Load(int(port), name, mode, float(begin_s), float(duration_s))
    used_s = 0.0

    def note_begin() -> None:
        nonlocal used_s
        used_s = time.process_time()

    asyncio.get_running_loop().call_later(max(0.0, float(begin_s) - time.time()), note_begin)
    await asyncio.gather(*(load.client(number) for number in range(int(clients))))
    print(json.dumps({"latencies_ms": load.latencies_ms, "cpu_s": time.process_time() - used_s}))


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
