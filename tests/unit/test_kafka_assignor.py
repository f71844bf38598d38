"""An assignment that is meant for a namesake is refused in words."""

from __future__ import annotations

from types import SimpleNamespace

import faust
import pytest
from yarl import URL

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.assignor import NamedAssignor

OWN, OTHER = "http://one.example:8000", "http://two.example:8000"


def app(url: str) -> faust.App:
    return faust.App(
        "group",
        broker="memory://",
        store="memory://",
        canonical_url=url,
        consumer_group_instance_id="twice",
        PartitionAssignor=NamedAssignor,
    )


def assignment(url: str) -> SimpleNamespace:
    """As the group's leader makes it for the member at `url`, before it has any partition."""
    assigned = app(url).assignor
    return SimpleNamespace(user_data=assigned._compress(assigned._metadata.dumps()), assignment=[])


def test_its_own_is_taken() -> None:
    assignor = app(OWN).assignor
    assert isinstance(assignor, NamedAssignor)
    assignor.on_assignment(assignment(OWN))
    assert assignor.assigned_actives() == set()


def test_a_namesakes_is_refused() -> None:
    with pytest.raises(LogFault) as refused:
        app(OWN).assignor.on_assignment(assignment(OTHER))
    for words in ("twice", str(URL(OTHER)), "EXNESS_WORKER_ID"):
        assert words in str(refused.value)
