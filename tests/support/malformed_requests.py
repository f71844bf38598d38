"""Requests that no route can take, made from the OpenAPI document: each with the statuses that are right for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
NO_ID = "nothing"
NEEDS_SESSION = ("/keys", "/sessions", "/operator/")
"""Parts of paths that answer 401 or 403 to who has not signed in, whatever was sent."""
WRONG_NUMBERS = [
    "NaN", "1e400", "-1", "0", "-0", '"abc"', '"1,5"', '""', "true", "[1]", "{}", '"0x10"', "1e-300", "9" * 40,
    '"\u0661"', '"1e5"',
]  # fmt: skip
WRONG_TEXTS = ["1", "true", "[]", "{}", '""', '"' + "x" * 300 + '"', '"\\ud800"']
WRONG_WORDS = ['"LONG"', '"buy"', '" long"', "0", "[]", '""', "true", '"long\\u0000"']
NO_OBJECTS = [
    b"", b"null", b"[]", b"1", b'"x"', b"{", b"{]", b"\xff\xfe", b"{} {}", b"[" * 3000, b"{'a':1}", b'{"a":1,}',
]  # fmt: skip
WRONG_TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json", "text/json",
]  # fmt: skip
WRONG_ACCOUNTS = ["", " ", "a b", "a" * 65, "\u00e4", "a/b", "../demo", "a;b", "null\x00"]
WRONG_KEYS = ["", " ", "a b", "k" * 129, "\u00e4", "\t"]
WRONG_QUERIES = [
    "limit=0", "limit=-1", "limit=1e3", "limit=99999", "limit=", "cursor=%00", "cursor=x", "interval=7m", "interval=",
    "limit=1&limit=2", "symbol=%ff", "nothing=1", "numbers=x", "Limit=1",
]  # fmt: skip
WRONG_PATHS = ["{}/", "/{}", "{}%00", "{}.json", "{}/x", "{}%2f", "/api{}", "{};a"]
FOR_EVERYBODY = {
    "/ws", "/", "/metrics", "/livez", "/readyz", "/api/v1/openapi.json", "/api/v1/asyncapi.json", "/api/v1/markets",
}  # fmt: skip
"""Of no account, whatever a header says."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"]


@dataclass(frozen=True)
class Malformed:
    """A request, and the statuses of which it must get one."""

    what: str
    method: str
    path: str
    content: bytes
    headers: Mapping[str, str]
    statuses: frozenset[int]


@dataclass(frozen=True)
class _Operation:
    method: str
    path: str
    schema: Mapping[str, Any] | None
    example: Mapping[str, Any]
    query: frozenset[str]
    needs: frozenset[str] = field(default_factory=frozenset)


