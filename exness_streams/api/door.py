"""The door: which names this server answers to, and which pages may use it.

In open mode everything rests on loopback. A page of any site can make its own name point at 127.0.0.1 and then be of
"the same origin" as the platform, so a request must name a host that is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import hdrs, web

from exness_streams.api.answer_headers import AnswerHeaders, is_preflight
from exness_streams.api.errors import ApiError, Handler, error_middleware
from exness_streams.domain.hosts import is_loopback
from exness_streams.domain.outside_text import in_one_line

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}?)\.?)(?::([0-9]{1,5}))?", re.ASCII)
KNOWN_MAX = 256
"""Spellings of our own hosts, with ports, that need not be read again: nearly every request has the same."""

SHOWN_MAX = 128
"""Characters of a host or an origin that a refusal repeats."""

ACTING_GETS = frozenset({"/api/auth/verify"})
"""Of the original's making: a page of another site must not sign its visitor in as somebody else."""

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


def host_of(authority: str) -> str | None:
    """The host of `host` or `host:port`, in lower case, without brackets and a last dot. None when it is neither."""
    found = _AUTHORITY.fullmatch(authority.lower())
    if found is None or (found[3] is not None and not 0 < int(found[3]) < 65536):
        return None
    return found[1] or found[2]


class Door:
    """Lets requests in that name one of the platform's own hosts, and pages of its own origin."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str] = ()) -> None:
        """hosts: allowed besides loopback names, without ports. origins: of other pages that may use the platform."""
        self._hosts = frozenset(host.lower().strip("[]").rstrip(".") for host in hosts)
        self._headers = AnswerHeaders(origins)
        self._known: set[str] = set()

    def mount(self, web_app: web.Application) -> None:
        """Guard all that an app answers, each refusal in the one shape, and add the headers of every answer."""
        web_app.middlewares.append(error_middleware)
        web_app.middlewares.append(self.middleware)
        web_app.on_response_prepare.append(self._headers.add)

    def knows(self, authority: str) -> bool:
        """Whether `host` or `host:port` is one of ours."""
        if authority in self._known:
            return True
        is_ours = self._finds(authority)
        if is_ours and len(self._known) < KNOWN_MAX:
            self._known.add(authority)
        return is_ours

    def _finds(self, authority: str) -> bool:
        host = host_of(authority)
        return host is not None and (host in self._hosts or is_loopback(host))

    def check_host(self, request: web.Request) -> None:
        """421 unless the request names a host of ours, in one Host header, and no other one in its first line."""
        named = request.headers.getall(hdrs.HOST, [])
        if len(named) != 1 or not self.knows(named[0]):
            raise _misdirected(named)
        target = request.raw_path
        if target.startswith("/") or target == "*":
            return
        # In absolute form (http://host/path) the target's authority is the one that counts; CONNECT has only one.
        authority = _authority_of(target)
        if authority.lower() != named[0].lower():
            raise _misdirected([authority, named[0]])

    def check_origin(self, request: web.Request) -> None:
        """403 for a page of another site: it may not act for its visitor. Programs send no Origin."""
        for origin in request.headers.getall(hdrs.ORIGIN, []):
            scheme, _, authority = origin.lower().partition("://")
            is_own = scheme in ("http", "https") and authority == request.headers[hdrs.HOST].lower()
            if not is_own and self._headers.allowed(request) is None:
                raise ApiError(403, "FORBIDDEN", f"pages of {in_one_line(origin, SHOWN_MAX)} may not use this platform")

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Goes inside of the one that shapes errors."""
        self.check_host(request)
        if (answer := self._headers.preflight(request)) is not None:
            return answer
        acts = request.method not in _READING or hdrs.UPGRADE in request.headers or request.path in ACTING_GETS
        if acts or is_preflight(request):
            self.check_origin(request)
        return await handler(request)


def _authority_of(target: str) -> str:
    scheme, separator, rest = target.partition("://")
    return re.split(r"[/?#]", rest if separator else scheme, maxsplit=1)[0]


def _misdirected(named: list[str]) -> ApiError:
    said = (
        "no host" if not named else " and ".join(in_one_line(name, SHOWN_MAX) or "an empty host" for name in named[:3])
    )
    return ApiError(
        421,
        "MISDIRECTED_REQUEST",
        f"the request names {said}, which is not this platform; it answers to loopback names (127.0.0.1, localhost, "
        "[::1]) and to those in EXNESS_ALLOWED_HOSTS",
        {"field": "Host"},
    )
