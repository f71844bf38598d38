"""Answers: messages as JSON, and what a client is told of its command."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from exness_streams.api import presenter
from exness_streams.api.errors import ApiError
from exness_streams.api.number_form import form_now
from exness_streams.domain.codec import Outcome, PositionsClosed
from exness_streams.domain.events import (
    AccountReset,
    Deposited,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionModified,
    PositionOpened,
)
from exness_streams.domain.identity import KeyCreated, KeyRevoked, SessionsEnded, SessionStarted
from exness_streams.domain.outcomes import is_transient
from exness_streams.domain.plain_numbers import encoders
from exness_streams.domain.rejections import Rejection, RejectionCode


def json_response(message: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A message as JSON with exact numbers, in the form that the request asked for."""
    content = encoders[form_now()].encode(message)
    return web.Response(body=content, status=status, headers=headers, content_type="application/json")


def answer(outcome: Outcome, *, repeated: bool) -> web.Response:
    """What the client is told of its command's outcome."""
    headers = {"Idempotent-Replayed": "true"} if repeated else None
    if isinstance(outcome, Rejection):
        # A conflict is about this request, not the answer to an earlier one.
        is_first = outcome.code is RejectionCode.IDEMPOTENCY_CONFLICT
        raise ApiError.of(outcome, None if is_first else headers)
    if isinstance(outcome, PositionsClosed) and is_transient(outcome):
        raise ApiError.of(_nothing_closed(outcome))
    created = isinstance(outcome, PositionOpened | OrderPlaced | OrderFilled)
    return json_response(_message_of(outcome), 201 if created else 200, headers)


def _nothing_closed(outcome: PositionsClosed) -> Rejection:
    """No position had a market: as with a single close the key stays free, so the client is told to come again."""
    return Rejection(
        RejectionCode.PRICE_UNAVAILABLE, details={"positions": [result.position_id for result in outcome.results]}
    )


def _message_of(outcome: Outcome) -> Any:
    match outcome:
        case PositionOpened() | PositionModified():
            return presenter.standing_message(outcome)
        case PositionClosed():
            return presenter.closed_message(outcome)
        case PositionsClosed():
            return presenter.close_all_message(outcome)
        case Deposited() | AccountReset():
            return presenter.balance_message(outcome)
        case Rejection():
            raise TypeError("a rejection is raised, not returned")
        case SessionStarted() | SessionsEnded() | KeyCreated() | KeyRevoked():
            raise TypeError("what changes access is answered by its own view")
    return presenter.order_event_message(outcome)
