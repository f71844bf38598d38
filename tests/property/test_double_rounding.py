"""A client whose numbers are doubles can always close with the quantity that it was shown."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st
from trading_samples import StoredCell, close_command, flat, open_command

from exness_streams.api.bodies import CloseRequest
from exness_streams.api.requests import Body
from exness_streams.domain.commands import ClosePosition
from exness_streams.domain.events import PositionClosed
from exness_streams.domain.money import DOUBLE_ROUNDING
from exness_streams.domain.outcomes import is_transient

margins = st.integers(100_000_000, 10**12).map(lambda units: Decimal(units).scaleb(-8))
prices = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**12 - 1), st.integers(0, 12)
)
parts = st.floats(0.01, 0.99)


def fixed(number: float) -> str:
    """As toFixed(8) writes it."""
    return f"{number:.8f}"


written = st.sampled_from([json.dumps, fixed, lambda number: json.dumps(fixed(number))])


def asked(position_id: str, quantity: str, *, forgives: bool = True) -> ClosePosition:
    """The command that a body with this quantity becomes."""
    body = b'{"positionId":"p","quantity":%s}' % quantity.encode()
    read = CloseRequest.read(Body(msgspec.json.decode(body, type=dict[str, msgspec.Raw])))
    command = close_command(position_id)
    return msgspec.structs.replace(command, quantity=read.quantity, forgives_rounding=forgives)


def shown(quantity: Decimal) -> float:
    """As JSON.parse reads it."""
    return float(quantity)


@given(margins, prices, written, st.integers(1, 100), st.lists(parts, max_size=3))
def test_what_was_shown_closes_all(
    margin: Decimal, price: Decimal, write: object, leverage: int, closed_before: list[float]
) -> None:
    assert callable(write)
    cell = StoredCell(flat(format(price, "f")))
    opened = cell.outcome(open_command(margin=str(margin), leverage=leverage))
    assume(hasattr(opened, "position_id"))  # a margin may buy nothing
    position_id = opened.position_id  # type: ignore[union-attr]
    left = opened.quantity  # type: ignore[union-attr]
    for part in closed_before:
        quantity = fixed(shown(left) * part)
        assume(float(quantity) > 0)
        event = cell.outcome(asked(position_id, quantity))
        assert isinstance(event, PositionClosed), event
        if event.remaining is None:
            return  # what was left had too little margin
        left = event.remaining.quantity
    event = cell.outcome(asked(position_id, write(shown(left))))
    assert isinstance(event, PositionClosed), event
    assert (event.quantity, event.remaining) == (left, None)


@given(st.integers(1, 10**8))
def test_more_than_a_rounding_above_is_refused(excess: int) -> None:
    cell = StoredCell(flat("1"))
    opened = cell.opened(open_command(margin="9999.12345678", leverage=1))
    more = opened.quantity + Decimal(excess).scaleb(-8)
    refused = cell.rejected(asked(opened.position_id, str(more)))
    assert not is_transient(refused)
    assert refused.details["field"] == "quantity"
    assert opened.quantity * DOUBLE_ROUNDING < Decimal("1e-8")


def test_a_journal_of_an_earlier_release_is_folded_as_then() -> None:
    cell = StoredCell(flat("0.00000001"))
    opened = cell.opened(open_command(margin="9999.12345678", leverage=100))
    more = str(opened.quantity + Decimal("0.005"))
    assert cell.rejected(asked(opened.position_id, more, forgives=False)).details["field"] == "quantity"
    assert opened.quantity * DOUBLE_ROUNDING > Decimal("0.01")
    assert cell.closed(asked(opened.position_id, more)).remaining is None
