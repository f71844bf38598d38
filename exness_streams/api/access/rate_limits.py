"""Who may ask how often: per account or API key, and per address; reads and changes apart.

Counted at the worker that takes a request, not again where it is passed on; new accounts by the account's owner.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from aiohttp import hdrs, web

from exness_streams.api.access.address import address_of, network_of
from exness_streams.api.access.caller import PASSED_ON, caller_of
from exness_streams.api.access.rates import COUNTS_MAX, Rate, Standing, WindowCounts, rate_of
from exness_streams.api.access.turns import Turn, Turns
from exness_streams.api.errors import ApiError, Handler
from exness_streams.domain.hosts import is_loopback

BYTES_OF_ONE = 32 * 1024
"""An answer costs one more request for each of these that it has."""

STREAM_COST = 5
"""So many requests is connecting a stream: a connection of its own, a handshake, the account and the market."""

FRAMES_RATE = "100 per 10 seconds"
"""What a stream's client may send. Who needs more has misunderstood something."""

LINKS_OF_ADDRESS = 10
"""So many times the links of one mailbox may be asked for from one address: an office has one."""

PATIENT_EXCESS = 20
"""Who goes on asking all the same waits for each refusal, the longer the more: it may be a tenth more, or this many."""

REFUSAL_S_MAX = 1.0

UNLIMITED = frozenset({"/livez", "/readyz"})
"""Whoever looks after the process must not be told to wait: it would be restarted because a stranger asks much."""

SCOPES = ("account", "key", "address", "new_accounts", "frames", "links")
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_BILL = web.RequestKey("exness-bill", object)


class RateSettings(Protocol):
    """What an operator says about rates; '' is none."""

    @property
    def auth(self) -> str: ...

    @property
    def rate_limit(self) -> str: ...

    @property
    def address_rate_limit(self) -> str: ...

    @property
    def new_accounts_limit(self) -> str: ...

    @property
    def sign_in_limit(self) -> str: ...


class Payer(NamedTuple):
    """Whom a request is counted for. kind: account or key. name: of the account, or a digest of the whole key."""

    kind: str
    name: str


def payer_of(request: web.Request) -> Payer | None:
    """The account that a request names; None when it names none that could be: then only the address counts."""
    try:
        caller = caller_of(request)
    except ApiError:
        return None
    if caller.shown_key is not None:
        return Payer("key", caller.shown_key.digest)
    account_id = caller.own_account_id or caller.account_id
    return None if account_id is None else Payer("account", account_id)


class _Purse(NamedTuple):
    scope: str
    rate: Rate
    name: str


