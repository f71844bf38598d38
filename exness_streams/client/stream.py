"""The live stream of one account, followed from a terminal: connecting again whenever it breaks."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from exness_streams.client.refusals import (
    SESSION_ENDED,
    RequestFailed,
    check_token,
    refusal,
    retry_after_s,
    unsendable,
)
from exness_streams.domain.hosts import is_loopback
from exness_streams.messages import ErrorMessage, json_encoder

OPEN_TIMEOUT_S = 5.0
TICK_S = 0.1
RETRY_S = (0.5, 1.0, 2.0, 4.0)
"""Pauses between attempts; the last one stays."""

FRAME_BYTES_MAX = 16 << 20
_RESYNC = '{"type":"resync"}'


class Follower(Protocol):
    """Who hears the stream of an account: terminal/watching.py, for one."""

    @property
    def account_id(self) -> str | None:
        """Whose stream it is; None: that of the token's account."""

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


def stream_url(url: str, account: str | None, numbers: str = "string") -> str:
    """Where an account's stream is, given the platform's URL. RequestFailed when that is none."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise unsendable(f"no request can be made to {url}: it must begin with http:// or https://")
    whose = {} if account is None else {"account": account}
    query = urllib.parse.urlencode({**whose, "numbers": numbers})
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/ws?{query}"


def follow(
    url: str,
    watch: Follower,
    on_tick: Callable[[], None],
    *,
    token: str | None = None,
    is_plain_allowed: bool = False,
) -> None:
    """Keep a follower up to date until on_tick raises; it is called about every TICK_S, connected or not.

    token: of a session, or an API key. is_plain_allowed: whether it may go over plain http to another machine.
    Raises RequestFailed when the first connection can't be made, whenever the platform refuses the request, and when
    the session ends.
    """
    target, failures, was_connected = stream_url(url, watch.account_id, watch.numbers), 0, False
    check_token(url, token, is_plain_allowed)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    # A platform on this machine is never behind the proxy that the environment may name.
    proxy: Literal[True] | None = None if is_loopback(urllib.parse.urlsplit(target).hostname or "") else True
    while True:
        began_s, pause_s = time.monotonic(), 0.0
        try:
            with connect(
                target,
                open_timeout=OPEN_TIMEOUT_S,
                max_size=FRAME_BYTES_MAX,
                compression=None,
                proxy=proxy,
                additional_headers=headers,
            ) as socket:
                was_connected = True
                _read(socket, watch, on_tick)
        except InvalidStatus as refused:
            failed = _refusal(refused, token)
            if failed.status < 500 and not (failed.status == 429 and was_connected):
                raise failed from None
            pause_s = retry_after_s(refused.response.headers) or 0.0
            watch.disconnected(str(failed))
        except (InvalidURI, ValueError) as error:
            raise unsendable(f"no request can be made to {url}: {error}") from None
        except (OSError, WebSocketException) as error:
            if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code == SESSION_ENDED:
                raise _ended(error.rcvd.reason, token) from None
            if not was_connected:
                message = f"no answer from {url} ({_in_words(error)}); is `exness-streams run` running?"
                raise RequestFailed(message) from None
            watch.disconnected(_in_words(error))
        failures = 0 if time.monotonic() - began_s > RETRY_S[-1] else min(failures + 1, len(RETRY_S) - 1)
        _pause(max(pause_s, RETRY_S[failures]), on_tick)


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


def _refusal(refused: InvalidStatus, token: str | None) -> RequestFailed:
    response = refused.response
    return refusal(
        bytes(response.body or b""), response.status_code, f"HTTP {response.status_code}", response.headers, token
    )


def _ended(reason: str, token: str | None) -> RequestFailed:
    error = ErrorMessage(reason or "the session has ended", "UNAUTHORIZED")
    return refusal(json_encoder.encode(error), 401, "", token=token)


def _in_words(error: Exception) -> str:
    return str(error) or type(error).__name__
