"""Errors of the API: one shape, a stable code, a sentence for a person; never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

import aiohttp
from aiohttp import web

from exness_streams.api.request_ids import request_id_of
from exness_streams.domain.instruments import Catalogue
from exness_streams.domain.nearest import nearest
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.plain_numbers import in_plain_digits
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import ErrorMessage, json_encoder
from exness_streams.transport.faults import LogFault

log = logging.getLogger(__name__)

RETRY_AFTER_S = "1"
SIGN_IN = {"WWW-Authenticate": "Bearer"}
FIELD_SHOWN_MAX = 64
"""Characters of a field's name that a complaint repeats."""

_STATUS_OF: dict[RejectionCode, int] = {
    RejectionCode.UNAUTHORIZED: 401,
    RejectionCode.FORBIDDEN: 403,
    RejectionCode.SESSION_NOT_FOUND: 404,
    RejectionCode.KEY_NOT_FOUND: 404,
    RejectionCode.POSITION_NOT_FOUND: 404,
    RejectionCode.ORDER_NOT_FOUND: 404,
    RejectionCode.IDEMPOTENCY_CONFLICT: 409,
    RejectionCode.PRICE_UNAVAILABLE: 503,
}
_WITH_NUMBERS = frozenset(
    {
        RejectionCode.INVALID_REQUEST,
        RejectionCode.INVALID_LEVERAGE,
        RejectionCode.INVALID_MARGIN,
        RejectionCode.INVALID_TRIGGER,
        RejectionCode.INSUFFICIENT_MARGIN,
        RejectionCode.SLIPPAGE_EXCEEDED,
        RejectionCode.LIMIT_REACHED,
    }
)
"""Whose words and details tell numbers. The fold's own details stay as they are, for they are remembered."""

_NAMES = frozenset({"field", "symbol", "order"})
"""Details that are none."""

_CODE_OF_STATUS = {413: "PAYLOAD_TOO_LARGE"}


class ApiError(Exception):
    """An answer other than success, raised anywhere in a view."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        details: dict[str, str | int | list[str]] | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.details = details or {}
        self.headers = headers or {}

    @classmethod
    def of(cls, rejection: Rejection, headers: dict[str, str] | None = None) -> ApiError:
        """The answer to a command that was rejected."""
        status = _STATUS_OF.get(rejection.code, 400)
        headers = (SIGN_IN | (headers or {})) if status == 401 else headers
        message, details = rejection.words, rejection.details
        if rejection.code in _WITH_NUMBERS:
            message = in_plain_digits(message)
            details = {
                name: in_plain_digits(said) if isinstance(said, str) and name not in _NAMES else said
                for name, said in details.items()
            }
        return cls(status, rejection.code.value, message, details, headers)


class BodyTooLate(Exception):
    """The rest of a body does not come."""


def invalid_request(field: str, message: str) -> ApiError:
    """400 about a field. message: what is wrong with it, a semicolon, and what is allowed instead."""
    return ApiError(400, RejectionCode.INVALID_REQUEST.value, message, {"field": field[:FIELD_SHOWN_MAX]})


def unknown_name(kind: str, name: str, accepted: Iterable[str]) -> ApiError:
    """400 for a field, or whatever kind it is, that a route does not know."""
    known = list(accepted)
    accepts = f"accepts: {', '.join(known)}" if known else f"accepts no {kind}s"
    said = f'unknown {kind} "{in_one_line(name, FIELD_SHOWN_MAX)}"; this route {accepts}'
    # One accepted name needs no hint.
    meant = nearest(name[:FIELD_SHOWN_MAX], known) if len(known) > 1 else None
    return invalid_request(name, said if meant is None else f'{said}. Did you mean "{meant}"?')


def unknown_asset(field: str, text: str, catalogue: Catalogue) -> ApiError:
    """400 for an instrument that is not on offer."""
    return _unknown(field, text, "on offer are", catalogue.assets)


def unknown_market(text: str, known: list[str]) -> ApiError:
    """400 for a market that is not there to be decided on. known: those on offer, and others with a state."""
    return _unknown("symbol", text, "there are", known)


def _unknown(field: str, text: str, what: str, names: list[str]) -> ApiError:
    words = f'unknown {field} "{in_one_line(text, FIELD_SHOWN_MAX)}"; {what}: {", ".join(names)}'
    return ApiError.of(Rejection(RejectionCode.UNKNOWN_ASSET, words, {"allowed": names}))


def error_response(error: ApiError) -> web.Response:
    """The error as JSON; Retry-After where trying again later makes sense."""
    headers = error.headers | ({"Retry-After": RETRY_AFTER_S} if error.status == 503 else {})
    body = json_encoder.encode(ErrorMessage(error.message, error.error, error.details))
    return web.Response(body=body, status=error.status, headers=headers, content_type="application/json")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer_to_failure(request: web.Request, failure: Exception) -> web.Response:
    """Every way of failing in the one shape. Called where it is caught; raises what is no failure, as a redirect."""
    match failure:
        case ApiError():
            return error_response(failure)
        case web.HTTPException():
            if failure.status < 400:
                raise failure
            code = _CODE_OF_STATUS.get(failure.status) or HTTPStatus(failure.status).name
            response = error_response(ApiError(failure.status, code, _sentence(request, failure)))
            if "Allow" in failure.headers:
                response.headers["Allow"] = failure.headers["Allow"]
            return response
        case BodyTooLate():
            late = error_response(ApiError(408, "REQUEST_TIMEOUT", "the body of the request did not come in time"))
            late.force_close()
            return late
        case web.RequestPayloadError():
            return error_response(invalid_request("body", f"the body could not be read: {in_one_line(failure)}"))
        case ConnectionError() | aiohttp.ClientConnectionError():
            # Nobody is there to read this, and nothing is wrong here.
            log.debug("%s %s: the client is gone: %r", request.method, in_one_line(request.path), failure)
            return error_response(
                ApiError(499, "CLIENT_GONE", "the connection was closed before the request was complete")
            )
        case LogFault():
            return error_response(ApiError(503, "NOT_READY", f"the request was not accepted: {in_one_line(failure)}"))
    known_as = request_id_of(request)
    log.error("%s %s failed (request %s)", request.method, in_one_line(request.path), known_as, exc_info=failure)
    return error_response(ApiError(500, "INTERNAL", "unexpected error; see the server's log"))


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Shapes what fails outside of the views: no such route or method, a stranger at the door."""
    try:
        return await handler(request)
    except Exception as failure:
        return answer_to_failure(request, failure)


async def expect_continue(request: web.Request) -> web.StreamResponse | None:
    """Answers the header Expect. aiohttp does so before any middleware, so refusals are shaped here."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
        return None
    return error_response(ApiError(417, "EXPECTATION_FAILED", "Expect may only be 100-continue"))


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"there is nothing at {in_one_line(request.path)}"
    if error.status == 405:
        return f"{request.method} is not allowed here"
    if error.status == 413:
        return "the body may be at most 16 KB"
    return in_one_line(error.reason)
