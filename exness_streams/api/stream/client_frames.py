"""What clients send on their streams, counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

from exness_streams.api.stream.hub import StreamHub
from exness_streams.api.stream.reader import POLICY_VIOLATION, Reader


class FrameLimits(Protocol):
    """How much the clients of streams may send."""

    def frames_of_stream(self) -> Callable[[], str]:
        """A new stream's own count: call it at each frame. '' or why it is too many."""


async def client_texts(
    response: web.WebSocketResponse, reader: Reader, hub: StreamHub, limits: FrameLimits
) -> AsyncIterator[str]:
    """The texts that a client sends, '' for what is none, and pings answered. 1008 for who sends too much."""
    too_many = limits.frames_of_stream()
    async for message in response:
        if reader.closing:
            continue
        if why := too_many():
            hub.dismiss(reader, POLICY_VIOLATION, why)
        elif message.type is WSMsgType.PING:
            with suppress(ConnectionError):  # gone: the next wait for it ends
                await response.pong(message.data)
        elif message.type is not WSMsgType.PONG:
            yield message.data if message.type is WSMsgType.TEXT else ""
