"""What an engine says of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from exness_streams.engine.engine import Engine
from exness_streams.transport.faults import LogFault


def engine(*, recovered: bool, folded: bool, stops: bool = False, fault: LogFault | None = None) -> Engine:
    parts: dict[str, Any] = dict.fromkeys(Engine.__dataclass_fields__)
    parts["app"] = SimpleNamespace(
        tables=SimpleNamespace(actives_ready=recovered), should_stop=stops, transport=SimpleNamespace(fault=fault)
    )
    parts["cells"] = SimpleNamespace(is_ready=folded, is_caught_up=lambda partition: partition == 0)
    return Engine(**parts)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (engine(recovered=True, folded=True), ""),
        (engine(recovered=True, folded=True, stops=True), ""),
        (engine(recovered=False, folded=True), "starting"),
        (engine(recovered=True, folded=False), "starting"),
        (engine(recovered=True, folded=False, stops=True), "stopping"),
        (engine(recovered=True, folded=True, fault=LogFault("full")), "ending"),
        (engine(recovered=False, folded=False, stops=True, fault=LogFault("full")), "ending"),
    ],
)
def test_it_says_truly_why_it_serves_nobody(made: Engine, said: str) -> None:
    assert said in made.unready
    assert bool(made.unready) is not made.is_ready


def test_a_cell_that_is_caught_up_is_served_while_another_is_not() -> None:
    for made in (engine(recovered=True, folded=False), engine(recovered=False, folded=False)):
        assert not made.unready_of(0)
        assert "starting" in made.unready_of(1)
    made = engine(recovered=True, folded=True)
    assert not made.unready_of(1), "it is not here: whose it is, others say"
    assert "ending" in engine(recovered=True, folded=True, fault=LogFault("full")).unready_of(0)
