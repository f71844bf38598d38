"""Everything that touches aiohttp's private names: how it answers what is not a request, before any middleware."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web, web_protocol, web_server, web_urldispatcher
from aiohttp.http_exceptions import HttpProcessingError

from exness_streams.api.errors import ApiError, error_response, expect_continue
from exness_streams.domain.outside_text import in_one_line
from exness_streams.transport.private_names import Private, refuse_without

BOUNDS = ">=3.10,<3.15"
"""As in pyproject.toml."""

NEEDED = (
    Private("aiohttp.web_server", "RequestHandler"),
    Private("aiohttp.web_protocol:RequestHandler", "handle_error"),
    Private("aiohttp.web_protocol:RequestHandler", "log_exception"),
    Private("aiohttp.web_protocol:RequestHandler", "log_debug"),
    Private("aiohttp.web_urldispatcher", "_default_expect_handler"),
)

SAID_MAX = 128
CLIENTS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
"""What strangers can cause at will: no traceback of these belongs into the log."""


def refuse_other_aiohttp() -> None:
    """LogFault in one line for an aiohttp that lacks one of the names."""
    refuse_without("aiohttp", NEEDED, BOUNDS)


class QuietHandler(web_protocol.RequestHandler):
    """aiohttp's, which answers garbage as text that repeats it, and logs a traceback for each."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no request, in the one shape; the connection ends."""
        if not isinstance(exc, HttpProcessingError) or not 400 <= status < 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        code = "INVALID_REQUEST" if status == 400 else HTTPStatus(status).name
        response = error_response(ApiError(status, code, f"this is not an HTTP request: {_reason(exc)}"))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A fault of ours; a client's is of no interest but to who debugs."""
        if isinstance(kw.get("exc_info"), CLIENTS_FAULTS):
            self.log_debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def _reason(error: HttpProcessingError) -> str:
    """The first line of aiohttp's reason: the others repeat what was sent."""
    first = (str(error.message).strip().splitlines() or [""])[0].rstrip(": ")
    return in_one_line(first, SAID_MAX)


web_server.RequestHandler = QuietHandler  # type: ignore[attr-defined]
# The header Expect is answered before any middleware, and where there is no route at all.
web_urldispatcher._default_expect_handler = expect_continue  # type: ignore[assignment]
