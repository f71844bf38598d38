"""What every answer says beside its body: who may read and keep it, and which request it answers.

Pages of other origins (CORS) are answered here, on each answer at the last moment, and not by a library: aiohttp has
nothing for it, and aiohttp-cors knows routes only, not errors, unknown paths, refused hosts and WebSockets.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web

from exness_streams.api.request_ids import REQUEST_ID, new_request_id, request_id_of

_CORP = "Cross-Origin-Resource-Policy"

DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    _CORP: "same-origin",
    "Cache-Control": "no-store",
}
"""Of each answer that does not say otherwise."""

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Account, X-Request-Id"
EXPOSED_HEADERS = (
    "Allow, Content-Disposition, ETag, Idempotent-Replayed, Preference-Applied, RateLimit, RateLimit-Limit, "
    "RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id"
)
PREFLIGHT_S = 600
"""How long a browser need not ask again."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_PRIVATE_NETWORK = "Access-Control-Allow-Private-Network"


def plain_origin(origin: str) -> str:
    """An origin as browsers send it: in lower case, without the port that its scheme has anyway."""
    lowered = origin.lower()
    scheme, _, authority = lowered.partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    return lowered.removesuffix(port) if port and authority != port else lowered


def bare_headers() -> dict[str, str]:
    """Of an answer to what is no request."""
    # aiohttp would name its release.
    return DEFAULTS | {REQUEST_ID: new_request_id(), "Server": "exness-streams"}


class AnswerHeaders:
    """Adds the headers of every answer. origins: of other pages that may use the platform."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(plain_origin(origin) for origin in origins)

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """aiohttp's signal, right before the head of an answer is sent."""
        headers = response.headers
        for name, value in DEFAULTS.items():
            headers.setdefault(name, value)
        headers[REQUEST_ID] = request_id_of(request)
        headers.popall(hdrs.SERVER, None)  # tells strangers which releases of what they talk to
        if self._origins:
            self._for_pages(request, response)

    def allowed(self, request: web.Request) -> str | None:
        """The origin that a request comes from, when its pages may use the platform."""
        named = request.headers.getall(hdrs.ORIGIN, [])
        return named[0] if len(named) == 1 and plain_origin(named[0]) in self._origins else None

    def _for_pages(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        varies = headers.get(hdrs.VARY, "")
        if "Origin" not in varies:
            headers[hdrs.VARY] = f"{varies}, Origin" if varies else "Origin"
        origin = self.allowed(request)
        if origin is None:
            return
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS
        headers[_CORP] = "cross-origin"

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks first, on any path; None for any other request, and for strangers."""
        if not is_preflight(request) or self.allowed(request) is None:
            return None
        headers: dict[str, str] = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ALLOWED_METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_S),
        }
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers[_PRIVATE_NETWORK] = "true"  # a page of the Internet, and a platform at home
        return web.Response(status=204, headers=headers)


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks if a page may send something."""
    asks = hdrs.ORIGIN in request.headers and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    return request.method == hdrs.METH_OPTIONS and asks
