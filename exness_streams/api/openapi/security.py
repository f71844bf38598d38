"""Who may ask, in the words of OpenAPI: sessions of pages and programs, and API keys."""

from __future__ import annotations

from typing import Any

from exness_streams.api.access.caller import COOKIE
from exness_streams.api.openapi.route_text import RouteText

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A session of a page"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session of a program: the token of its sign-in"},
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "exn_...",
        "description": "An API key; with the scope `read` it changes nothing",
    },
}
NOBODY: dict[str, list[str]] = {}
"""No credential: a platform without sign-in takes it for an account of its own (X-Account)."""

BY_ANYBODY: list[dict[str, list[str]]] = [NOBODY, {"session": []}, {"bearer": []}, {"apiKey": []}]
_BY_SESSIONS: list[dict[str, list[str]]] = [NOBODY, {"session": []}, {"bearer": []}]


def security_of(text: RouteText) -> list[dict[str, list[str]]]:
    """Who may use an operation; an empty list: it asks for nobody."""
    if text.is_public:
        return []
    return BY_ANYBODY if text.for_keys else _BY_SESSIONS
