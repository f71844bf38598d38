"""Load for flood.py and soak.py, in a process of its own: clients of one kind, until the time is up.

Usage: flood_client.py PORT CLIENTS BEGIN_S DURATION_S NAME KIND
KIND: others (orders and reads of accounts of their own, paced), traders (orders of accounts of their own, without a
pause while they are answered), deposits (of one account, paced), or a flood without a pause: readers of the account
NAME, orders, garbage, connects. BEGIN_S: time.time() of the first counted request. Prints
one JSON object: latencies in ms of orders and reads, answers by status.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

HOST = "127.0.0.1"
PACE_S = 0.05
STATE = "GET /api/v1/state"
HANDSHAKE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Client:
    """One connection that is kept, one request at a time; connected anew when it was closed."""

    def __init__(self, port: int, account: str) -> None:
        self._port, self._account = port, account
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, what: str, body: object = None, headers: str = "") -> tuple[int, bytes]:
        """Status and body; status 0 when there was no answer."""
        content = b"" if body is None else json.dumps(body).encode()
        typed = "" if body is None else f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        head = f"{what} HTTP/1.1\r\nHost: {HOST}\r\nX-Account: {self._account}\r\n{typed}{headers}\r\n"
        try:
            if self._stream is None:
                self._stream = await asyncio.open_connection(HOST, self._port)
            reader, writer = self._stream
            writer.write(head.encode() + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            return int(answer[9:12]), await self._body(reader, answer.lower())
        except (OSError, EOFError):
            self.close()
            return 0, b""

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"\r\ncontent-length:" in head:
            body = await reader.readexactly(int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]))
        else:
            body = b""
        if b"\r\nconnection: close" in head:
            self.close()
        return body

    def close(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


class Load:
    """Clients that share a clock and what they have seen."""

    def __init__(self, port: int, name: str, kind: str, begin_s: float, duration_s: float) -> None:
        self._port, self._name, self._kind = port, name, kind
        self._begin_s, self._end_s = begin_s, begin_s + duration_s
        self.latencies_ms: dict[str, list[float]] = {"orders": [], "reads": []}
        self.statuses: Counter[int] = Counter()

    async def run(self, number: int) -> None:
        """One client, to the end."""
        shared = self._kind in ("readers", "orders", "garbage", "connects", "deposits")
        client = Client(self._port, self._name if shared else f"{self._name}-{number}")
        await asyncio.sleep(number % 10 * PACE_S / 10)
        while time.time() < self._end_s:
            await getattr(self, f"_{self._kind}")(client)
        client.close()

    async def _timed(self, client: Client, what: str, body: object = None, headers: str = "") -> bytes:
        begun_s = time.perf_counter()
        counts = self._begin_s <= time.time()
        status, content = await client.ask(what, body, headers)
        if counts and time.time() < self._end_s:
            self.statuses[status] += 1
            if status in (200, 201):
                kind = "reads" if body is None else "orders"
                self.latencies_ms[kind].append((time.perf_counter() - begun_s) * 1000)
        return content if status in (200, 201) else b""

    async def _others(self, client: Client) -> None:
        bought = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2}
        opened = await self._timed(client, "POST /api/v1/positions/open", bought)
        await asyncio.sleep(PACE_S)
        for path in ("state", "trades?limit=50", "candles?symbol=SOL&limit=200"):
            await self._timed(client, f"GET /api/v1/{path}")
            await asyncio.sleep(PACE_S)
        if opened:
            closed = {"positionId": json.loads(opened)["positionId"]}
            await self._timed(client, "POST /api/v1/positions/close", closed)
            await asyncio.sleep(PACE_S)

    async def _deposits(self, client: Client) -> None:
        await self._timed(client, "POST /api/v1/account/deposit", {"amount": "0.01"})
        await asyncio.sleep(PACE_S)

    async def _traders(self, client: Client) -> None:
        if not await self._opened_and_closed(client):
            await asyncio.sleep(PACE_S)

    async def _opened_and_closed(self, client: Client) -> bool:
        bought = {"margin": 1, "asset": "SOL", "type": "short"}
        opened = await self._timed(client, "POST /api/v1/positions/open", bought)
        if opened:
            await self._timed(client, "POST /api/v1/positions/close", {"positionId": json.loads(opened)["positionId"]})
        return bool(opened)

    # Floods

    async def _readers(self, client: Client) -> None:
        await self._timed(client, STATE)

    async def _orders(self, client: Client) -> None:
        await self._opened_and_closed(client)

    async def _garbage(self, client: Client) -> None:
        await self._timed(client, "POST /api/v1/positions/open", {"margin": [], "assset": "x" * 1000})

    async def _connects(self, client: Client) -> None:
        await self._timed(client, "GET /ws", headers=HANDSHAKE.format(KEY))
        client.close()


async def main() -> None:
    """Run the load that the command line describes."""
    port, clients, begin_s, duration_s, name, kind = sys.argv[1:]
    load = Load(int(port), name, kind, float(begin_s), float(duration_s))
    await asyncio.gather(*(load.run(number) for number in range(int(clients))))
    print(json.dumps({"latencies_ms": load.latencies_ms, "statuses": load.statuses}))


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
