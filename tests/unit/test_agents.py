"""What an engine lets go when partitions are taken from it: those alone, by their topic and their number."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from exness_streams.engine.agents import add_agents
from exness_streams.engine.engine import Engine
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, PLAIN_TOPICS


class Signal:
    """Calls whoever is connected."""

    def __init__(self) -> None:
        self.handlers: list[Callable[..., Any]] = []

    def connect(self, handler: Callable[..., Any], *, weak: bool) -> None:
        assert not weak
        self.handlers.append(handler)

    async def send(self, revoked: set[TP]) -> None:
        for handler in self.handlers:
            await handler(None, revoked=revoked)


class Owner:
    """Notes what it is told to drop."""

    def __init__(self) -> None:
        self.dropped: list[set[int]] = []

    def drop(self, partitions: set[int] | None = None) -> None:
        self.dropped.append({-1} if partitions is None else set(partitions))

    abandon = drop

    async def run(self) -> None:
        """Never: tasks are not begun here."""


class Parts:
    """The parts of an engine that own something, and the signal that takes it away."""

    def __init__(self) -> None:
        self.cells, self.gateway, self.framer, self.candles, self.history = (Owner() for _ in range(5))
        self.revoked = Signal()
        app = SimpleNamespace(
            topic=lambda name, **options: name,
            agent=lambda topic, **options: lambda handler: handler,
            task=lambda task: task,
            on_partitions_revoked=self.revoked,
            named_topics=PLAIN_TOPICS,
        )
        parts: dict[str, Any] = dict.fromkeys(Engine.__dataclass_fields__)
        parts |= {"app": app, "cells": self.cells, "gateway": self.gateway, "framer": self.framer}
        parts |= {"candles": self.candles, "history": self.history}
        parts["table"] = SimpleNamespace(on_recover=lambda load: None, lineage=None)
        parts["settings"] = SimpleNamespace(
            partitions=8, checkpoints_dir=None, stalled_after_s=1.0, topics=PLAIN_TOPICS
        )
        add_agents(Engine(**parts))

    def dropped(self) -> dict[str, set[int]]:
        owners = {"cells": self.cells, "gateway": self.gateway, "framer": self.framer}
        owners |= {"candles": self.candles, "history": self.history}
        found = {name: set().union(*owner.dropped) for name, owner in owners.items()}
        return {name: partitions for name, partitions in found.items() if partitions}


ALL = {-1}
"""What has no partitions of its own."""


@pytest.mark.parametrize(
    ("revoked", "dropped"),
    [
        ({TP(JOURNAL_TOPIC, 2), TP(JOURNAL_TOPIC, 5)}, {"cells": {2, 5}, "gateway": {2, 5}}),
        ({TP(EVENTS_TOPIC, 3)}, {"history": {3}}),
        ({TP(MARKET_UPDATES_TOPIC, 0)}, {"framer": ALL, "candles": ALL}),
        ({TP("a-changelog", 1)}, {}),
        (set(), {}),
        (
            {TP(JOURNAL_TOPIC, 2), TP(EVENTS_TOPIC, 3), TP("a-changelog", 1)},
            {"cells": {2}, "gateway": {2}, "history": {3}},
        ),
    ],
)
async def test_what_is_taken_away_is_let_go_and_nothing_else(revoked: set[TP], dropped: dict[str, set[int]]) -> None:
    parts = Parts()
    await parts.revoked.send(revoked)
    assert parts.dropped() == dropped
