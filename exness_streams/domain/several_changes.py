"""Commands that may change an account more than once: each change is made of the row that the one before has left."""

from __future__ import annotations

from collections.abc import Mapping

from exness_streams.domain.account import AccountRow
from exness_streams.domain.codec import CloseResult, Outcome, PositionsClosed
from exness_streams.domain.commands import CloseAllPositions, ClosePosition, CommandBase, PlaceOrder
from exness_streams.domain.events import PositionClosed
from exness_streams.domain.folding import Folding
from exness_streams.domain.orders import place_or_fill
from exness_streams.domain.positions import close_position
from exness_streams.domain.quotes import Quote
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.transition import Transition

Quotes = Mapping[str, Quote]
"""The newest of each symbol."""


def close_all(folding: Folding, row: AccountRow, command: CloseAllPositions, quotes: Quotes) -> PositionsClosed:
    """Close every position that has a price, and say of each what became of it."""
    common = {name: getattr(command, name) for name in CommandBase.__struct_fields__}
    results = []
    for name, position in row.positions.items():
        one = ClosePosition(**common, position_id=name)
        decided = close_position(row, position, one, quotes.get(position.symbol), folding.at)
        if isinstance(decided, Transition):
            row = folding.apply(row, decided)
            if not isinstance(decided.event, PositionClosed):
                raise TypeError(f"closing {name} told of something else: {decided.event!r}")
            results.append(CloseResult(name, decided.event))
        else:
            results.append(CloseResult(name, decided))
    return PositionsClosed(results)


def place(folding: Folding, row: AccountRow, command: PlaceOrder, quotes: Quotes) -> Outcome:
    """Place an order. The outcome is OrderFilled where it is filled at once, else OrderPlaced."""
    decided = place_or_fill(row, command, quotes.get(command.terms.symbol), folding.later)
    if isinstance(decided, Rejection):
        return decided
    for change in decided:
        row = folding.apply(row, change)
    placed, *filled = decided
    return (filled or [placed])[0].event
