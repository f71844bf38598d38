"""The live stream of one account, followed from a terminal: connecting again whenever it breaks."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from exness_streams.client.http import RequestFailed, refusal
from exness_streams.domain.hosts import is_loopback
from exness_streams.messages import ErrorMessage

OPEN_TIMEOUT_S = 5.0
TICK_S = 0.1
RETRY_S = (0.5, 1.0, 2.0, 4.0)
"""Pauses between attempts; the last one stays."""

FRAME_BYTES_MAX = 16 << 20
_RESYNC = '{"type":"resync"}'


class Follower(Protocol):
    """Who hears the stream of an account: terminal/watching.py, for one."""

    @property
    def account_id(self) -> str:
        """Whose stream it is."""

    @property
    def silence_s_max(self) -> float:
        """How long the platform may say nothing, heartbeats included."""

    @property
    def numbers(self) -> Literal["number", "string"]:
        """How the frames' decimals are written."""

    def take(self, frame: str | bytes) -> None:
        """Take the next frame as it came. msgspec.MsgspecError when it makes no sense."""

    def disconnected(self, why: str) -> None:
        """Know that the stream broke; it is opened again."""

    def take_wish(self) -> bool:
        """Whether a new snapshot is wanted, asked once."""


def stream_url(url: str, account: str, numbers: str = "string") -> str:
    """Where an account's stream is, given the platform's URL. RequestFailed when that is none."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise _unsendable(f"no request can be made to {url}: it must begin with http:// or https://")
    query = urllib.parse.urlencode({"account": account, "numbers": numbers})
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/ws?{query}"


def follow(url: str, watch: Follower, on_tick: Callable[[], None]) -> None:
    """Keep a follower up to date until on_tick raises; it is called about every TICK_S, connected or not.

    Raises RequestFailed when the first connection can't be made, and whenever the platform refuses the request.
    """
    target, failures, was_connected = stream_url(url, watch.account_id, watch.numbers), 0, False
    # A platform on this machine is never behind the proxy that the environment may name.
    proxy: Literal[True] | None = None if is_loopback(urllib.parse.urlsplit(target).hostname or "") else True
    while True:
        began_s = time.monotonic()
        try:
            with connect(
                target, open_timeout=OPEN_TIMEOUT_S, max_size=FRAME_BYTES_MAX, compression=None, proxy=proxy
            ) as socket:
                was_connected = True
                _read(socket, watch, on_tick)
        except InvalidStatus as refused:
            if refused.response.status_code < 500:
                raise _refusal(refused) from None
            watch.disconnected(str(_refusal(refused)))
        except (InvalidURI, ValueError) as error:
            raise _unsendable(f"no request can be made to {url}: {error}") from None
        except (OSError, WebSocketException) as error:
            if not was_connected:
                message = f"no answer from {url} ({_in_words(error)}); is `exness-streams run` running?"
                raise RequestFailed(message) from None
            watch.disconnected(_in_words(error))
        failures = 0 if time.monotonic() - began_s > RETRY_S[-1] else min(failures + 1, len(RETRY_S) - 1)
        _pause(RETRY_S[failures], on_tick)


def _read(socket: ClientConnection, watch: Follower, on_tick: Callable[[], None]) -> None:
    """Until the stream breaks (WebSocketException), or is silent for too long."""
    heard_s = ticked_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        try:
            watch.take(socket.recv(timeout=TICK_S))
            heard_s = now_s
        except TimeoutError:
            if now_s - heard_s > watch.silence_s_max:
                watch.disconnected("no heartbeat")
                return
        except msgspec.MsgspecError as error:
            watch.disconnected(f"a message cannot be read: {error}")
            return
        if watch.take_wish():
            socket.send(_RESYNC)
        if now_s - ticked_s >= TICK_S:
            ticked_s = now_s
            on_tick()


def _pause(pause_s: float, on_tick: Callable[[], None]) -> None:
    end_s = time.monotonic() + pause_s
    while time.monotonic() < end_s:
        on_tick()
        time.sleep(TICK_S)


def _refusal(refused: InvalidStatus) -> RequestFailed:
    document = bytes(refused.response.body or b"")
    return refusal(document, refused.response.status_code, f"HTTP {refused.response.status_code}")


def _unsendable(told: str) -> RequestFailed:
    return RequestFailed(told, ErrorMessage(told, "INVALID_REQUEST"))


def _in_words(error: Exception) -> str:
    return str(error) or type(error).__name__
