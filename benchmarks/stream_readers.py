"""Load for stream.py, in a process of its own: WebSocket clients that note how old market data is when it comes.

Usage: stream_readers.py PORT CLIENTS BEGIN_S DURATION_S
BEGIN_S: time.time() of the first counted message. Prints one JSON object: delays in ms (of the first and the last
message of what arrives at once), messages, bytes, clients that lost their stream, CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

HANDSHAKE = (
    "GET /ws?account=reader-{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MARKET_DATA = b'"market_data"'
TIMESTAMP = b'"timestamp":'
CONNECTING_AT_ONCE = 50


class Counted:
    """What all clients of the process have seen in the time that counts."""

    def __init__(self, begin_s: float, end_s: float) -> None:
        self.begin_s, self.end_s = begin_s, end_s
        self.delays_ms: list[float] = []
        self.messages = self.bytes = self.lost = 0

    def take(self, data: bytes) -> None:
        now_s = time.time()
        if not self.begin_s <= now_s < self.end_s or MARKET_DATA not in data:
            return
        self.messages += data.count(MARKET_DATA)
        self.bytes += len(data)
        first = data.find(TIMESTAMP, data.find(MARKET_DATA))
        for at in {first, data.rfind(TIMESTAMP)}:
            digits = data[at + len(TIMESTAMP) : at + len(TIMESTAMP) + 13]
            if len(digits) == 13 and digits.isdigit():
                self.delays_ms.append(round(now_s * 1000 - int(digits), 1))


class Reader(asyncio.Protocol):
    """One client; it answers no pings, which come later than a benchmark ends."""

    def __init__(self, counted: Counted, number: int) -> None:
        self._counted, self._number = counted, number
        self.upgraded = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own is no subclass
        cast(asyncio.Transport, transport).write(HANDSHAKE.format(number=self._number).encode())

    def data_received(self, data: bytes) -> None:
        if not self.upgraded.done():
            if not data.startswith(b"HTTP/1.1 101"):
                self.upgraded.set_exception(RuntimeError(data.decode(errors="replace")[:600]))
            else:
                self.upgraded.set_result(None)
            return
        self._counted.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._counted.lost += 1


async def main(port: int, clients: int, begin_s: float, duration_s: float) -> None:
    """Connect, read until the end, print."""
    loop = asyncio.get_running_loop()
    counted = Counted(begin_s, begin_s + duration_s)
    for first in range(0, clients, CONNECTING_AT_ONCE):
        numbers = range(first, min(clients, first + CONNECTING_AT_ONCE))
        made = await asyncio.gather(
            *(loop.create_connection(lambda n=n: Reader(counted, n), "127.0.0.1", port) for n in numbers)  # type: ignore[misc]
        )
        await asyncio.gather(*(reader.upgraded for _, reader in made))
    if time.time() > begin_s:
        raise TimeoutError("connecting took longer than was given for it")
    await asyncio.sleep(max(0.0, begin_s - time.time()))
    cpu_before_s = time.process_time()
    await asyncio.sleep(duration_s)
    cpu_s = time.process_time() - cpu_before_s
    found = {"delays_ms": counted.delays_ms, "messages": counted.messages, "bytes": counted.bytes}
    print(json.dumps(found | {"lost": counted.lost, "cpu_s": cpu_s}))


if __name__ == "__main__":
    arguments = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(*arguments))
    else:
        uvloop.run(main(*arguments))
