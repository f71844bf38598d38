"""Everything that touches aiohttp's private names: how it answers what is not a request, before any middleware."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web, web_protocol, web_server, web_urldispatcher
from aiohttp.http_exceptions import HttpProcessingError

from exness_streams.api.answer_headers import bare_headers
from exness_streams.api.errors import ApiError, BodyTooLate, error_response, expect_continue
from exness_streams.domain.outside_text import in_one_line
from exness_streams.transport.connections import Connection, Connections, Wait
from exness_streams.transport.private_names import Private, refuse_without

BOUNDS = ">=3.14,<3.15"
"""As in pyproject.toml."""

NEEDED = (
    Private("aiohttp.web_server", "RequestHandler"),
    Private("aiohttp.web_protocol:RequestHandler", "handle_error"),
    Private("aiohttp.web_protocol:RequestHandler", "log_exception"),
    Private("aiohttp.web_protocol:RequestHandler", "log_debug"),
    Private("aiohttp.web_protocol:RequestHandler", "_handle_request"),
    Private("aiohttp.web_protocol:RequestHandler", "_manager"),
    Private("aiohttp.web_protocol:RequestHandler", "_messages"),
    Private("aiohttp.web_protocol:RequestHandler", "_request_count"),
    Private("aiohttp.web_protocol:RequestHandler", "_request_in_progress"),
    Private("aiohttp.web_protocol:RequestHandler", "_force_close"),
    Private("aiohttp.web_urldispatcher", "_default_expect_handler"),
)

SAID_MAX = 128
CLIENTS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError, BodyTooLate)
"""What strangers can cause at will: no traceback of these belongs into the log."""


def refuse_other_aiohttp() -> None:
    """LogFault in one line for an aiohttp that lacks one of the names."""
    refuse_without("aiohttp", NEEDED, BOUNDS)


class QuietHandler(web_protocol.RequestHandler):
    """aiohttp's, which answers garbage as text that repeats it, logs a traceback for each, and waits for ever.

    Where the server has `Connections` (ours do, the simulator does not), each connection has a place there or is
    refused, and what is waited for has an end.
    """

    __slots__ = ("_all", "_asked", "_body", "_has_part", "_is_stream", "_place")

    def __init__(self, manager: web_server.Server, **named: Any) -> None:
        super().__init__(manager, **named)
        self._all: Connections | None = getattr(manager, "places", None)
        self._place: Connection | None = None
        self._body: Any = None
        self._asked = 0
        self._has_part = self._is_stream = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """aiohttp's, when there is a place."""
        if self._all is not None:
            self._place = self._all.arrive(self, cast(asyncio.Transport, transport))
            if self._place is None:
                self._refuse(self._all, cast(asyncio.Transport, transport))
                return
        super().connection_made(transport)

    def _refuse(self, connections: Connections, transport: asyncio.Transport) -> None:
        self._force_close = True  # drops what it sends
        if not connections.refuse(transport):
            transport.abort()
            return
        transport.write(written(ApiError(503, "NO_CONNECTION_FREE", "too many connections: try again later")))
        if transport.can_write_eof():
            transport.write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """aiohttp's; its place is free."""
        if self._all is not None and self._place is not None:
            self._all.gone(self._place)
        super().connection_lost(exc)
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("the client is gone"))  # aiohttp would wait for more of it

    def data_received(self, data: bytes) -> None:
        """aiohttp's; then it is known what is waited for next."""
        super().data_received(data)
        if self._all is None or self._place is None or self._is_stream:
            return
        if self._body is not None and self._body.is_eof():
            self._body = None
            self._all.ends_body(self._place)
        if self._request_count != self._asked:
            self._asked, self._has_part = self._request_count, False
            head, self._body = self._messages[-1] if self._messages else (None, None)
            self._is_stream = bool(getattr(head, "upgrade", False))  # nothing behind it is HTTP
            if self._body is None or self._body.is_eof():
                self._body = None
            else:
                self._all.begins_body(self._place)
        elif self._body is None and not self._place.is_busy and not self._has_part:
            self._has_part = True  # of a head; its time began with its first byte, or with the connection
            if self._asked:
                self._all.begins_head(self._place)

    async def _handle_request(self, *arguments: Any) -> Any:
        """aiohttp's, of each request and of what is none."""
        if self._all is None or self._place is None:
            return await super()._handle_request(*arguments)
        self._all.is_asked(self._place)
        try:
            return await super()._handle_request(*arguments)
        finally:
            self._all.has_answered(self._place)

    def pause_writing(self) -> None:
        """aiohttp's: the client takes nothing for now. Streams see to that themselves."""
        super().pause_writing()
        if self._all is not None and self._place is not None and not self._is_stream:
            self._all.stalls(self._place)

    def resume_writing(self) -> None:
        """aiohttp's: it does again."""
        super().resume_writing()
        if self._all is not None and self._place is not None:
            self._all.flows(self._place)

    def time_is_up(self, wait: Wait) -> None:
        """Tell the client, if it has asked for something, and hang up."""
        transport = self.transport
        if wait is Wait.BODY and self._request_in_progress and self._body is not None:
            self._body.set_exception(BodyTooLate())  # what reads it answers
            return
        if wait is Wait.HEAD and transport is not None and self._has_part:
            transport.write(written(ApiError(408, "REQUEST_TIMEOUT", "the head of the request did not come in time")))
            self._hang_up(transport)
            return
        self.make_room()

    def _hang_up(self, transport: asyncio.Transport) -> None:
        """Say nothing more, and drop what still comes for a moment: a reset would take the answer away."""
        if self._all is None or not transport.can_write_eof() or self._all.linger(transport) is None:
            self.force_close()
            return
        self._force_close = True
        transport.write_eof()

    def leaves(self) -> None:
        """A stream that only has to take its goodbye: another connection may have its place."""
        if self._all is not None and self._place is not None:
            self._all.has_answered(self._place)

    def make_room(self) -> None:
        """Hang up, whether or not the client reads what it was sent."""
        self.force_close()
        if self._place is not None:
            self._place.transport.abort()  # waits neither for what is unread, nor for a goodbye by TLS

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no request, and what no view or middleware caught, in the one shape; the connection ends."""
        if request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)  # too late to say anything
        if isinstance(exc, HttpProcessingError) and 400 <= status < 500:
            code = "INVALID_REQUEST" if status == 400 else HTTPStatus(status).name
            refusal = ApiError(status, code, f"this is not an HTTP request: {_reason(exc)}")
        else:
            self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
            code = "INTERNAL" if status == 500 else HTTPStatus(status).name
            refusal = ApiError(status, code, "unexpected error; see the server's log")
        response = error_response(refusal)
        response.headers.update(bare_headers())
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A fault of ours; a client's is of no interest but to who debugs."""
        if isinstance(kw.get("exc_info"), CLIENTS_FAULTS):
            self.log_debug(*args, **kw)
        else:
            super().log_exception(*args, **kw)


def written(error: ApiError) -> bytes:
    """A refusal as it goes over the wire, where there is no request that could be answered; the connection ends."""
    response = error_response(error)
    response.headers.update(bare_headers())
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}", "Connection: close"]
    body = response.body if isinstance(response.body, bytes) else b""
    lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name != "Content-Length"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _reason(error: HttpProcessingError) -> str:
    """The first line of aiohttp's reason: the others repeat what was sent."""
    first = (str(error.message).strip().splitlines() or [""])[0].rstrip(": ")
    return in_one_line(first, SAID_MAX)


web_server.RequestHandler = QuietHandler  # type: ignore[attr-defined]
# The header Expect is answered before any middleware, and where there is no route at all.
web_urldispatcher._default_expect_handler = expect_continue  # type: ignore[assignment]
