"""One reader of the live stream: its socket, and how far it has come."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import Protocol, runtime_checkable

from aiohttp import web

from exness_streams.api.stream.market import Symbols
from exness_streams.api.stream.messages import Form, close_frame, encoded

POLICY_VIOLATION = 1008
SIGNED_OUT = 4401
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

BEHIND_BYTES = 16 * 1024
"""A reader for whom more than this waits gets no market data until it has read."""

UNREAD_BYTES_MAX = 2 * 1024 * 1024
"""More than this waiting closes the stream. A snapshot and a close-all of 1,000 items each are half of it."""

UNSENT_IN_KERNEL_BYTES = 16 * 1024
CLOSE_GRACE_S = 5.0
PING_S = 20.0
CLIENT_FRAME_BYTES_MAX = 4 * 1024
DRAIN_LOOK_S = 0.05
DRAIN_STALL_S = 10.0


@runtime_checkable
class Leaving(Protocol):
    """The server's side of a connection (api/aiohttp_mends.py)."""

    def leaves(self) -> None:
        """Nothing more is said but goodbye."""


class Reader:
    """Frames for the socket go straight into its transport, whose buffer is the one queue; nothing here waits.

    credential: the session or API key that opened it, as commands carry it; None for nobody's. address: of the client.
    symbols: of the market data that it wants. sequence: of the newest event sent. market_version: of the market data
    sent (stream/market.py).
    """

    __slots__ = ("_transport", "account_id", "address", "closing", "credential", "form", "heartbeat_at_s",
                 "market_version", "partition", "sequence", "symbols")  # fmt: skip

    def __init__(
        self,
        transport: asyncio.Transport,
        account_id: str,
        partition: int,
        form: Form,
        address: str = "",
        symbols: Symbols = None,
        credential: str | None = None,
    ) -> None:
        self._transport = transport
        self.account_id = account_id
        self.address = address
        self.symbols = symbols
        self.partition = partition
        self.form: Form = form
        self.credential = credential
        self.sequence = 0
        self.market_version = 0
        self.heartbeat_at_s = 0.0
        self.closing = False
        keep_little_in_the_kernel(transport)

    @property
    def unread_bytes(self) -> int:
        """What waits for the reader, apart from what the system has taken on."""
        return self._transport.get_write_buffer_size()

    def send(self, frames: bytes) -> None:
        """Hand over whole frames; a reader that is gone gets nothing."""
        if not self.closing and not self._transport.is_closing():
            self._transport.write(frames)

    def say(self, message: object) -> None:
        """Send one message."""
        self.send(encoded(message, self.form))

    def close(self, code: int, reason: str) -> None:
        """Say goodbye behind what waits. The reader has some seconds to take it all and to answer."""
        if self.closing:
            return
        self.send(close_frame(code, reason))
        self.closing = True
        # Its place is free for another connection from now on, should one be needed before it has gone.
        if isinstance(protocol := self._transport.get_protocol(), Leaving):
            protocol.leaves()
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.abort)

    def abort(self) -> None:
        """End the connection whatever waits; nothing when it is over."""
        self._transport.abort()

    async def drained(self) -> bool:
        """Wait until little waits for the reader. False when it takes nothing for long."""
        waiting, moved_at_s = self.unread_bytes, time.monotonic()
        while waiting > BEHIND_BYTES:
            await asyncio.sleep(DRAIN_LOOK_S)
            if self._transport.is_closing():
                return False
            if (now_waiting := self.unread_bytes) < waiting:
                waiting, moved_at_s = now_waiting, time.monotonic()
            elif time.monotonic() - moved_at_s > DRAIN_STALL_S:
                return False
        return True


async def upgrade(request: web.Request) -> tuple[web.WebSocketResponse, asyncio.Transport]:
    """Make a WebSocket of a request. The protocol's own pings find peers that are gone. ConnectionError when it is."""
    # Not closed by aiohttp when the peer says goodbye: whether that is an answer, only the view knows. Nor does it
    # answer pings, so that they are counted as all that a client sends.
    response = web.WebSocketResponse(
        autoclose=False, autoping=False, compress=False, heartbeat=PING_S, max_msg_size=CLIENT_FRAME_BYTES_MAX
    )
    await response.prepare(request)
    if request.transport is None:
        raise ConnectionResetError("the client is gone")
    return response, request.transport


async def part(response: web.WebSocketResponse, request: web.Request, reader: Reader) -> None:
    """After the last message of a client: answer its goodbye, or hang up when it has answered ours."""
    if not reader.closing:
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, reader.abort)
        await response.close(drain=False)
    if request.transport is not None:
        request.transport.close()


def keep_little_in_the_kernel(transport: asyncio.Transport) -> None:
    """Let what a slow reader has not taken wait in this process, where it is seen, instead of in the system."""
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if connection is not None and option is not None:
        with suppress(OSError):  # gone meanwhile, or a system without it: then slowness is seen a little later
            connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_IN_KERNEL_BYTES)
