"""Readers that do not read are sent away before what waits for them piles up (market data: unit/test_stream_hub.py)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from platform_harness import OPEN, PlatformThread, until
from stream_client import exact

from exness_streams.api.stream import hub as stream_hub
from exness_streams.api.stream import reader as stream_reader
from exness_streams.api.stream.hub import StreamHub

RECEIVE_BUFFER_BYTES = 4 * 1024
HANDSHAKE = (
    "GET /ws?account={account} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ORDER = {"margin": 10, "asset": "SOL", "type": "long", "leverage": 2}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_open=1000)
    try:
        yield thread.start()
    finally:
        thread.stop()


def hub_of(platform: PlatformThread) -> StreamHub:
    assert platform.platform is not None
    hub = platform.platform.engine.cells._event_sink._sinks[-1]  # type: ignore[attr-defined]
    assert isinstance(hub, StreamHub)
    return hub


class SlowReader:
    """A WebSocket client that takes frames only when it is told to, and has hardly room for any."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame. IncompleteReadError when the connection is over."""
        first, length = await self._reader.readexactly(2)
        assert length < 128, "a server does not mask"
        if length >= 126:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        return first & 0x0F, await self._reader.readexactly(length)

    async def rest(self) -> tuple[list[Any], int]:
        """All messages up to the goodbye, and its code."""
        messages = []
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return messages, int.from_bytes(payload[:2], "big")
            if opcode == 1:
                messages.append(exact(payload))


@asynccontextmanager
async def slow_reader(platform: PlatformThread, account: str) -> AsyncIterator[SlowReader]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", platform.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=RECEIVE_BUFFER_BYTES)
        writer.write(HANDSHAKE.format(account=account).encode())
        await reader.readuntil(b"\r\n\r\n")
        try:
            yield SlowReader(reader)
        finally:
            writer.transport.abort()


async def test_a_reader_too_slow_for_events_is_closed_with_1013(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "UNREAD_BYTES_MAX", 64 * 1024)
    monkeypatch.setattr(stream_reader, "CLOSE_GRACE_S", 60.0)
    hub = hub_of(platform)
    closed_before = hub.slow_closed
    async with slow_reader(platform, "slow") as client:
        opened = 0
        while hub.slow_closed == closed_before:
            reply = await asyncio.to_thread(platform.post, OPEN, ORDER, "slow")
            assert reply.status == 201, reply
            opened += 1
        reply = await asyncio.to_thread(platform.post, OPEN, ORDER, "slow")  # nothing of it is sent
        assert reply.status == 201
        messages, code = await client.rest()
    sequences = [message["sequence"] for message in messages if "eventId" in message]
    assert sequences == list(range(1, opened + 1)), "all up to the goodbye, none twice, none after it"
    assert code == 1013


async def test_a_reader_that_takes_nothing_at_all_is_cut_off(
    platform: PlatformThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "UNREAD_BYTES_MAX", 64 * 1024)
    monkeypatch.setattr(stream_reader, "CLOSE_GRACE_S", 0.05)
    hub = hub_of(platform)
    async with slow_reader(platform, "dead"):
        closed_before = hub.slow_closed
        while hub.slow_closed == closed_before:
            await asyncio.to_thread(platform.post, OPEN, ORDER, "dead")
        await asyncio.to_thread(until, lambda: len(hub) == 0)
