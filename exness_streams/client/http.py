"""A client of the HTTP API for a person at a terminal."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from exness_streams.domain.hosts import is_loopback
from exness_streams.messages import (
    BalanceMessage,
    CloseAllMessage,
    CloseMessage,
    ErrorMessage,
    MarketMessage,
    OrderMessage,
    PositionMessage,
    StateMessage,
    TradeMessage,
    TradesMessage,
    json_encoder,
)

TIMEOUT_S = 15.0
PAGE_TRADES = 500
NO_ANSWER = "NO_ANSWER"

M = TypeVar("M")
Fields = dict[str, Any]


class FeedSeen(msgspec.Struct, frozen=True):
    """How the prices arrive, and where from. As in api/openapi/public.py, but open to words of later versions."""

    status: str
    source: str = "unknown"
    reason: str = ""


class MarketsSeen(msgspec.Struct, frozen=True):
    """The instruments on offer, in the order of the configuration, and how their prices arrive."""

    markets: list[MarketMessage]
    feed: FeedSeen


class RequestFailed(Exception):
    """The platform said no, or nothing; str() says which, in one line.

    error: as the API says it; its code is NO_ANSWER when the platform said nothing, INVALID_REQUEST when it can't be
    asked. document: the API's JSON of it, as it came, or in the same form.
    """

    def __init__(self, told: str, error: ErrorMessage | None = None, document: bytes | None = None) -> None:
        super().__init__(told)
        self.error = error or ErrorMessage(told, NO_ANSWER)
        self.document = document or json_encoder.encode(self.error)


class ApiClient:
    """Speaks for one account. Every order carries an idempotency key. Fields are named as in the API.

    answered: the newest answer's JSON, as it came. timeout_s: how long the platform may take for one. attempts: how
    often a request is sent at most, under one key, while its connection breaks.
    """

    def __init__(self, url: str, account: str, timeout_s: float = TIMEOUT_S, attempts: int = 2) -> None:
        self._url = url.rstrip("/")
        self._account = account
        self._timeout_s, self._attempts = timeout_s, attempts
        self.answered = b""

    def markets(self) -> MarketsSeen:
        """The instruments on offer, and how the feed of their prices is."""
        return self._ask("/api/v1/markets", None, MarketsSeen)

    def state(self) -> StateMessage:
        """The account now."""
        return self._ask("/api/v1/state", None, StateMessage)

    def open(self, fields: Fields) -> PositionMessage:
        """Open a position."""
        return self._ask("/api/v1/positions/open", fields, PositionMessage)

    def close(self, fields: Fields) -> CloseMessage:
        """Close a position, or a part of it."""
        return self._ask("/api/v1/positions/close", fields, CloseMessage)

    def close_all(self) -> CloseAllMessage:
        """Close every position."""
        return self._ask("/api/v1/positions/close-all", {}, CloseAllMessage)

    def modify(self, fields: Fields) -> PositionMessage:
        """Set a position's stop loss and take profit."""
        return self._ask("/api/v1/positions/modify", fields, PositionMessage)

    def place(self, fields: Fields) -> OrderMessage:
        """Place a pending order."""
        return self._ask("/api/v1/orders/place", fields, OrderMessage)

    def cancel(self, order_id: str) -> OrderMessage:
        """Cancel a pending order."""
        return self._ask("/api/v1/orders/cancel", {"orderId": order_id}, OrderMessage)

    def deposit(self, fields: Fields) -> BalanceMessage:
        """Add USD."""
        return self._ask("/api/v1/account/deposit", fields, BalanceMessage)

    def reset(self) -> BalanceMessage:
        """Begin anew."""
        return self._ask("/api/v1/account/reset", {"confirm": "RESET"}, BalanceMessage)

    def trades(self, limit: int | None, filters: dict[str, str]) -> Iterator[TradeMessage]:
        """Closed trades, newest first; all of them without a limit. filters: symbol, reason."""
        for page in self.trade_pages(limit, filters):
            yield from page.trades

    def trade_pages(self, limit: int | None, filters: dict[str, str]) -> Iterator[TradesMessage]:
        """The same, page by page."""
        query: dict[str, str | int] = {**filters}
        while limit is None or limit > 0:
            query["limit"] = PAGE_TRADES if limit is None else min(limit, PAGE_TRADES)
            page = self._ask("/api/v1/trades?" + urllib.parse.urlencode(query), None, TradesMessage)
            yield page
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor
            limit = None if limit is None else limit - len(page.trades)

    def _ask(self, path: str, fields: Fields | None, answer: type[M]) -> M:
        headers = {"X-Account": self._account}
        content = None
        if fields is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
            content = json_encoder.encode(fields)
        try:
            request = urllib.request.Request(self._url + path, data=content, headers=headers)
            self.answered = _exchange(request, self._timeout_s, self._attempts)
            return msgspec.json.decode(self.answered, type=answer)
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            if isinstance(error, http.client.InvalidURL):
                raise self._unsendable(error) from None
            raise RequestFailed(f"no answer from {self._url} ({error}); is `exness-streams run` running?") from None
        except ValueError as error:
            raise self._unsendable(error) from None

    def _unsendable(self, error: Exception) -> RequestFailed:
        # Neither the URL nor the account is checked before: what can't be sent is refused by the sender.
        told = f"no request can be made to {self._url} for account {self._account!r}: {error}"
        return RequestFailed(told, ErrorMessage(told, "INVALID_REQUEST"))


def _exchange(request: urllib.request.Request, timeout_s: float, attempts: int) -> bytes:
    """The answer's body. A connection that broke is tried again, under the same key; one nobody took is not."""
    while True:
        attempts -= 1
        try:
            return _send(request, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            if not attempts or not _is_broken(error):
                raise


def _send(request: urllib.request.Request, timeout_s: float) -> bytes:
    with _opener(request).open(request, timeout=timeout_s) as response:
        content: bytes = response.read()
        return content


def _opener(request: urllib.request.Request) -> urllib.request.OpenerDirector:
    """A platform on this machine is never behind the proxy that the environment may name."""
    host = urllib.parse.urlsplit(request.full_url).hostname or ""
    proxies = urllib.request.ProxyHandler({} if is_loopback(host) else None)
    return urllib.request.build_opener(proxies)


def _is_broken(error: Exception) -> bool:
    reason = getattr(error, "reason", error)
    return isinstance(reason, http.client.IncompleteRead | ConnectionError | TimeoutError) and not isinstance(
        reason, ConnectionRefusedError
    )


def _refusal(error: urllib.error.HTTPError) -> RequestFailed:
    told = f"HTTP {error.code}: {error.reason}"
    try:
        return refusal(error.read(), error.code, told)
    except (OSError, http.client.HTTPException):
        return RequestFailed(told, ErrorMessage(told, f"HTTP_{error.code}"))


def refusal(document: bytes, status: int, otherwise: str) -> RequestFailed:
    """What the body of a refusal says; `otherwise`, when it is not the API's."""
    try:
        refused = msgspec.json.decode(document, type=ErrorMessage)
    except msgspec.MsgspecError:
        return RequestFailed(otherwise, ErrorMessage(otherwise, f"HTTP_{status}"))
    return RequestFailed(f"{refused.error}: {refused.message}", refused, document)
