"""What the platform refuses, in plain words, and what is never sent to it."""

from __future__ import annotations

import re
import urllib.parse
from typing import Protocol

import msgspec

from exness_streams.domain.hosts import is_loopback
from exness_streams.messages import ErrorMessage, json_encoder

NO_ANSWER = "NO_ANSWER"
NOTHING_DONE = frozenset({"OVERLOADED", "REBALANCING"})
"""Refusals of a platform that could not take the request just then."""

API_KEY_PREFIX = "exn_"
SESSION_ENDED = 4401
"""The code with which the platform closes the streams of a session, or of an API key, that has ended."""

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class Headers(Protocol):
    """Of an answer, by names in any case."""

    def get(self, key: str, /) -> str | None:
        """A header's text, if it is there."""


class RequestFailed(Exception):
    """The platform said no, or nothing; str() says which, in one line.

    error: as the API says it; its code is NO_ANSWER when the platform said nothing, INVALID_REQUEST when it can't be
    asked. document: the API's JSON of it, as it came, or in the same form. status: of HTTP, 0 when there is none.
    """

    def __init__(
        self, told: str, error: ErrorMessage | None = None, document: bytes | None = None, status: int = 0
    ) -> None:
        super().__init__(told)
        self.error = error or ErrorMessage(told, NO_ANSWER)
        self.document = document or json_encoder.encode(self.error)
        self.status = status


def unsendable(told: str) -> RequestFailed:
    """A request that can't be made."""
    return RequestFailed(told, ErrorMessage(told, "INVALID_REQUEST"))


def check_token(url: str, token: str | None, is_plain_allowed: bool) -> None:
    """RequestFailed when a token can't be sent, or would be sent so that others could read it. It is never told."""
    if token is None:
        return
    if _TOKEN.fullmatch(token) is None:
        raise unsendable("the token is none: it must have 1 to 4096 printable ASCII characters and no spaces")
    check_plain(url, is_plain_allowed)


def check_plain(url: str, is_plain_allowed: bool) -> None:
    """RequestFailed when a secret would go to another machine over plain http, and that is not allowed."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http" and not is_plain_allowed and not is_loopback(parts.hostname or ""):
        raise unsendable(
            f"no token is sent to {parts.hostname} over plain http, where others can read it: "
            "use https://, or allow it with --insecure"
        )


def refusal(
    document: bytes, status: int, otherwise: str, headers: Headers | None = None, token: str | None = None
) -> RequestFailed:
    """What the body of a refusal says, and what helps; `otherwise`, when the body is not the API's.

    headers: of the answer. token: that the request had; it is not told.
    """
    try:
        refused, sent = msgspec.json.decode(document, type=ErrorMessage), document
        # The sign-in tells its refusals in the original's shape: the same words in both.
        told = refused.message if refused.error == refused.message else f"{refused.error}: {refused.message}"
    except msgspec.MsgspecError:
        refused, sent, told = ErrorMessage(otherwise, f"HTTP_{status}"), b"", otherwise
    helping = _help(status, refused.error, headers, token)
    return RequestFailed(f"{told.rstrip('.')}; {helping}" if helping else told, refused, sent or None, status)


def retry_after_s(headers: Headers) -> int | None:
    """For how long the platform wants not to be asked again, s; None when it does not say."""
    told = headers.get("Retry-After") or ""
    return int(told) if re.fullmatch(r"[0-9]{1,6}", told) else None


def _help(status: int, code: str, headers: Headers | None, token: str | None) -> str:
    is_key = token is not None and token.startswith(API_KEY_PREFIX)
    if status == 401 and token is None:
        return "sign in with `exness-streams login`"
    if status == 401:
        return "the API key is not valid (any more)" if is_key else "sign in again with `exness-streams login`"
    if status == 403 and is_key:
        return "an API key may do what its scopes say"
    if status == 409 and code == "ACCOUNT_CHANGED":
        return "the token is of another account than the one that was named: leave --account (EXNESS_ACCOUNT) out"
    if status == 429 or code in NOTHING_DONE:
        wait_s = None if headers is None else retry_after_s(headers)
        return "try again later" if wait_s is None else f"try again in {wait_s} s"
    return ""
