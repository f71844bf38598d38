"""The AsyncAPI 3 document of the live stream and the public topics: generated from the types that are encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, get_args

import msgspec
from aiohttp import web

from exness_streams import __version__
from exness_streams.api.api_view import ApiView
from exness_streams.api.openapi.route_text import JSON
from exness_streams.api.openapi.schemas import REF, Schema, answer_schemas
from exness_streams.api.stream import messages as stream
from exness_streams.domain.events import Event, EventBase
from exness_streams.messages import (
    PLAIN_TOPICS,
    SCHEMA_VERSION,
    MarketDataMessage,
    StateMessage,
    Topics,
    headers_of,
    json_encoder,
)

EVENTS: tuple[type[msgspec.Struct], ...] = get_args(Event)
OF_THE_STREAM: tuple[type[msgspec.Struct], ...] = (*stream.StreamMessage.__subclasses__(), StateMessage, *EVENTS)

ON_THE_STREAM: tuple[type[msgspec.Struct], ...] = (*OF_THE_STREAM, stream.ClientFrame)
ON_TOPICS: tuple[type[msgspec.Struct], ...] = (MarketDataMessage, *EVENTS)

RECORD = "Record"
"""Ends the names of what is on topics: their numbers are numbers, the stream's either form."""

SINCE_LATER = ("schemaVersion", "source")
"""Records of earlier releases, which stay in the topics, lack them; causedBy, too, which may be left out anyway."""

_NUMBER_IN_TEXT = r"^-?[0-9]+(\.[0-9]+)?$"
_KAFKA = {"bindingVersion": "0.5.0"}
_ABOUT = """\
What the platform tells as it happens: a WebSocket for one account and the market, and two Kafka topics for programs.

Fields are only ever added; a change of meaning is a new type. Ignore fields and types that you do not know. Consumers \
of the topics set the isolation level `read_committed`, which is not the default of Java's client and of aiokafka: \
what a failed transaction has left in a topic did not happen. Numbers have their exact digits: read them as decimals."""
_SUMMARIES = {
    "stream": "One account, live: its state, then its events and the market as they come. On `/` a WebSocket is the "
    "same, with the first instrument's market data",
    "marketUpdates": "The prices, one update of one symbol a record; key: the symbol",
    "accountEvents": "What happened to the accounts, one event a record, in order for each account; key: the account",
}


class AsyncApiView(ApiView):
    """GET /api/v1/asyncapi.json"""

    def __init__(self, app: Any, web_server: Any, topics: Topics = PLAIN_TOPICS, scheme: str = "http") -> None:
        """topics: the platform's own. scheme: under which it is reached."""
        super().__init__(app, web_server)
        self._topics, self._protocol = topics, "wss" if scheme == "https" else "ws"

    async def get(self, request: web.Request) -> web.Response:
        """The document, with this server."""
        document = _generated(self._topics)
        own = {"host": request.host, "protocol": self._protocol, "description": "This platform"}
        answer = document | {"servers": document["servers"] | {"platform": own}}
        return web.Response(body=json_encoder.encode(answer), content_type=JSON)


@cache
def _generated(topics: Topics) -> Schema:
    return asyncapi_document(topics)


def asyncapi_document(topics: Topics = PLAIN_TOPICS) -> Schema:
    """The whole document, JSON types only."""
    channels = {
        "stream": _channel("stream", "/ws", "platform", map(_name, ON_THE_STREAM))
        | {"bindings": {"ws": {"method": "GET", "query": _QUERY}}},
        "marketUpdates": _topic("marketUpdates", topics.market_updates, [MarketDataMessage]),
        "accountEvents": _topic("accountEvents", topics.events, EVENTS),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Exness Streams",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": JSON,
        "servers": {
            "platform": {"host": "localhost:4000", "protocol": "ws", "description": "This platform"},
            "brokers": _BROKERS,
        },
        "channels": channels,
        "operations": {
            "tellStream": _operation(
                "send", "stream", [_name(kind) for kind in OF_THE_STREAM], "What a reader is sent"
            ),
            "askStream": _operation("receive", "stream", ["ClientFrame"], "What a reader may ask for"),
            "tellPrices": _operation("send", "marketUpdates", [_name(MarketDataMessage, RECORD)], "Every price"),
            "tellEvents": _operation("send", "accountEvents", [_name(kind, RECORD) for kind in EVENTS], "Every event"),
        },
        "components": {
            "messages": {_name(kind): _message(kind) for kind in ON_THE_STREAM}
            | {_name(kind, RECORD): _record(kind) for kind in ON_TOPICS},
            "schemas": _stream_schemas() | _record_schemas(ON_TOPICS),
        },
    }


