"""The OpenAPI 3.1 document: generated from the message types and the table of routes."""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from exness_streams import __version__
from exness_streams.api.access.rate_limits import UNLIMITED
from exness_streams.api.api_view import ApiView
from exness_streams.api.errors import ApiError
from exness_streams.api.number_form import PARAMETER, form_now
from exness_streams.api.openapi.route_text import JSON, MEANINGS, TAGS, RouteText
from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.api.openapi.schemas import REF, Schema, answer_schemas, holds_decimals, request_schemas, shown
from exness_streams.api.openapi.security import BY_ANYBODY, SECURITY_SCHEMES, security_of
from exness_streams.domain.plain_numbers import Form
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import ErrorMessage, json_encoder

LOCAL = "http://127.0.0.1:4000"
"""Where a platform is reached on the machine that runs it, unless told otherwise."""

_STATUS_OF_EDGE = {
    "INVALID_PRICE": 400,
    "REQUEST_TIMEOUT": 408,
    "MISDIRECTED_REQUEST": 421,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "PAYLOAD_TOO_LARGE": 413,
    "UPGRADE_REQUIRED": 426,
    "ACCOUNT_CHANGED": 409,
    "MARKET_SETTLED": 409,
    "MAIL_UNAVAILABLE": 503,
    "NOT_READY": 503,
    "REBALANCING": 503,
    "OVERLOADED": 503,
    "RATE_LIMITED": 429,
    "OUTCOME_UNKNOWN": 504,
}
_ABOUT = """\
Money and prices are JSON numbers with their exact digits: read them as decimals, not as floats, or ask for strings \
with `?numbers=string` or `Prefer: numbers=string`. `/api/v1/openapi.json?numbers=string` is this document with such \
answers, for generators. Requests may send numbers, of at most 18 decimal places (amounts of USD and quantities 8), or \
strings that hold them.

Every POST that changes an account takes an `Idempotency-Key`: the first outcome is answered again, also after a \
restart. A path that is not here answers 404 `NOT_FOUND`, a method that is not here 405 `METHOD_NOT_ALLOWED`, a header \
`Expect` other than `100-continue` 417 `EXPECTATION_FAILED`, in the one shape of all errors."""


class OpenApiView(ApiView):
    """GET /api/v1/openapi.json"""

    def __init__(self, app: Any, web_server: Any, scheme: str = "http") -> None:
        """scheme: under which the platform is reached."""
        super().__init__(app, web_server)
        self._scheme = scheme

    async def get(self, request: web.Request) -> web.Response:
        """The document, with this server first. numbers=string: that of answers whose decimals are strings."""
        own = {"servers": _servers(f"{self._scheme}://{request.host}")}
        return web.Response(body=json_encoder.encode(_generated(form_now()) | own), content_type=JSON)


@cache
def _generated(form: Form) -> Schema:
    return openapi_document(form)


def _servers(url: str) -> list[Schema]:
    return [{"url": url, "description": "The platform that this document describes"}]


def openapi_document(form: Form = "number") -> Schema:
    """The whole document, JSON types only. form: of the decimals in its answers."""
    answers = _types(kind for text in ROUTE_TEXTS for kind in _answer_types(text))
    requests = _types(text.body for text in ROUTE_TEXTS if text.body is not None)
    schemas = answer_schemas([*answers, ErrorMessage], form) | request_schemas(requests)
    for text in ROUTE_TEXTS:
        if text.body is not None:
            schemas[text.body.__name__] |= text.body_rule
    paths: dict[str, Schema] = {}
    for text in ROUTE_TEXTS:
        paths.setdefault(text.path, {})[text.method.lower()] = _operation(text, form)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Exness Streams",
            "version": __version__,
            "description": _ABOUT,
            "contact": {"name": "The operators of this platform"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": _servers(LOCAL),
        "tags": [{"name": name, "description": about} for name, about in sorted(TAGS.items())],
        "paths": paths,
        "security": BY_ANYBODY,
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


_PARAMETERS: dict[str, Schema] = {
    "Account": {
        "name": "X-Account",
        "in": "header",
        "description": "The account to act for; one that is new begins with its own starting balance.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "default": "demo"},
    },
}
_STRINGS: Schema = {
    "name": PARAMETER,
    "in": "query",
    "required": True,
    "description": "Decimals as strings, which programs without decimals read exactly",
    "schema": {"type": "string", "enum": ["string"]},
}


def _idempotency_key(operation: str) -> Schema:
    """Each operation's with an example of its own: a program that sends one example everywhere means one request."""
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The client's name for this request, a new one for each, such as a UUID: the request takes "
        "effect once, however often it is sent. An account remembers its newest 10,000.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        "example": f"{operation}-{uuid.uuid5(uuid.NAMESPACE_OID, operation)}",
    }


_HEADERS: dict[str, Schema] = {
    "RetryAfter": {"description": "Seconds", "required": True, "schema": {"type": "integer"}},
    "RateLimitLimit": {"description": "Requests in a window", "schema": {"type": "integer"}},
    "RateLimitRemaining": {"description": "What is left of them", "schema": {"type": "integer"}},
    "RateLimitReset": {"description": "Seconds until all are allowed again", "schema": {"type": "integer"}},
    "IdempotentReplayed": {
        "description": "Present if this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "const": "true"},
    },
}


