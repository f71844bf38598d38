"""An agent whose actors end after its supervisor has, as when a crash and a rebalance meet."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from exness_streams.transport.agent import Agent


@pytest.fixture
def agent() -> Any:
    app = faust.App("agents", store="memory://", Agent=Agent)

    @app.agent(app.topic("t"))  # type: ignore[untyped-decorator]
    async def nothing(stream: Any) -> None:
        async for _ in stream:
            pass

    assert type(nothing) is Agent
    return nothing


class Actor:
    """Notes what it is crashed with."""

    def __init__(self) -> None:
        self.crashed_with: BaseException | None = None

    async def crash(self, error: BaseException) -> None:
        self.crashed_with = error


async def fails(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ValueError("in the middle")])
async def test_an_end_without_a_supervisor_is_no_fault(agent: Any, error: BaseException) -> None:
    actor = Actor()
    agent.supervisor = None
    await agent._execute_actor(fails(error), actor)
    assert actor.crashed_with is error


async def test_with_one_it_is_woken(agent: Any) -> None:
    woken: list[bool] = []
    actor = Actor()
    agent.supervisor = SimpleNamespace(wakeup=lambda: woken.append(True))
    await agent._execute_actor(fails(ValueError("in the middle")), actor)
    assert woken == [True]


async def test_a_fault_of_ours_is_not_hidden(agent: Any) -> None:
    agent.supervisor = SimpleNamespace()
    with pytest.raises(AttributeError):
        await agent._execute_actor(fails(ValueError("in the middle")), Actor())
