"""The OpenAPI 3.1 document: generated from the message types and the table of routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from exness_streams import __version__
from exness_streams.api.access.caller import COOKIE
from exness_streams.api.access.rate_limits import UNLIMITED
from exness_streams.api.api_view import ApiView
from exness_streams.api.errors import ApiError
from exness_streams.api.openapi.route_text import JSON, MEANINGS, TAGS, RouteText
from exness_streams.api.openapi.routes import ROUTE_TEXTS
from exness_streams.domain.rejections import Rejection, RejectionCode
from exness_streams.messages import ErrorMessage, json_encoder

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_SNAKE_CASE = re.compile(r"[a-z]+(?:_[a-z]+)+")
_NUMBER_IN_TEXT = r"^[0-9]{1,30}(\.[0-9]{1,18})?$"
_STATUS_OF_EDGE = {
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "PAYLOAD_TOO_LARGE": 413,
    "UPGRADE_REQUIRED": 426,
    "ACCOUNT_CHANGED": 409,
    "MAIL_UNAVAILABLE": 503,
    "NOT_READY": 503,
    "REBALANCING": 503,
    "RATE_LIMITED": 429,
    "OUTCOME_UNKNOWN": 504,
}
_ABOUT = """\
Money and prices are JSON numbers with their exact digits: read them as decimals, not as floats. Requests may send \
numbers, of at most 18 decimal places, or strings that hold them.

Every POST that changes an account takes an `Idempotency-Key`: the first outcome is answered again, also after a \
restart. A path that is not here answers 404 `NOT_FOUND`, a method that is not here 405 `METHOD_NOT_ALLOWED`, a header \
`Expect` other than `100-continue` 417 `EXPECTATION_FAILED`, in the one shape of all errors."""


class OpenApiView(ApiView):
    """GET /api/v1/openapi.json"""

    async def get(self, request: web.Request) -> web.Response:
        return web.Response(body=_encoded(), content_type=JSON)


@cache
def _encoded() -> bytes:
    return json_encoder.encode(openapi_document())


def openapi_document() -> Schema:
    """The whole document, JSON types only."""
    answers = _types(kind for text in ROUTE_TEXTS for kind in _answer_types(text))
    requests = _types(text.body for text in ROUTE_TEXTS if text.body is not None)
    schemas = _schemas([*answers, ErrorMessage], _as_answer) | _schemas(requests, _as_request)
    for text in ROUTE_TEXTS:
        if text.body is not None:
            schemas[text.body.__name__] |= text.body_rule
    paths: dict[str, Schema] = {}
    for text in ROUTE_TEXTS:
        paths.setdefault(text.path, {})[text.method.lower()] = _operation(text)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Exness Streams", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "security": [{}, {"bearer": []}, {"cookie": []}],
        "components": {
            "schemas": schemas,
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


_PARAMETERS: dict[str, Schema] = {
    "Account": {
        "name": "X-Account",
        "in": "header",
        "description": "The account to act for; one that is new begins with its own starting balance.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "default": "demo"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The client's name for this request: the request takes effect once, however often it is "
        "sent. An account remembers its newest 10,000.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
}
_SECURITY_SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A session's token, or an API key (exn_...)"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A session of a page"},
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


def _operation(text: RouteText) -> Schema:
    operation: Schema = {
        "operationId": text.name,
        "tags": [text.tag],
        "summary": text.summary,
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
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", text.path)
    ]
    if text.for_account:
        parameters.append({"$ref": "#/components/parameters/Account"})
    if text.body is not None:
        if text.keyed:
            parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
        operation["description"] = inspect.cleandoc(text.body.__doc__ or "")
        examples = {name: {"value": dict(value)} for name, value in text.examples.items()}
        content: Schema = {"schema": {"$ref": _REF.format(name=text.body.__name__)}}
        operation["requestBody"] = {"required": True, "content": {JSON: content | {"examples": examples}}}
    if parameters:
        operation["parameters"] = parameters
    if text.frames:  # OpenAPI has no word for it
        operation["x-frames"] = {"oneOf": [_shown(kind) for kind in text.frames]}
    return operation


def _without_words(schema: Mapping[str, Any]) -> Schema:
    return {name: value for name, value in schema.items() if name != "description"}


def _success(text: RouteText, status: int) -> Schema:
    response: Schema = {"description": text.summary}
    if text.path not in UNLIMITED:
        response["headers"] = {name: {"$ref": f"#/components/headers/{key}"} for name, key in _RATE_HEADERS.items()}
    content = {media: {"schema": _shown(kind)} for media, kind in _contents(text.answers[status]).items()}
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
    for code in (*text.refusals, *(() if text.path in UNLIMITED else ("RATE_LIMITED",))):
        codes.setdefault(status_of(code), []).append(code)
    return {str(status): _refusal(status, codes[status]) for status in sorted(codes)}


def _refusal(status: int, codes: list[str]) -> Schema:
    only: Schema = {"type": "object", "properties": {"error": {"enum": codes}}}
    response: Schema = {
        "description": "; ".join(f"`{code}`: {MEANINGS[code]}" for code in codes),
        "content": {JSON: {"schema": {"allOf": [{"$ref": _REF.format(name=ErrorMessage.__name__)}, only]}}},
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


def _shown(kind: Any) -> Schema:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _schemas(kinds: list[type[msgspec.Struct]], number: Any) -> Schema:
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {name: _mended(schema, number) for name, schema in components.items()}


def _mended(node: Any, number: Any) -> Any:
    """msgspec takes Decimal for a string, and docstrings with their indentation."""
    if isinstance(node, list):
        return [_mended(item, number) for item in node]
    if not isinstance(node, dict):
        return node
    mended = {name: _mended(value, number) for name, value in node.items()}
    if mended.get("format") == "decimal":
        return number(mended)
    if isinstance(mended.get("description"), str):
        mended["description"] = _in_their_names(inspect.cleandoc(mended["description"]), mended.get("properties", ()))
    return mended


def _in_their_names(description: str, properties: Iterable[str]) -> str:
    """Docstrings name fields as Python does; clients know them as JSON does."""
    names = {name.lower(): name for name in properties}
    return _SNAKE_CASE.sub(lambda word: names.get(word[0].replace("_", ""), word[0]), description)


def _as_answer(schema: Schema) -> Schema:
    number = {name: value for name, value in schema.items() if name != "format"} | {"type": "number"}
    return number | ({"default": msgspec.json.decode(number["default"])} if "default" in number else {})


def _as_request(schema: Schema) -> Schema:
    """A number, or a string that holds one."""
    number = {name: value for name, value in _as_answer(schema).items() if name != "pattern"}
    return {"anyOf": [number, {"type": "string", "pattern": schema.get("pattern", _NUMBER_IN_TEXT)}]}
