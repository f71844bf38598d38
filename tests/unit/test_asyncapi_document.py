"""The AsyncAPI document is what the types say, and what they say is what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asyncapi_checks import at, closed, payload_of, references, validator
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_samples import (
    NOW_MS,
    StoredCell,
    cancel_command,
    close_all_command,
    close_command,
    deposit_command,
    flat,
    frame,
    modify_command,
    open_command,
    place_command,
    reset_command,
)

from exness_streams.api.asyncapi.document import EVENTS, ON_TOPICS, asyncapi_document
from exness_streams.domain.events import Event
from exness_streams.engine.committer import public_event
from exness_streams.messages import MarketDataMessage, Topics, headers_of, json_encoder, public_record

DOCUMENT = asyncapi_document()
CLOSED = closed(DOCUMENT)


def check(event: Event) -> str:
    """A record of trading-events, as it is written, against the message that its headers name."""
    record = public_event(event)
    headers = {name: value.decode() for name, value in record.headers}
    schema = payload_of(CLOSED, "accountEvents", headers["type"])
    said = json.loads(record.value or b"")
    validator(CLOSED, schema).validate(said)
    assert said["type"] == headers["type"] == type(event).__name__
    assert at(DOCUMENT, f"#/components/messages/{schema}/headers/properties/type/const") == headers["type"]
    return headers["type"]


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 40
    for reference in found:
        at(DOCUMENT, reference)


def test_the_document_in_docs_is_the_one_that_is_served() -> None:
    kept = json.loads((Path(__file__).parents[2] / "docs" / "asyncapi.json").read_text("utf-8"))
    assert kept == DOCUMENT, "run tools/write_asyncapi.py"


def test_every_type_of_the_topics_is_there() -> None:
    named = {message["name"] for message in DOCUMENT["components"]["messages"].values()}
    assert named >= {kind.__name__ for kind in ON_TOPICS}


def test_the_topics_have_the_names_that_the_platform_uses() -> None:
    channels = asyncapi_document(Topics.of("staging-"))["channels"]
    assert [channels[name]["address"] for name in ("marketUpdates", "accountEvents")] == [
        "staging-backpack-market-updates",
        "staging-trading-events",
    ]


def test_each_event_is_as_described() -> None:
    cell = StoredCell(flat(100))
    first = cell.opened(open_command(leverage=10))
    cell.fold(modify_command(first.position_id, stop="95"))
    cell.fold(close_command(first.position_id, percentage="50"))
    cell.fold(cancel_command(cell.placed(place_command(price=90)).order_id))
    cell.fold(place_command(price=90, expires_ms=NOW_MS + 10))
    cell.fold(place_command(price=96))
    told = [cell.fold(record).events for record in (
        deposit_command(), open_command(leverage=10), frame(flat(94, 2)), close_all_command(),
        deposit_command(time_ms=NOW_MS + 10), reset_command(),
    )]  # fmt: skip
    seen = {check(event) for events in told for event in events}
    again = StoredCell(flat(100))
    opened = again.fold(open_command()).events
    placed = again.fold(place_command(price=90)).events
    position, order = opened[0].position_id, placed[0].order_id  # type: ignore[union-attr]
    rest = [*opened, *placed, *again.fold(modify_command(position, stop="95")).events]
    rest += again.fold(cancel_command(order)).events
    seen |= {check(event) for event in rest}
    assert seen == {kind.__name__ for kind in EVENTS}


@pytest.mark.parametrize("numbers", ["0.00000098", "98000", "-1.5"])
def test_numbers_are_numbers_on_topics(numbers: str) -> None:
    schema = {"$ref": "#/components/schemas/DepositedRecord/properties/amount"}
    checked = validator(DOCUMENT, "DepositedRecord").evolve(schema={**schema, "components": DOCUMENT["components"]})
    assert checked.is_valid(float(numbers))
    assert not checked.is_valid(numbers)


def test_records_of_before_are_as_described() -> None:
    """They lack what was added since, and stay in the topic."""
    record = json.loads(public_event(StoredCell(flat(100)).fold(deposit_command()).events[0]).value or b"")
    for name in ("schemaVersion", "causedBy"):
        record.pop(name, None)
    validator(CLOSED, "DepositedRecord").validate(record)


prices = st.decimals("0.00000001", "1000000", places=8)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.builds(
        MarketDataMessage,
        symbol=st.sampled_from(["SOL_USDC", "AAPL.US_USDC_PERP"]),
        price=prices,
        timestamp=st.integers(0, 2**43),
        sequence=st.integers(0, 2**53),
        volume=st.none() | prices,
        bid=st.none() | prices,
        ask=st.none() | prices,
        source=st.none() | st.sampled_from(["backpack", "simulated"]),
    )
)
def test_each_tick_is_as_described(tick: MarketDataMessage) -> None:
    value = public_record(json_encoder.encode(tick))
    validator(CLOSED, payload_of(CLOSED, "marketUpdates", "MarketDataMessage")).validate(json.loads(value))
    assert dict(headers_of(MarketDataMessage))["type"] == b"MarketDataMessage"
    assert msgspec.json.decode(value, type=MarketDataMessage) == tick


def test_a_message_that_says_more_or_less_is_noticed() -> None:
    """The checks above can fail."""
    record: dict[str, Any] = json.loads(
        public_event(StoredCell(flat(100)).fold(deposit_command()).events[0]).value or b""
    )
    checked = validator(CLOSED, "DepositedRecord")
    assert checked.is_valid(record)
    assert not checked.is_valid(record | {"more": 1})
    assert not checked.is_valid({name: value for name, value in record.items() if name != "amount"})
    assert not checked.is_valid(record | {"amount": "5"})
    assert not checked.is_valid(record | {"type": "Other"})
