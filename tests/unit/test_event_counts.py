"""Which metric each type of event moves: every type has a row."""

from __future__ import annotations

from typing import get_args

import pytest
from trading_samples import (
    SOL,
    StoredCell,
    batch,
    cancel_command,
    close_all_command,
    close_command,
    deposit_command,
    flat,
    modify_command,
    open_command,
    place_command,
    reset_command,
    settled,
)

from exness_streams.domain.events import CloseReason, Event
from exness_streams.engine.event_counts import DROPPED, OPENED, REDUCED, closed, counts_of, of_type

POSITION = "pos_0_1"

# what is done first, the record, the counters it moves beside those of the events' types
TABLE = {
    "a market order": ([], open_command(), {"PositionOpened": 1}, {OPENED: 1}),
    "a deposit": ([], deposit_command(), {"Deposited": 1}, {}),
    "a pending order": ([], place_command(price=90), {"OrderPlaced": 1}, {}),
    "its price": (
        [place_command(price=90)], batch(flat(80, 2)), {"OrderFilled": 1, "PositionOpened": 1}, {OPENED: 1},
    ),
    "its end": ([place_command(price=90)], cancel_command("ord_0_1"), {"OrderCancelled": 1}, {}),
    "its expiry": (
        [place_command(price=90, expires_ms=1_790_000_000_000 + 10**9)],
        batch(flat(150, 2), time_ms=1_790_000_000_000 + 10**12),
        {"OrderExpired": 1}, {},
    ),
    "a stop set anew": ([open_command()], modify_command(POSITION, stop="100"), {"PositionModified": 1}, {}),
    "a close": ([open_command()], close_command(POSITION), {"PositionClosed": 1}, {closed("manual"): 1}),
    "a part of one": ([open_command()], close_command(POSITION, percentage="50"), {"PositionClosed": 1}, {REDUCED: 1}),
    "a close of all": (
        [open_command(margin=10), open_command(margin=10)], close_all_command(),
        {"PositionClosed": 2}, {closed("manual"): 2},
    ),
    "a stop": (
        [open_command(stop="140")], batch(flat(139, 2)), {"PositionClosed": 1}, {closed("stop_loss"): 1},
    ),
    "a target": (
        [open_command(take="160")], batch(flat(161, 2)), {"PositionClosed": 1}, {closed("take_profit"): 1},
    ),
    "a liquidation": (
        [open_command(leverage=10)], batch(flat(100, 2)), {"PositionClosed": 1}, {closed("liquidation"): 1},
    ),
    "a settlement": (
        [open_command()], settled(SOL, 150), {"PositionClosed": 1}, {closed("settlement"): 1},
    ),
    "a reset": (
        [open_command(margin=10), open_command(margin=10), place_command()], reset_command(),
        {"AccountReset": 1}, {closed(DROPPED): 2},
    ),
    "a reset of nothing": ([deposit_command()], reset_command(), {"AccountReset": 1}, {closed(DROPPED): 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_what_an_event_counts_as(name: str) -> None:
    before, record, types, moved = TABLE[name]
    cell = StoredCell(flat(150))
    for one in before:
        assert cell.fold(one).events
    cell.raise_rules()
    counted: dict[str, int] = {}
    for event in cell.fold(record).events:
        for counter, by in counts_of(event).items():
            counted[counter] = counted.get(counter, 0) + by
    assert counted == {of_type(kind): by for kind, by in types.items()} | moved


def test_every_type_of_event_and_every_reason_has_a_row() -> None:
    types = {kind for _, _, kinds, _ in TABLE.values() for kind in kinds}
    assert types == {kind.__name__ for kind in get_args(Event)}
    reasons = {counter for _, _, _, moved in TABLE.values() for counter in moved}
    assert reasons == {OPENED, REDUCED, *map(closed, (*get_args(CloseReason), DROPPED))}
