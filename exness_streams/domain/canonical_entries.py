"""What an entry says, whoever wrote it: the bytes that two entries share exactly when they mean the same.

Releases write the same state in different bytes: another order of fields, another form of a number, a field more.
Nothing of that is state, and neither are the words of a refusal, which follow from its code and details. An entry of a
kind that is not known here, or that can't be read, means its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.events import PositionClosed
from exness_streams.domain.money import canonical
from exness_streams.domain.rejections import Rejection

_DECODERS: dict[bytes, Callable[[bytes], Any]] = {
    codec.ROW_PREFIX: codec.decode_row,
    codec.ACCESS_PREFIX: codec.decode_access_row,
    codec.QUOTE_PREFIX: codec.decode_quote,
    codec.OUTCOME_PREFIX: codec.decode_keyed_outcome,
}

_DERIVED: dict[type[msgspec.Struct], frozenset[str]] = {
    PositionClosed: frozenset({"entry_fee"}),
    Rejection: frozenset({"message"}),
}
"""What follows from the rest, and stands only in entries that some releases wrote."""

_encode = msgspec.json.Encoder().encode


def meaning_of(key: bytes, value: bytes) -> bytes:
    """The canonical bytes of an entry."""
    prefix, slash, _ = key.partition(b"/")
    decode = _DECODERS.get(prefix + slash)
    if decode is None:
        return value
    try:
        return _encode(_plain(decode(value)))
    except (msgspec.MsgspecError, ValueError):
        return value


def is_same(key: bytes, one: bytes | None, other: bytes | None) -> bool:
    """Whether two entries of a key mean the same; None: there is none."""
    if one == other:
        return True
    return one is not None and other is not None and meaning_of(key, one) == meaning_of(key, other)


def _plain(value: Any) -> Any:
    """As JSON's own kinds. Dictionaries keep their order where it means something: what was opened first."""
    match value:
        case Decimal():
            return str(canonical(value))
        case Enum():
            return value.value
        case msgspec.Struct():
            return _plain_struct(value)
        case Mapping():
            if any(isinstance(part, msgspec.Struct) for part in value.values()):
                return [[name, _plain(part)] for name, part in value.items()]
            return {name: _plain(value[name]) for name in sorted(value)}
        case list() | tuple():
            return [_plain(part) for part in value]
    return value


def _plain_struct(value: msgspec.Struct) -> dict[str, Any]:
    """Fields that say their default are left out: who did not know of them wrote none."""
    tag, fields = _form(type(value))
    plain = {"": tag} if tag else {}
    for name, default in fields:
        part = getattr(value, name)
        if part is not default and part != default:
            plain[name] = _plain(part)
    return plain


@lru_cache(maxsize=128)
def _form(kind: type[msgspec.Struct]) -> tuple[Any, list[tuple[str, Any]]]:
    left_out = _DERIVED.get(kind, frozenset())
    fields = [
        (field.name, field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory())
        for field in sorted(msgspec.structs.fields(kind), key=lambda field: field.name)
        if field.name not in left_out
    ]
    return kind.__struct_config__.tag, fields