_RATE_HEADERS = {
    "RateLimit-Limit": "RateLimitLimit",
    "RateLimit-Remaining": "RateLimitRemaining",
    "RateLimit-Reset": "RateLimitReset",
}


def _operation(text: RouteText, form: Form) -> Schema:
    operation: Schema = {
        "operationId": text.name,
        "tags": [text.tag],
        "summary": text.summary,
        "description": _description(text),
        "security": security_of(text),
        "responses": {str(status): _success(text, status) for status in text.answers} | _refusals(text),
    }
    parameters: list[Schema] = [
        {
            "name": name,
            "in": "query",
            "description": schema.get("description", ""),
            "schema": _without_words(schema),
            "required": name in text.required,
        }
        for name, schema in text.query.items()
    ]
    parameters += [
        {"name": name, "in": "path", "required": True, "description": "As listed", "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", text.path)
    ]
    if form == "string" and PARAMETER not in text.query and holds_decimals(_types(_answer_types(text))):
        parameters.append(_STRINGS)
    if text.for_account:
        parameters.append({"$ref": "#/components/parameters/Account"})
    if text.body is not None:
        if text.keyed:
            parameters.append(_idempotency_key(text.name))
        examples = {name: {"value": dict(value)} for name, value in text.examples.items()}
        content: Schema = {"schema": {"$ref": REF.format(name=text.body.__name__)}}
        operation["requestBody"] = {"required": True, "content": {JSON: content | {"examples": examples}}}
    if parameters:
        operation["parameters"] = parameters
    if text.frames:  # OpenAPI has no word for it
        operation["x-frames"] = {"oneOf": [shown(kind) for kind in text.frames]}
    return operation


def _description(text: RouteText) -> str:
    """What is sent, or what is answered."""
    kind: Any = text.body or next(iter(_contents(next(iter(text.answers.values()))).values()), None)
    about = inspect.cleandoc(kind.__doc__ or "") if kind in _types([kind]) else ""
    return about or f"{text.summary}."


def _without_words(schema: Mapping[str, Any]) -> Schema:
    return {name: value for name, value in schema.items() if name != "description"}


def _success(text: RouteText, status: int) -> Schema:
    response: Schema = {"description": text.summary}
    if text.path not in UNLIMITED:
        response["headers"] = {name: {"$ref": f"#/components/headers/{key}"} for name, key in _RATE_HEADERS.items()}
    content = {media: {"schema": shown(kind)} for media, kind in _contents(text.answers[status]).items()}
    if content:
        response["content"] = content
    if text.body is not None and text.keyed:
        response["headers"] |= {"Idempotent-Replayed": {"$ref": "#/components/headers/IdempotentReplayed"}}
    if status == 503:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    if text.links:
        response["links"] = {
            name: {
                "operationId": name,
                "parameters": {"header.X-Account": "$request.header.X-Account"},
                "requestBody": {field: f"$response.body#/{source}"},
            }
            for name, (field, source) in text.links.items()
        }
    return response


def _refusals(text: RouteText) -> dict[str, Schema]:
    codes: dict[int, list[str]] = {}
    always = ("INVALID_REQUEST", "MISDIRECTED_REQUEST", *(() if text.path in UNLIMITED else ("RATE_LIMITED",)))
    of_a_body = () if text.body is None else ("REQUEST_TIMEOUT",)
    for code in dict.fromkeys((*text.refusals, *of_a_body, *always)):
        if status_of(code) not in text.answers:  # one that is described as an answer has its own shape
            codes.setdefault(status_of(code), []).append(code)
    return {str(status): _refusal(status, codes[status]) for status in sorted(codes)}


def _refusal(status: int, codes: list[str]) -> Schema:
    only: Schema = {"type": "object", "properties": {"error": {"enum": codes}}}
    response: Schema = {
        "description": "; ".join(f"`{code}`: {MEANINGS[code]}" for code in codes),
        "content": {JSON: {"schema": {"allOf": [{"$ref": REF.format(name=ErrorMessage.__name__)}, only]}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    if status == 429:
        response["headers"] |= {name: {"$ref": f"#/components/headers/{key}"} for name, key in _RATE_HEADERS.items()}
    return response


def status_of(code: str) -> int:
    """The status under which a refusal is answered."""
    if code in _STATUS_OF_EDGE:
        return _STATUS_OF_EDGE[code]
    return ApiError.of(Rejection(RejectionCode(code), "")).status


def _contents(answer: Any) -> Mapping[str, Any]:
    if answer is None:
        return {}
    return answer if isinstance(answer, dict) else {JSON: answer}


def _answer_types(text: RouteText) -> Iterable[Any]:
    yield from text.frames
    for answer in text.answers.values():
        yield from _contents(answer).values()


def _types(kinds: Iterable[Any]) -> list[type[msgspec.Struct]]:
    return list(dict.fromkeys(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)))
