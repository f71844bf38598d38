"""Reading requests: strict, exact, and every error names its field."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from aiohttp import web

from exness_streams.api.errors import FIELD_SHOWN_MAX, ApiError, invalid_request, unknown_name
from exness_streams.api.number_form import PARAMETER
from exness_streams.domain.commands import IdempotencyKey
from exness_streams.domain.money import AMOUNT_MAX, DECIMAL_COMMA, canonical, has_decimal_comma
from exness_streams.domain.outside_text import in_one_line
from exness_streams.domain.plain_numbers import plain

DECIMAL_PLACES_MAX = 18
TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999."""

Word = TypeVar("Word", bound=str)

_NUMBER = re.compile(rb"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?")
_NUMBER_WITH_COMMA = re.compile(rb"[:\[]\s*-?[0-9]+,[0-9]")
_NUMBER_IN_STRING = re.compile(rb'"(-?\d{1,30}(?:\.\d{1,30})?)"')
_EXPONENT_IN_STRING = re.compile(rb'"-?\d{1,30}(?:\.\d{1,30})?[eE][+-]?\d{1,9}"')
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_NUMBER_ALLOWED = 'a number, or a string that holds one, such as 100 or "100.50"'
_WRITTEN_OUT = 'an exponent is not read in a string, write the digits out as in "0.00000098"'
_DIGITS = re.compile(r"[0-9]{1,6}")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Body:
    """A JSON object whose fields are read one by one."""

    def __init__(self, fields: dict[str, msgspec.Raw], repeated: str | None = None) -> None:
        """repeated: a name that an object of the body has more than once."""
        self._fields = {name: bytes(raw) for name, raw in fields.items()}
        self._repeated = repeated

    def only(self, known: tuple[str, ...]) -> None:
        """400 when there is a field that this route does not know, or one twice: nothing must be overlooked."""
        if self._repeated is not None:
            name = in_one_line(self._repeated, FIELD_SHOWN_MAX)
            raise invalid_request(self._repeated, f'"{name}" is given more than once; send each field once')
        for name in self._fields:
            if name not in known:
                raise unknown_name("field", name, known)

    def mentions(self, name: str) -> bool:
        """Whether a field is there, be it null."""
        return name in self._fields

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._fields.get(name, b"null") != b"null"

    def text(self, name: str, length_max: int = 128) -> str:
        """A required string."""
        raw = self._required(name, allowed := f"a string of 1 to {length_max} characters")
        try:
            value = _decode_text(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            value = ""
        if not 1 <= len(value) <= length_max:
            raise invalid_request(name, f'"{name}" is not {allowed}')
        return value

    def texts(self, name: str, allowed: tuple[Word, ...]) -> list[Word]:
        """A required list of one or more strings of a few, each once."""
        words = "a list of " + " or ".join(f'"{word}"' for word in allowed) + ", each once"
        raw = self._required(name, words)
        try:
            found = _decode_texts(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = []
        if not found or len(set(found)) != len(found) or not set(found) <= set(allowed):
            raise invalid_request(name, f'"{name}" is not {words}')
        return [word for word in allowed if word in found]

    def choice(self, name: str, allowed: tuple[Word, ...]) -> Word:
        """A required string, one of a few."""
        raw = self._required(name, words := " or ".join(f'"{word}"' for word in allowed))
        for word in allowed:
            if raw == b'"%s"' % word.encode():
                return word
        raise invalid_request(name, f'unknown value of "{name}"; send {words}')

    def time_ms(self, name: str) -> Decimal:
        """Milliseconds since the epoch: a whole number."""
        value = self.number(name)
        if value != value.to_integral_value() or not 0 < value <= TIME_MS_MAX:
            allowed = f"send whole milliseconds since the epoch, at most {TIME_MS_MAX}"
            raise invalid_request(name, f'"{name}" is not a time; {allowed}')
        return value

    def number(self, name: str, places_max: int = DECIMAL_PLACES_MAX, at_most: Decimal = AMOUNT_MAX) -> Decimal:
        """A required number, exact: a JSON number, or a string that holds one. Never rounded."""
        raw = self._required(name, _NUMBER_ALLOWED)
        quoted = _NUMBER_IN_STRING.fullmatch(raw)
        digits = quoted.group(1) if quoted else raw
        if not _NUMBER.fullmatch(digits):
            allowed = DECIMAL_COMMA if _has_decimal_comma(raw) else f"send {_NUMBER_ALLOWED}"
            if _EXPONENT_IN_STRING.fullmatch(raw):
                allowed = _WRITTEN_OUT
            raise invalid_request(name, f'"{name}" is not a finite number; {allowed}')
        value = Decimal(digits.decode())
        if abs(value) > at_most:
            return value  # out of any range: the rule for this field says it in its own words
        value = canonical(value)
        if not digits.isdigit() and -_exponent(value) > places_max:
            raise _too_many_places(name, places_max)
        return value

    def required_number(
        self,
        name: str,
        *,
        above: Decimal | None = None,
        at_least: Decimal | None = None,
        at_most: Decimal = AMOUNT_MAX,
        places_max: int = DECIMAL_PLACES_MAX,
    ) -> Decimal:
        """A number within limits."""
        value = self.number(name, places_max, at_most)
        if above is not None and not above < value <= at_most:
            raise _out_of_range(name, f"above {above} and at most {plain(at_most)}")
        if at_least is not None and not at_least <= value <= at_most:
            raise _out_of_range(name, f"from {at_least} to {plain(at_most)}")
        return value

    def _required(self, name: str, allowed: str) -> bytes:
        raw = self._fields.get(name, b"null")
        if raw == b"null":
            raise invalid_request(name, f'missing field "{name}"; send {allowed}')
        return raw

    def fingerprint(self, path: str) -> str:
        """Digest of route and fields: equal for a repeat, whatever its white space and order."""
        digest = hashlib.sha256(path.encode())
        for name, raw in sorted(self._fields.items()):
            digest.update(b"\0" + name.encode() + b"\0" + raw)
        return digest.hexdigest()[:32]


def _out_of_range(name: str, allowed: str) -> ApiError:
    return invalid_request(name, f'"{name}" is out of range; send a number {allowed}')


def _too_many_places(name: str, places_max: int) -> ApiError:
    return invalid_request(name, f'"{name}" has too many decimal places; send at most {places_max}')


def _has_decimal_comma(raw: bytes) -> bool:
    return has_decimal_comma(raw.strip(b'"').decode("utf-8", "replace"))


def _exponent(value: Decimal) -> int:
    return cast(int, value.as_tuple().exponent)  # of a number; infinities and NaN have a letter there


def body_of(fields: dict[str, str]) -> Body:
    """Texts that came in another way, such as a query, as if they were a body."""
    return Body({name: msgspec.Raw(msgspec.json.encode(text)) for name, text in fields.items()})


async def read_body(request: web.Request) -> Body:
    """The request's JSON object. 415, 413 or 400 when it has none."""
    if request.content_type != "application/json":
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "send the body as JSON, with Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "send the body as it is, without Content-Encoding")
    refuse_long(request)
    content = await request.read()
    try:
        fields, text = _decode_object(content), content.decode()
        # As many colons as fields: no member is inside of another, or there twice.
        return Body(fields, None if text.count(":") == len(fields) else repeated_name(text))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        comma = f"; {DECIMAL_COMMA}" if _NUMBER_WITH_COMMA.search(content) else ""
        raise invalid_request("body", f"the body is not a JSON object in UTF-8{comma}") from None


def repeated_name(content: str) -> str | None:
    """A name that some object of a JSON text has more than once, at any depth: readers differ in which one counts."""
    found: list[str] = []

    def look(members: list[tuple[str, Any]]) -> None:
        if len(members) > 1:
            found.extend(name for name, times in Counter(name for name, _ in members).items() if times > 1)

    json.loads(content, object_pairs_hook=look, parse_int=str, parse_float=str)
    return found[0] if found else None


def refuse_long(request: web.Request) -> None:
    """413 for a body that says itself that it is too long: nobody waits for it. Others are counted while they come."""
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)


def only_known(request: web.Request, *names: str) -> None:
    """400 for a query parameter of another name, or one that is given twice. Every route takes `numbers`."""
    for name in request.query:
        if name not in names and name != PARAMETER:
            raise unknown_name("query parameter", name, dict.fromkeys((*names, PARAMETER)))
        if len(request.query.getall(name)) > 1:
            raise invalid_request(name, f'query parameter "{name}" is given more than once')


def limit_of(text: str, most: int) -> int:
    """The query parameter `limit`. 400 unless it is a whole number from 1 to `most`."""
    if not _DIGITS.fullmatch(text) or not 1 <= int(text) <= most:
        raise invalid_request("limit", f'"limit" is out of range; give a whole number from 1 to {most}')
    return int(text)


def idempotency_of(request: web.Request, body: Body) -> IdempotencyKey | None:
    """The client's name for this request, when it gave one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        allowed = "use 1 to 128 printable ASCII characters without spaces"
        raise invalid_request("Idempotency-Key", f"Idempotency-Key is not a key; {allowed}")
    return IdempotencyKey(key, body.fingerprint(request.path))
