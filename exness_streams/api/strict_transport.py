"""HSTS: a browser that has reached the platform by TLS comes back by TLS alone."""

from __future__ import annotations

from aiohttp import hdrs, web

from exness_streams.api.door import host_of
from exness_streams.domain.hosts import is_loopback

YEAR_S = 365 * 24 * 3600


async def require_tls(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare` of a server with a certificate. Not for loopback names: others share them."""
    host = host_of(request.headers.get(hdrs.HOST, ""))
    if host is not None and not is_loopback(host):
        response.headers["Strict-Transport-Security"] = f"max-age={YEAR_S}"
