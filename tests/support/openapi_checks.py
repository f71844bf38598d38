"""A check of our own for schemathesis: SCHEMATHESIS_HOOKS names this module.

schemathesis' own judge each case by how it was made; this one by what was sent, whoever made it.
"""

from __future__ import annotations

import itertools
import json
import re
from functools import cache
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from exness_streams.api.openapi.document import openapi_document

KEY = re.compile(r"[!-~]{1,128}")
BEYOND_A_SCHEMA = (
    "decimal places",  # of numbers: multipleOf does not work on floats
    "a finite number",  # 1e-300 is one, but nobody's slippage
    "a JSON object in UTF-8",  # half of a surrogate pair
    "expiresAt must lie in the future",
    "the position's quantity",
    "not an e-mail address",
    "not a sign-in link",
    '"expiresAt" is over',
    "the nextCursor of an earlier answer",
    "X-Account does not name",
    "Idempotency-Key is not",
)


@cache
def validator_of(method: str, path: str) -> Any:
    """Knows which bodies an operation describes; None for an operation without one."""
    document = openapi_document()
    operation = document["paths"][path].get(method.lower(), {})
    if "requestBody" not in operation:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


_cases = itertools.count()


@schemathesis.hook
def before_call(ctx: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Keys of their own for four cases of five: under one that was used, nothing is looked at but the key."""
    number = next(_cases)
    if number % 5 and case.headers and KEY.fullmatch(str(case.headers.get("Idempotency-Key", ""))):
        case.headers["Idempotency-Key"] = f"case-{number}"


@schemathesis.check
def bodies_are_judged_as_described(ctx: CheckContext, response: Response, case: Case) -> bool | None:
    """A body that does not fit is refused; one that fits may be refused by the rules of trading, not as malformed."""
    validator = validator_of(case.method, case.path)
    content = response.request.body
    if validator is None or not content or response.request.headers.get("Content-Type") != "application/json":
        return None
    try:
        body = json.loads(content)
    except ValueError:
        assert 400 <= response.status_code < 500, "it is no JSON, and was accepted"
        return None
    if not validator.is_valid(body):
        assert 400 <= response.status_code < 500, f"it does not fit the document, yet: {response.status_code}"
    elif response.status_code == 400:
        refused = response.json()
        understood = refused["error"] != "INVALID_REQUEST" or any(why in refused["message"] for why in BEYOND_A_SCHEMA)
        assert understood, f"it fits the document, yet: {refused['message']}"
    return None
