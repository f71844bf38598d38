"""A live stream passed through a worker that does not own the account: both directions, at the far reader's speed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from async_timeout import timeout

from exness_streams.api.access.address import address_of, network_of
from exness_streams.api.access.guard import FORWARDED
from exness_streams.api.errors import ApiError
from exness_streams.api.forwarding import OWNER_LOOK_S, Forwarding
from exness_streams.api.stream.asked import StreamRequest
from exness_streams.api.stream.client_frames import FrameLimits, client_texts
from exness_streams.api.stream.hub import StreamHub
from exness_streams.api.stream.messages import text_frame
from exness_streams.api.stream.reader import (
    BEHIND_BYTES,
    PING_S,
    SERVICE_RESTART,
    TRY_AGAIN_LATER,
    Reader,
    part,
    upgrade,
)

CONNECT_S_MAX = 5.0
LEAVE_S_MAX = 2.0
RECEIVE_BUFFER_BYTES = 64 * 1024
_REQUEST_HEADERS = ("Authorization", "Cookie")
_NEVER_SENT = frozenset({1005, 1006, 1015})
"""Close codes that stand for what happened and are not allowed in a frame (RFC 6455, 7.4.1)."""

Upstream = aiohttp.ClientWebSocketResponse


class StreamRelay:
    """Connects readers with the owners of their accounts."""

    def __init__(self, hub: StreamHub, forwarding: Forwarding, limits: FrameLimits) -> None:
        self._hub = hub
        self._forwarding, self._limits = forwarding, limits
        self._owner_of: dict[Reader, str] = {}
        self._client: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self, _: object = None) -> None:
        """Begin to watch where the accounts are."""
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(OWNER_LOOK_S)
            owners = self._forwarding.owners() if self._owner_of else {}
            for reader, owner in list(self._owner_of.items()):
                if owners.get(reader.partition) != owner:  # which may be paused, and silent
                    self._hub.dismiss(reader, SERVICE_RESTART, "the account is moving: connect again")

    async def stop(self, _: object = None) -> None:
        """After the hub has sent the readers away."""
        if self._watching is not None:
            self._watching.cancel()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def serve(self, request: web.Request, partition: int, owner: str, asked: StreamRequest) -> web.StreamResponse:
        """Pass everything on until either end goes. 503 when the owner does not serve the account."""
        upstream = await self._connect(request, owner, asked)
        try:
            response, transport = await upgrade(request)
            reader = Reader(transport, asked.account_id, partition, asked.form, network_of(address_of(request)))
            self._owner_of[reader] = owner
            down = asyncio.create_task(self._down(upstream, reader))
            try:
                self._admit(reader)
                await self._up(response, reader, upstream)
            finally:
                down.cancel()
                self._hub.gone(reader)
                del self._owner_of[reader]
                await asyncio.wait({down})  # which leaves a cancellation of this one alone
                if not down.cancelled():
                    down.result()
        finally:
            await _leave(upstream)
        await part(response, request, reader)
        return response

    def _admit(self, reader: Reader) -> None:
        full = self._hub.make_room_for("", reader.address)  # how many an account has, its owner knows
        self._hub.admit(reader)
        if full:
            self._hub.dismiss(reader, TRY_AGAIN_LATER, full)

    async def _connect(self, request: web.Request, owner: str, asked: StreamRequest) -> Upstream:
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        path_qs = f"/ws?{asked.query}"
        passing = self._forwarding.guard.passing(request, "GET", path_qs)
        headers |= {FORWARDED: passing, **({"X-Account": asked.account_id} if asked.account_id else {})}
        if self._client is None:
            # Of its own: as many connections as there are readers, none taken from the forwarding of requests.
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._forwarding.tls or True)
            )
        connecting: Any = self._client.ws_connect(owner + path_qs, headers=headers, heartbeat=PING_S, max_msg_size=0)
        try:
            async with timeout(CONNECT_S_MAX):
                upstream: Upstream = await connecting
        except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
            self._forwarding.note(owner, error)
            raise ApiError(503, "REBALANCING", "the account's worker does not serve it now") from None
        connection = upstream.get_extra_info("socket")
        if connection is not None:
            # Little of a slow reader's market data may wait on the way: the owner should see that it is slow.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return upstream

    async def _down(self, upstream: Upstream, reader: Reader) -> None:
        while (message := await upstream.receive()).type is WSMsgType.TEXT:
            reader.send(text_frame(message.data.encode()))
            self._hub.counters["relayed"] += 1
            if reader.unread_bytes > BEHIND_BYTES and not await reader.drained():
                self._hub.give_up(reader)
                return
        code, reason = SERVICE_RESTART, "the account's worker is gone: connect again"
        if message.type is WSMsgType.CLOSE and message.data not in _NEVER_SENT and 1000 <= message.data < 5000:
            code, reason = message.data, message.extra or ""
        self._hub.dismiss(reader, code, reason)

    async def _up(self, response: web.WebSocketResponse, reader: Reader, upstream: Upstream) -> None:
        async for text in client_texts(response, reader, self._hub, self._limits):
            with suppress(ConnectionError):  # the owner is gone: _down says so
                await upstream.send_str(text)


async def _leave(upstream: Upstream) -> None:
    """Say goodbye to the owner; when it goes on talking instead of answering, the connection ends all the same."""
    with suppress(asyncio.TimeoutError):
        async with timeout(LEAVE_S_MAX):
            await upstream.close()