_BROKERS: Schema = {
    "host": "{brokers}",
    "protocol": "kafka",
    "description": "The brokers that the platform uses (KAFKA_BROKERS); with `exness-streams run` there are none",
    "variables": {"brokers": {"default": "localhost:9092", "description": "host:port, comma-separated"}},
}
_QUERY: Schema = {
    "type": "object",
    "properties": {
        "account": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "As the header X-Account"},
        "numbers": {"type": "string", "enum": ["number", "string"], "default": "number"},
        "symbols": {"type": "string", "description": "Whose market data is sent, as SOL,BTC_USDC; otherwise all"},
    },
}


def _name(kind: type[msgspec.Struct], suffix: str = "") -> str:
    return kind.__name__ + suffix


def _channel(name: str, address: str, server: str, messages: Iterable[str]) -> Schema:
    return {
        "address": address,
        "summary": _SUMMARIES[name],
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in messages},
    }


def _topic(name: str, topic: str, kinds: Iterable[type[msgspec.Struct]]) -> Schema:
    return _channel(name, topic, "brokers", [_name(kind, RECORD) for kind in kinds]) | {
        "bindings": {"kafka": {"topic": topic, **_KAFKA}}
    }


def _operation(action: str, channel: str, messages: Iterable[str], summary: str) -> Schema:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages],
    }


def _message(kind: type[msgspec.Struct]) -> Schema:
    payload = {"$ref": REF.format(name=_name(kind))}
    return {"name": _name(kind), "title": _name(kind), "contentType": JSON, "payload": payload}


def _record(kind: type[msgspec.Struct]) -> Schema:
    headers = {name: {"type": "string", "const": value.decode()} for name, value in headers_of(kind)}
    key = "account id" if issubclass(kind, EventBase) else "symbol"
    return {
        "name": _name(kind),
        "title": _name(kind),
        "contentType": JSON,
        "headers": {"type": "object", "properties": headers},
        "payload": {"$ref": REF.format(name=_name(kind, RECORD))},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"The {key}, UTF-8"}, **_KAFKA}},
    }


def _stream_schemas() -> Schema:
    schemas = _either_form(answer_schemas(ON_THE_STREAM, "number"))
    tagged: Schema = schemas[StateMessage.__name__]
    tagged["properties"] = {"type": {"type": "string", "const": "state"}, **tagged["properties"]}
    tagged["required"] = ["type", *tagged["required"]]
    return dict(schemas)


def _record_schemas(kinds: Sequence[type[msgspec.Struct]]) -> Schema:
    schemas: Schema = _renamed(answer_schemas(kinds, "number"))
    for kind in kinds:
        record = schemas[_name(kind, RECORD)]
        version = {"type": "integer", "minimum": 1, "description": f"Of the schema, {SCHEMA_VERSION} in this document"}
        record["properties"] = {"schemaVersion": version, **record["properties"]}
        record["required"] = [name for name in record.get("required", ()) if name not in SINCE_LATER]
    return schemas


def _either_form(node: Any) -> Any:
    """Decimals as numbers, or with ?numbers=string as strings that hold them."""
    if isinstance(node, list):
        return [_either_form(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    if node.get("type") == "number":
        return {**node, "type": ["number", "string"], "pattern": _NUMBER_IN_TEXT}
    return {name: _either_form(item) for name, item in node.items()}


def _renamed(node: Any, *, top: bool = True) -> Any:
    """Schemas and what refers to them under the names of records."""
    if isinstance(node, list):
        return [_renamed(item, top=False) for item in node]
    if not isinstance(node, Mapping):
        return node
    if top:
        return {name + RECORD: _renamed(item, top=False) for name, item in node.items()}
    return {
        name: item + RECORD if name == "$ref" and isinstance(item, str) else _renamed(item, top=False)
        for name, item in node.items()
    }
