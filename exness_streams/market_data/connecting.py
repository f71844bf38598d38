"""Opening the exchange's websocket: the one that was asked for and no other."""

from __future__ import annotations

from typing import Literal, Protocol

from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus
from websockets.uri import parse_uri

from exness_streams.domain.hosts import is_loopback
from exness_streams.market_data.retry_after import retry_after_s

FRAME_BYTES_MAX = 1 << 20
FRAMES_QUEUED_MAX = 1024
CLOSE_TIMEOUT_S = 1.0


class Connection(Protocol):
    """An open websocket. send and recv raise OSError or WebSocketException once it is lost."""

    async def send(self, message: str, /) -> None: ...
    async def recv(self, decode: Literal[False], /) -> str | bytes: ...
    async def close(self) -> None: ...


class _Direct(open_websocket):
    """Follows no redirect: prices come from the host that was configured, or they do not come."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def connect_websocket(url: str, *, compression: bool = True) -> Connection:
    """A websocket to `url`, once the handshake is done. The library answers pings, and sends its own."""
    connection: Connection = await _Direct(
        url,
        compression="deflate" if compression else None,
        # A simulator on this machine is never behind the proxy that the environment may name.
        proxy=None if is_loopback(parse_uri(url).host) else True,
        max_size=FRAME_BYTES_MAX,
        max_queue=FRAMES_QUEUED_MAX,
        close_timeout=CLOSE_TIMEOUT_S,
    )
    return connection


def asked_to_wait_s(refusal: BaseException) -> float:
    """For how long the exchange wants no further attempt; 0 when it has not said."""
    if not isinstance(refusal, InvalidStatus):
        return 0.0
    response = refusal.response
    return retry_after_s(response.status_code, response.headers.get("Retry-After", "")) or 0.0
