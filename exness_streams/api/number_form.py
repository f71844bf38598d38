"""How a request wants the decimals of its answer: `?numbers=string`, or `Prefer: numbers=string` (RFC 7240).

A view answers with json_response, far from its request, so the form goes with the context that answers it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from types import TracebackType

from aiohttp import hdrs, web

from exness_streams.api.errors import invalid_request
from exness_streams.domain.plain_numbers import Form

PARAMETER = "numbers"
PREFER = "Prefer"
APPLIED = "Preference-Applied"

_PREFERENCE = re.compile(r'\s*([\w!#$%&\'*+.^`|~-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s;,"]*)))?\s*(?:;[^,]*)?', re.ASCII)
_form: ContextVar[Form] = ContextVar("number_form", default="number")


def form_now() -> Form:
    """That of the request which is answered now."""
    return _form.get()


def form_asked(request: web.Request) -> Form:
    """400 for a query parameter that is neither; a preference that is not known is none (RFC 7240)."""
    asked = request.query.get(PARAMETER)
    if asked is None:
        return _preferred(request) or "number"
    if asked not in ("number", "string"):
        raise invalid_request(PARAMETER, 'unknown value of "numbers"; give number or string')
    return "string" if asked == "string" else "number"


def _preferred(request: web.Request) -> Form | None:
    if PREFER not in request.headers:
        return None
    for preference in ",".join(request.headers.getall(PREFER, [])).split(","):
        found = _PREFERENCE.fullmatch(preference)
        if found is not None and found[1].lower() == PARAMETER:  # of two, the first counts
            said = (found[2] or found[3] or "").lower()
            return "string" if said == "string" else "number" if said == "number" else None
    return None


class answering:  # noqa: N801 - a context manager, read as a verb
    """Within, messages are encoded in this form."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def __enter__(self) -> None:
        self._token = _form.set(self._form)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _form.reset(self._token)


def say_so(request: web.Request, response: web.StreamResponse) -> None:
    """That the answer depends on Prefer, and whether it was done."""
    if response.prepared:
        return
    headers = response.headers
    varies = headers.get(hdrs.VARY, "")
    if PREFER not in varies:
        headers[hdrs.VARY] = f"{varies}, {PREFER}" if varies else PREFER
    if PARAMETER not in request.query and response.status < 400 and (form := _preferred(request)) is not None:
        headers[APPLIED] = f"numbers={form}"
