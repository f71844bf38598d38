"""Each request's id: in its answer and in what the log says of it. A client's own is kept."""

from __future__ import annotations

import os
import re

from aiohttp import web

REQUEST_ID = "X-Request-Id"
_KEY = web.RequestKey("exness-request-id", str)
_VALID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def new_request_id() -> str:
    """One that no other request has."""
    return os.urandom(8).hex()


def request_id_of(request: web.BaseRequest) -> str:
    """A client's own id when it gave a usable one, else one made here; the same for the whole request."""
    known = request.get(_KEY)
    if isinstance(known, str):
        return known
    given = request.headers.getall(REQUEST_ID, [])
    found = given[0] if len(given) == 1 and _VALID.fullmatch(given[0]) else new_request_id()
    request[_KEY] = found
    return found
