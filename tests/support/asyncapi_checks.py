"""Messages held against the AsyncAPI document: every one must be what it describes, and say no more."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator


def closed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document, with every object forbidden to say more than it describes."""
    copied = copy.deepcopy(dict(document))
    for schema in copied["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return copied


def validator(document: Mapping[str, Any], schema: str) -> Draft7Validator:
    """Of one of the document's schemas, by its name."""
    return Draft7Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})


def payload_of(document: Mapping[str, Any], channel: str, name: str) -> str:
    """The name of the schema of a channel's message that has this name. KeyError when the channel has none."""
    for reference in document["channels"][channel]["messages"].values():
        message = document["components"]["messages"][reference["$ref"].rsplit("/", 1)[1]]
        if message["name"] == name:
            return str(message["payload"]["$ref"].rsplit("/", 1)[1])
    raise KeyError(name)


def references(node: Any) -> set[str]:
    """All that a document refers to."""
    if isinstance(node, list):
        return set().union(*map(references, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*map(references, node.values()))


def at(document: Any, reference: str) -> Any:
    """What a reference within the document names. KeyError."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document