class MalformedRequests:
    """Makes them, in the order of a random generator."""

    def __init__(self, document: Mapping[str, Any], rng: random.Random) -> None:
        self._rng = rng
        self._schemas = document["components"]["schemas"]
        self._methods_of = {
            path.replace("{id}", NO_ID): {name.upper() for name in found} for path, found in document["paths"].items()
        }
        self._operations = [
            self._operation(method.upper(), path.replace("{id}", NO_ID), found)
            for path, operations in document["paths"].items()
            for method, found in operations.items()
            if path not in FOR_EVERYBODY
        ]
        self._with_body = [one for one in self._operations if one.schema is not None]
        self._readers = [one for one in self._operations if one.method == "GET"]
        self._kinds: list[Callable[[], Malformed]] = [
            self._no_object, self._wrong_field, self._wrong_field, self._wrong_field, self._missing, self._unknown,
            self._wrong_type, self._packed, self._too_long, self._account, self._key, self._query, self._method,
            self._path,
        ]  # fmt: skip

    def next(self) -> Malformed:
        """One more."""
        return self._rng.choice(self._kinds)()

    def _operation(self, method: str, path: str, found: Mapping[str, Any]) -> _Operation:
        content = found.get("requestBody", {}).get("content", {}).get(JSON)
        query = frozenset(one["name"] for one in found.get("parameters", ()) if one.get("in") == "query")
        needs = frozenset(
            one["name"] for one in found.get("parameters", ()) if one.get("in") == "query" and one.get("required")
        )
        if content is None:
            return _Operation(method, path, None, {}, query, needs)
        schema = content["schema"]
        schema = self._schemas[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
        example = next(iter(content.get("examples", {}).values()), {"value": {}})["value"]
        return _Operation(method, path, schema, example, query, needs)

    def _send(
        self, what: str, operation: _Operation, body: bytes | Mapping[str, bytes], *statuses: int, **headers: str
    ) -> Malformed:
        if not isinstance(body, bytes):
            body = b"{" + b",".join(json.dumps(name).encode() + b":" + raw for name, raw in body.items()) + b"}"
        if any(part in operation.path for part in NEEDS_SESSION):
            statuses = (*statuses, 401, 403)
        named = {"Content-Type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
        return Malformed(what, operation.method, operation.path, body, named, frozenset(statuses))

    def _body(self, operation: _Operation) -> dict[str, bytes]:
        """The example's, as its fields are written; it would be accepted, or refused for what it names."""
        return {name: json.dumps(value).encode() for name, value in operation.example.items()}

    def _no_object(self) -> Malformed:
        operation = self._rng.choice(self._with_body)
        return self._send("no object", operation, self._rng.choice(NO_OBJECTS), 400)

    def _wrong_field(self) -> Malformed:
        operation = self._rng.choice([one for one in self._with_body if one.example])
        body = self._body(operation)
        name = self._rng.choice(list(body))
        wrong = self._rng.choice(self._wrong_values(operation, name))
        return self._send(f"{name}={wrong}", operation, body | {name: wrong.encode()}, 400)

    def _wrong_values(self, operation: _Operation, name: str) -> list[str]:
        value = operation.example[name]
        if name in ("type", "kind", "confirm"):
            return WRONG_WORDS
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            return WRONG_TEXTS
        return WRONG_NUMBERS

    def _missing(self) -> Malformed:
        found = [one for one in self._with_body if one.schema is not None and one.schema.get("required")]
        operation = self._rng.choice(found)
        name = self._rng.choice(list((operation.schema or {})["required"]))
        body = self._body(operation)
        if self._rng.random() < 0.5:
            body.pop(name, None)
        else:
            body[name] = b"null"
        return self._send(f"no {name}", operation, body, 400)

    def _unknown(self) -> Malformed:
        operation = self._rng.choice(self._with_body)
        names = ["Margin", "margin ", "extra", "", "__proto__", "accountId", "balance", "\u0000", "m" * 200]
        body = {self._rng.choice(names): b"1"} | self._body(operation)
        return self._send("unknown field", operation, body, 400)

    def _wrong_type(self) -> Malformed:
        operation = self._rng.choice(self._with_body)
        kind = self._rng.choice(WRONG_TYPES)
        return self._send(f"type {kind}", operation, self._body(operation), 415, Content_Type=kind)

    def _packed(self) -> Malformed:
        operation = self._rng.choice(self._with_body)
        coding = self._rng.choice(["gzip", "deflate", "br", "x", "gzip, identity"])
        return self._send(f"coding {coding}", operation, self._body(operation), 415, Content_Encoding=coding)

    def _too_long(self) -> Malformed:
        operation = self._rng.choice(self._with_body)
        return self._send("too long", operation, self._body(operation) | {"x": b'"%s"' % (b"x" * 17_000)}, 413)

    def _account(self) -> Malformed:
        ways = [one for one in self._operations if not any(part in one.path for part in ("candles", "/auth/"))]
        operation = self._rng.choice(ways)
        account = self._rng.choice(WRONG_ACCOUNTS)
        return self._send(f"account {account!r}", operation, self._body(operation), 400, X_Account=account)

    def _key(self) -> Malformed:
        operation = self._rng.choice([one for one in self._with_body if one.example and "/auth/" not in one.path])
        key = self._rng.choice(WRONG_KEYS)
        return self._send(f"key {key!r}", operation, self._body(operation), 400, Idempotency_Key=key)

    def _query(self) -> Malformed:
        operation = self._rng.choice([one for one in self._readers if one.query])
        wrong = self._rng.choice(WRONG_QUERIES)
        sent = self._send(wrong, operation, b"", 400)
        asked = "&".join([*(f"{name}=SOL" for name in operation.needs if not wrong.startswith(name)), wrong])
        return Malformed(wrong, "GET", f"{operation.path}?{asked}", b"", sent.headers, sent.statuses)

    def _method(self) -> Malformed:
        operation = self._rng.choice(self._operations)
        known = self._methods_of[operation.path] | ({"HEAD"} if "GET" in self._methods_of[operation.path] else set())
        method = self._rng.choice([one for one in METHODS if one not in known])
        return Malformed(f"{method}", method, operation.path, b"", {}, frozenset({405}))

    def _path(self) -> Malformed:
        operation = self._rng.choice(self._operations)
        wrong = self._rng.choice(["{}/", "/{}", "{}%00", "{}.json", "{}/x", "{}%2f", "/api{}", "{};a"]).format(
            operation.path
        )
        statuses = {404, 401, 403, 405} if any(part in operation.path for part in NEEDS_SESSION) else {404}
        return Malformed(wrong, operation.method, wrong, b"", {"Content-Type": JSON}, frozenset(statuses))