class Bill:
    """What one request has cost, and how its payers stand."""

    def __init__(self, purses: list[_Purse], counters: Counter[str]) -> None:
        self._purses, self._counters = purses, counters
        self.tightest: Standing | None = None
        self.turn: Turn | None = None

    @property
    def payer(self) -> str | None:
        """The account or key that pays, as it is counted; None when only the address does."""
        return next((purse.name for purse in self._purses if purse.scope != "address"), None)

    async def pay(self, cost: int) -> None:
        """Count the request as so many. 429, in a while, when somebody has none left: the others pay nothing then."""
        for purse in self._purses:
            standing = purse.rate.take(purse.name, cost)
            if self.tightest is None or standing.remaining < self.tightest.remaining:
                self.tightest = standing
            if not standing.is_allowed:
                self._counters[purse.scope] += 1
                await asyncio.sleep(refusal_s(standing))
                raise _too_many(purse.scope, purse.rate, standing)

    def pay_bytes(self, size: int) -> None:
        """Count what an answer of this size costs more than any. It is given in any case: the next one waits."""
        if size >= BYTES_OF_ONE:
            self.pay_more(size // BYTES_OF_ONE)

    def pay_more(self, cost: int) -> None:
        """Count so many requests more for work that an answer takes. It is given in any case: the next one waits."""
        for purse in self._purses:
            standing = purse.rate.take(purse.name, cost)
            if self.tightest is None or standing.remaining < self.tightest.remaining:
                self.tightest = standing


class RateLimits:
    """The limits of one worker. counters: refusals by scope."""

    def __init__(self, settings: RateSettings) -> None:
        self.counters: Counter[str] = Counter()
        self._is_open = settings.auth == "open"
        self._of_payer, self._of_address = rate_of(settings.rate_limit), rate_of(settings.address_rate_limit)
        self._new_accounts = rate_of(settings.new_accounts_limit)
        self._begun = WindowCounts(COUNTS_MAX)
        self._frames = rate_of(FRAMES_RATE if settings.rate_limit else "")
        self._links = rate_of(settings.sign_in_limit)
        self._links_of_address = rate_of(_times(LINKS_OF_ADDRESS, settings.sign_in_limit))
        self._streams = 0
        self._turns = Turns()

    def mount(self, web_app: web.Application) -> None:
        """Inside of whatever finds the address and who asks."""
        web_app.middlewares.append(self.middleware)
        web_app.on_response_prepare.append(self.add_headers)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """429 for who asks too often; else the answer, with what it cost."""
        if request.path in UNLIMITED or request.get(PASSED_ON):  # the worker that took it has counted
            return await handler(request)
        bill = request[_BILL] = Bill(self._purses(request), self.counters)
        await bill.pay(STREAM_COST if hdrs.UPGRADE in request.headers else 1)
        if bill.payer is None:
            response = await handler(request)
        else:
            turn = bill.turn = await self._turns.take(bill.payer)
            try:
                response = await handler(request)
            finally:
                turn.end()
        bill.pay_bytes(_size_of(response))
        return response

    def _purses(self, request: web.Request) -> list[_Purse]:
        way = "read" if request.method in _READING else "change"
        purses = []
        address = address_of(request)
        # In open mode everybody is on this machine: there they are told apart by their accounts alone.
        if self._of_address is not None and not (self._is_open and is_loopback(address)):
            purses.append(_Purse("address", self._of_address, f"{way}/{network_of(address)}"))
        payer = payer_of(request) if self._of_payer is not None else None
        if self._of_payer is not None and payer is not None:
            purses.append(_Purse(payer.kind, self._of_payer, f"{way}/{payer.kind}/{payer.name}"))
        return purses

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """aiohttp's signal, right before the head of an answer is sent: how whoever asks stands now."""
        bill = bill_of(request)
        if bill.turn is not None:
            bill.turn.end()  # an answer in pieces is as long as its client is slow, and a stream as long as it likes
        if bill.tightest is not None:
            for name, value in headers_of(bill.tightest).items():
                response.headers.setdefault(name, value)  # a refusal by the owner has its own

    async def begin_account(self, request: web.Request, account_id: str) -> None:
        """Count a command of an account that is not there yet: 429 when the address has begun too many.

        An account counts once, however many commands come at once before it is there.
        """
        if self._new_accounts is None or self._begun.incr(account_id, self._new_accounts.window_s) > 1:
            return
        standing = self._new_accounts.take(network_of(address_of(request)))
        if not standing.is_allowed:
            self._begun.clear(account_id)
            self.counters["new_accounts"] += 1
            await asyncio.sleep(refusal_s(standing))
            raise _too_many("new_accounts", self._new_accounts, standing)

    def send_link(self, request: web.Request, email: str) -> None:
        """Count a sign-in link: 429 when the mailbox, or whoever asks, has had too many."""
        of_address = network_of(address_of(request))
        for rate, name in ((self._links, email), (self._links_of_address, of_address)):
            if rate is not None and not (standing := rate.take(name)).is_allowed:
                self.counters["links"] += 1
                raise _too_many("links", rate, standing)

    def frames_of_stream(self) -> Callable[[], str]:
        """A stream's own count: call it at each frame of its client's. '' or why it is too many."""
        rate = self._frames
        if rate is None:
            return lambda: ""
        self._streams += 1
        name = str(self._streams)

        def count() -> str:
            if rate.take(name).is_allowed:
                return ""
            self.counters["frames"] += 1
            return f"too many frames: a client may send {rate.text}"

        return count


def _times(factor: int, rate: str) -> str:
    count, _, per = rate.partition(" ")
    return f"{factor * int(count)} {per}" if rate else ""


def bill_of(request: web.Request) -> Bill:
    """What a request costs; nobody pays one that is not counted here."""
    bill = request.get(_BILL)
    return bill if isinstance(bill, Bill) else Bill([], Counter())


def _size_of(response: web.StreamResponse) -> int:
    """Bytes of an answer's body; of a live stream 0: it pays for what it asks for."""
    if isinstance(response, web.WebSocketResponse):
        return 0
    body = getattr(response, "body", None)
    return len(body) if isinstance(body, bytes) else response.body_length


def refusal_s(standing: Standing) -> float:
    """How long a refusal is held back: a flood that takes no notice of refusals would be one of refusals."""
    return min(REFUSAL_S_MAX, standing.excess / max(PATIENT_EXCESS, standing.limit / 10))


_WHOSE = {
    "account": "for this account",
    "key": "with this API key",
    "address": "from this address",
    "links": "for sign-in links",
    "new_accounts": "that begin an account, from this address",
}


def _too_many(scope: str, rate: Rate, standing: Standing) -> ApiError:
    wait = standing.wait_s
    return ApiError(
        429,
        "RATE_LIMITED",
        f"too many requests {_WHOSE[scope]}: at most {rate.text}; try again in {wait} s",
        {"scope": scope, "limit": rate.text, "retryAfter": wait},
        {"Retry-After": str(wait)} | headers_of(standing),
    )


def headers_of(standing: Standing) -> dict[str, str]:
    """How somebody stands, as headers."""
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.wait_s),
    }
