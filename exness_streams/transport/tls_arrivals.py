"""Connections by TLS take their place before the handshake, in which a stranger can stay for some seconds.

asyncio's own servers show a connection to its protocol only after its handshake: until then nobody would count it, and
enough of them would take all the files that the process may open.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from typing import Any, cast

from exness_streams.transport.connections import Connection, Connections, Wait

EARLY_BYTES_MAX = 64 * 1024
"""What a client may send right behind its handshake, before the handler is there to take it."""

GOODBYE: dict[str, Any] = {"ssl_shutdown_timeout": 2.0} if sys.version_info >= (3, 11) else {}
"""How long a client may take to answer the end of a connection. asyncio's own 30 s would keep its place for nothing."""


def feed(protocol: Any, data: bytes) -> None:
    """Give bytes to a protocol of either kind, as its transport would."""
    if not hasattr(protocol, "get_buffer"):
        protocol.data_received(data)
        return
    rest = memoryview(data)
    while rest:
        buffer = protocol.get_buffer(len(rest))
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]


class TlsArrival(asyncio.Protocol):
    """A connection until its handshake is done; then its handler is, and this one is forgotten."""

    def __init__(
        self,
        handler: Callable[[], asyncio.Protocol],
        connections: Connections,
        context: ssl.SSLContext,
        handshake_s_max: float,
    ) -> None:
        self._handler, self._connections = handler, connections
        self._context, self._handshake_s_max = context, handshake_s_max
        self._place: Connection | None = None
        self._raw: asyncio.Transport | None = None
        self._early = bytearray()
        self._shaking: asyncio.Task[None] | None = None
        self._keep: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's, of the bare connection."""
        self._raw = raw = cast(asyncio.Transport, transport)
        self._place = self._connections.arrive(self, raw)
        if self._place is None:  # its handler tells it by TLS, or has a place by then
            self._keep = self._connections.linger(raw)
            if self._keep is None:
                self._connections.refuse(raw)
                raw.abort()
                return
        # Once reading has begun: stopped before, it would begin all the same (Python 3.10).
        asyncio.get_running_loop().call_soon(self._begin, raw)

    def _begin(self, raw: asyncio.Transport) -> None:
        if raw.is_closing():
            return
        raw.pause_reading()
        self._shaking = asyncio.create_task(self._shake(raw))

    async def _shake(self, raw: asyncio.Transport) -> None:
        hello, self._early = bytes(self._early), bytearray()
        loop = asyncio.get_running_loop()
        securing = asyncio.ensure_future(
            loop.start_tls(
                raw, self, self._context, server_side=True, ssl_handshake_timeout=self._handshake_s_max, **GOODBYE
            )
        )
        if hello:
            # In the first turn it takes the connection over, in the second it begins with it. Nothing is read before.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            feed(raw.get_protocol(), hello)
        try:
            secured = await securing
        except (OSError, asyncio.TimeoutError):  # a stranger's fault, or mistake
            self._end(raw)
            return
        self._give_up_place()
        if secured is None or secured.is_closing():
            self._end(raw)
            return
        if self._keep is not None:
            self._keep()
        handler = self._handler()
        secured.set_protocol(handler)
        handler.connection_made(secured)  # which takes the place that was just free, or says that there is none
        if self._early:
            handler.data_received(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        """asyncio's: what came before the handshake had the connection (uvloop), or with its end."""
        self._early += data
        if len(self._early) > EARLY_BYTES_MAX and self._raw is not None:
            self._end(self._raw)

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio's."""
        self._give_up_place()

    def time_is_up(self, wait: Wait) -> None:
        """The handshake takes as long as a head may."""
        self.make_room()

    def make_room(self) -> None:
        """Hang up: it has not asked for anything yet."""
        if self._raw is not None:
            self._end(self._raw)

    def _end(self, raw: asyncio.Transport) -> None:
        self._give_up_place()
        raw.abort()

    def _give_up_place(self) -> None:
        if self._place is not None:
            self._connections.gone(self._place)
            self._place = None
