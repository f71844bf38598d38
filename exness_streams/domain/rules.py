"""The rules: by which of them a journal is folded is said by the journal itself, never by the release that folds it.

A journal begins with the first rules. A record RulesChanged raises them by one: before it the old ones, after it the
new ones, whoever folds, now or in an audit years later. What a release changes of the fold is asked for here by a name
of its own.
"""

from __future__ import annotations

FIRST = 1
"""A journal without a RulesChanged: those of 0.1.0."""

REFUSALS_BY_CODE = 2
"""From these on a refusal is kept as its code and details, and its words are made when it is answered."""

NEWEST = 4
"""The highest that this release knows."""

FRAMES_BY_OFFSET = 2
"""Since then a cell takes ticks by their offsets and their owner's epoch, and reads raw frames (frame_fold.py)."""

TIME_BY_FRAMES = 2
"""Since then time goes on by frames alone, and orders expire among the ticks, by their receipt (frame_fold.py)."""

MARKET_STATES = 3
"""Since then frames say which markets are not open, and how old a book is (market_states.py)."""

ORDERS_AT_MARKET = 3
"""Since then an order whose price the market has reached is filled at once (orders.py)."""

QUANTITY_STEPS = 3
"""Since then quantities are multiples of the instrument's step (instruments.Terms)."""

PACKED_FRAMES = 4
"""Since then frames are packed (packed_frames.py). They say what they said: no state is another one by these rules."""


class UnknownRules(ValueError):
    """The journal goes on by rules that this release does not know. str() is one line, with the way out."""

    def __init__(self, partition: int, wanted: int) -> None:
        super().__init__(
            f"partition {partition} of the journal goes on by rules {wanted}, and this release knows them up to "
            f"{NEWEST}: start a release that knows them"
        )


def after_change(partition: int, current: int, wanted: int) -> int:
    """The rules after a RulesChanged. One that asks for rules already in force was written twice: nothing changes.

    UnknownRules beyond NEWEST. ValueError when one is skipped: each release lives beside the one before it, no further.
    """
    if wanted <= current:
        return current
    if wanted > NEWEST:
        raise UnknownRules(partition, wanted)
    if wanted > current + 1:
        raise ValueError(f"partition {partition} of the journal skips rules: it goes from {current} to {wanted}")
    return wanted
