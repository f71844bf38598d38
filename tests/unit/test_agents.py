"""What an engine lets go when partitions are taken from it: those alone, by topic and number."""

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

    async def send(self, **partitions: set[TP]) -> None:
        for handler in self.handlers:
            await handler(None, **partitions)


class Owner:
    """Notes what it is told to drop. lost: what it finds is another's, when partitions were dealt out anew."""

    def __init__(self) -> None:
        self.dropped: list[set[int]] = []
        self.lost: set[int] = set()

    def drop(self, partitions: set[int] | None = None) -> None:
        self.dropped.append({-1} if partitions is None else set(partitions))

    abandon = drop

    def take_leases(self) -> list[int]:
        self.drop(self.lost)
        return sorted(self.lost)

    def drop_lost(self) -> None:
        self.drop(self.lost)

    async def run(self) -> None:
        """Never: tasks are not begun here."""


class Parts:
    """The parts of an engine that own something, and the signal that takes it away."""

    def __init__(self) -> None:
        self.cells, self.gateway, self.framer, self.candles, self.history = (Owner() for _ in range(5))
        self.revoked, self.assigned = Signal(), Signal()
        app = SimpleNamespace(
            topic=lambda name, **options: name,
            agent=lambda topic, **options: lambda handler: handler,
            task=lambda task: task,
            on_partitions_revoked=self.revoked,
            on_partitions_assigned=self.assigned,
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
        ({TP(JOURNAL_TOPIC, 2), TP(JOURNAL_TOPIC, 5)}, {}),  # they may come back: the log has quiesced them
        ({TP(EVENTS_TOPIC, 3)}, {}),
        ({TP(MARKET_UPDATES_TOPIC, 0)}, {"framer": ALL, "candles": ALL}),
        ({TP("a-changelog", 1)}, {}),
        (set(), {}),
        ({TP(JOURNAL_TOPIC, 2), TP(MARKET_UPDATES_TOPIC, 0)}, {"framer": ALL, "candles": ALL}),
    ],
)
async def test_what_is_taken_away_is_let_go_and_nothing_else(revoked: set[TP], dropped: dict[str, set[int]]) -> None:
    parts = Parts()
    await parts.revoked.send(revoked=revoked)
    assert parts.dropped() == dropped


@pytest.mark.parametrize("lost", [set(), {2}, {2, 5}])
async def test_what_does_not_come_back_is_let_go_and_its_clients_alone_are_told(lost: set[int]) -> None:
    parts = Parts()
    parts.cells.lost, parts.history.lost = lost, lost | {7}
    await parts.assigned.send(assigned={TP(JOURNAL_TOPIC, 1), TP(EVENTS_TOPIC, 1)})
    wanted = {"cells": lost, "gateway": lost, "history": lost | {7}}
    assert parts.dropped() == {name: partitions for name, partitions in wanted.items() if partitions}
