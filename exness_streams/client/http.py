"""A client of the HTTP API for a person at a terminal."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from exness_streams import __version__
from exness_streams.client.access import Caller, Done, KeysSeen, NewKey, SessionsSeen, SignedIn
from exness_streams.client.market_states import MarketStateSeen, MarketStatesSeen
from exness_streams.client.refusals import RequestFailed, check_token, refusal, retry_after_s, unsendable
from exness_streams.domain.hosts import is_loopback
from exness_streams.messages import (
    BalanceMessage,
    CloseAllMessage,
    CloseMessage,
    MarketMessage,
    OrderMessage,
    PositionMessage,
    StateMessage,
    TradeMessage,
    TradesMessage,
    json_encoder,
)

TIMEOUT_S = 15.0
USER_AGENT = f"exness-streams/{__version__}"
"""What a session that is begun here is listed as."""

PAGE_TRADES = 500
LATER = (429, 503)
"""Answers after which the same request may fare better: too many were sent, or the platform is not able just now."""

RETRY_AFTER_S_MAX = 30
"""A read that is told to come back later waits so long at most."""

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


class ApiClient:
    """Speaks for one account. Every order carries an idempotency key. Fields are named as in the API.

    account: None leaves it to the platform, which knows whose the token is. token: of a session, or an API key.
    is_plain_allowed: whether the token may go over plain http to another machine. answered: the newest answer's JSON,
    as it came. timeout_s: how long the platform may take for one. attempts: how often a request is sent at most, under
    one key, while its connection breaks; with more than one a read that comes too often waits as it is told, once.
    """

    def __init__(
        self,
        url: str,
        account: str | None,
        timeout_s: float = TIMEOUT_S,
        attempts: int = 2,
        *,
        token: str | None = None,
        is_plain_allowed: bool = False,
    ) -> None:
        self._url = url.rstrip("/")
        self._account = account
        self._timeout_s, self._attempts = timeout_s, attempts
        self._token, self._is_plain_allowed = token, is_plain_allowed
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
        """Place an order that waits for its price; a limit order at the market is filled at once (its status)."""
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

    def market_states(self) -> MarketStatesSeen:
        """For operators: how each market is, and what was decided of it."""
        return self._ask("/api/v1/operator/markets", None, MarketStatesSeen)

    def decide_market(self, fields: Fields) -> MarketStateSeen:
        """For operators: decide the state of a symbol, and perhaps the price to settle it at."""
        return self._ask("/api/v1/operator/markets", fields, MarketStateSeen)

    def request_link(self, email: str) -> Done:
        """Have a link mailed to an address; whether the platform knew it before is not told."""
        return self._ask("/api/auth/login", {"email": email}, Done)

    def redeem(self, token: str, email: str, nonce: str | None = None) -> SignedIn:
        """Sign in with the token of a mailed link, which works once. nonce: 16 to 128 characters; the same ones again
        give the same session, should the answer have been lost.
        """
        fields = {"token": token, "email": email, "nonce": nonce or uuid.uuid4().hex}
        return self._ask("/api/auth/verify", fields, SignedIn)

    def me(self) -> Caller:
        """Who the platform takes this client for."""
        return self._ask("/api/auth/me", None, Caller)

    def logout(self) -> Done:
        """End the session of the token."""
        return self._ask("/api/auth/logout", {}, Done)

    def sessions(self) -> SessionsSeen:
        """The account's sessions."""
        return self._ask("/api/auth/sessions", None, SessionsSeen)

    def end_session(self, session_id: str) -> Done:
        """End one of the account's sessions; its streams are closed."""
        return self._ask(f"/api/auth/sessions/{_quoted(session_id)}", None, Done, "DELETE")

    def end_sessions(self) -> Done:
        """End all of the account's sessions, this one too."""
        return self._ask("/api/auth/sessions", None, Done, "DELETE")

    def keys(self) -> KeysSeen:
        """The account's API keys."""
        return self._ask("/api/v1/keys", None, KeysSeen)

    def create_key(self, fields: Fields) -> NewKey:
        """Make an API key of a name, scopes and perhaps expiresAt. Its secret is told this once."""
        return self._ask("/api/v1/keys", fields, NewKey)

    def revoke_key(self, key_id: str) -> Done:
        """End an API key; its streams are closed."""
        return self._ask(f"/api/v1/keys/{_quoted(key_id)}", None, Done, "DELETE")

    def _ask(self, path: str, fields: Fields | None, answer: type[M], method: str = "") -> M:
        check_token(self._url, self._token, self._is_plain_allowed)
        headers, content = {"User-Agent": USER_AGENT}, None
        if self._account is not None:
            headers["X-Account"] = self._account
        if fields is not None:
            headers["Content-Type"], content = "application/json", json_encoder.encode(fields)
            if not path.startswith("/api/auth/"):
                headers["Idempotency-Key"] = uuid.uuid4().hex
        try:
            request = urllib.request.Request(self._url + path, data=content, headers=headers, method=method or None)
            if self._token is not None:
                request.add_unredirected_header("Authorization", f"Bearer {self._token}")
            self.answered = self._exchange(request)
            return msgspec.json.decode(self.answered, type=answer)
        except urllib.error.HTTPError as error:
            raise _refusal(error, self._token) from None
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            if isinstance(error, http.client.InvalidURL):
                raise self._unsendable(error) from None
            raise RequestFailed(f"no answer from {self._url} ({error}); is `exness-streams run` running?") from None
        except ValueError as error:
            raise self._unsendable(error) from None

    def _unsendable(self, error: Exception) -> RequestFailed:
        # Neither the URL nor the account is checked before: what can't be sent is refused by the sender.
        whose = "" if self._account is None else f" for account {self._account!r}"
        return unsendable(f"no request can be made to {self._url}{whose}: {error}")

    def _exchange(self, request: urllib.request.Request) -> bytes:
        """The answer's body. A connection that broke is tried again, under the same key; one nobody took is not."""
        attempts, may_wait = self._attempts, self._attempts > 1 and request.get_method() == "GET"
        while True:
            attempts -= 1
            try:
                return _send(request, self._timeout_s)
            except urllib.error.HTTPError as error:
                wait_s = retry_after_s(error.headers) if error.code in LATER and may_wait else None
                if wait_s is None or wait_s > RETRY_AFTER_S_MAX:
                    raise
                error.close()
                may_wait, attempts = False, attempts + 1
                time.sleep(wait_s)
            except (OSError, http.client.HTTPException) as error:
                if not attempts or not _is_broken(error):
                    raise


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What was meant for one server goes to no other: neither a token nor an order."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _send(request: urllib.request.Request, timeout_s: float) -> bytes:
    with _opener(request).open(request, timeout=timeout_s) as response:
        content: bytes = response.read()
        return content


def _opener(request: urllib.request.Request) -> urllib.request.OpenerDirector:
    """A platform on this machine is never behind the proxy that the environment may name."""
    host = urllib.parse.urlsplit(request.full_url).hostname or ""
    proxies = urllib.request.ProxyHandler({} if is_loopback(host) else None)
    return urllib.request.build_opener(proxies, _NoRedirects)


def _is_broken(error: Exception) -> bool:
    reason = getattr(error, "reason", error)
    return isinstance(reason, http.client.IncompleteRead | ConnectionError | TimeoutError) and not isinstance(
        reason, ConnectionRefusedError
    )


def _refusal(error: urllib.error.HTTPError, token: str | None) -> RequestFailed:
    told = f"HTTP {error.code}: {error.reason}"
    if 300 <= error.code < 400:
        told += f"; the platform is at another address: {error.headers.get('Location')}"
    try:
        document = error.read()
    except (OSError, http.client.HTTPException):
        document = b""
    return refusal(document, error.code, told, error.headers, token)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
