"""JSON Schemas of message types as clients and their generators need them: msgspec's own, mended."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from exness_streams.domain.plain_numbers import Form

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
_SNAKE_CASE = re.compile(r"[a-z]+(?:_[a-z]+)+")
_NUMBER_IN_TEXT = r"^[0-9]{1,30}(\.[0-9]{1,18})?$"
_ANSWER_IN_TEXT = r"^-?[0-9]+(\.[0-9]+)?$"


def shown(kind: Any) -> Schema:
    """The schema of a type, by reference where it is one of ours."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return schema


def answer_schemas(kinds: Iterable[type[msgspec.Struct]], form: Form) -> Schema:
    """By name, of what is sent. form: of its decimals."""
    kinds = list(kinds)
    schemas = _schemas(kinds, partial(_as_answer, form))
    for kind in _all_of(kinds):
        if not kind.__struct_config__.omit_defaults and kind.__name__ in schemas:
            # All that has a value is sent, so a client need not ask whether it is there.
            left_out = _may_be_left_out(kind)
            names = schemas[kind.__name__].get("properties", ())
            schemas[kind.__name__]["required"] = [name for name in names if name not in left_out]
    return schemas


def _may_be_left_out(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind) if field.default is msgspec.UNSET}


def request_schemas(kinds: Iterable[type[msgspec.Struct]]) -> Schema:
    """By name, of what is taken: a number may be a string that holds one."""
    return _schemas(list(kinds), _as_request)


def holds_decimals(kinds: Iterable[type[msgspec.Struct]]) -> bool:
    """Whether one of these types has a decimal in it."""
    return any(
        Decimal in _parts_of(field.type) for kind in _all_of(list(kinds)) for field in msgspec.structs.fields(kind)
    )


def _parts_of(kind: Any) -> set[Any]:
    return {kind}.union(*(_parts_of(part) for part in getattr(kind, "__args__", ()) if not isinstance(part, str)))


def _all_of(kinds: list[type[msgspec.Struct]]) -> Iterable[type[msgspec.Struct]]:
    """These, and those that their fields hold."""
    seen: dict[type[msgspec.Struct], None] = {}
    waiting: set[Any] = set(kinds)
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
            seen[kind] = None
            waiting.update(*(_parts_of(field.type) for field in msgspec.structs.fields(kind)))
    return seen


def _schemas(kinds: list[type[msgspec.Struct]], number: Any) -> Schema:
    _, components = msgspec.json.schema_components(kinds, ref_template=REF)
    return {name: _mended(schema, number) for name, schema in components.items()}


def _mended(node: Any, number: Any) -> Any:
    """msgspec takes Decimal for a string, docstrings with their indentation, and says the defaults that are null.

    Generators take what has a default for a field that is always there.
    """
    if isinstance(node, list):
        return [_mended(item, number) for item in node]
    if not isinstance(node, dict):
        return node
    mended = {name: _mended(value, number) for name, value in node.items()}
    if mended.get("format") == "decimal":
        return number(mended)
    if "anyOf" in mended:
        mended["anyOf"] = _flat(mended["anyOf"])
    if "enum" in mended and all(isinstance(value, str) for value in mended["enum"]):
        mended.setdefault("type", "string")
    if not isinstance(mended.get("default"), dict) or not mended["default"]:
        _put_inside(mended, mended.pop("default", None))
    if isinstance(mended.get("description"), str):
        mended["description"] = _in_their_names(inspect.cleandoc(mended["description"]), mended.get("properties", ()))
    return mended


def _flat(choices: list[Schema]) -> list[Schema]:
    """One of one of some is one of all."""
    flat: list[Schema] = []
    for choice in choices:
        flat += choice["anyOf"] if set(choice) == {"anyOf"} else [choice]
    return flat


def _put_inside(schema: Schema, default: Any) -> None:
    """A default of a number, with the type of one, into that choice: so that the field stays one to be left out."""
    for choice in schema.get("anyOf", ()):
        if default is not None and choice.get("type") == "number":
            choice["default"] = msgspec.json.decode(default)


def _in_their_names(description: str, properties: Iterable[str]) -> str:
    """Docstrings name fields as Python does; clients know them as JSON does."""
    names = {name.lower(): name for name in properties}
    return _SNAKE_CASE.sub(lambda word: names.get(word[0].replace("_", ""), word[0]), description)


def _as_number(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name not in ("format", "default", "pattern")} | {
        "type": "number"
    }


def _as_answer(form: Form, schema: Schema) -> Schema:
    return _as_number(schema) if form == "number" else {"type": "string", "pattern": _ANSWER_IN_TEXT}


def _as_request(schema: Schema) -> Schema:
    return {"anyOf": [_as_number(schema), {"type": "string", "pattern": schema.get("pattern", _NUMBER_IN_TEXT)}]}
