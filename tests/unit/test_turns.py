"""Turns: so many at once, in their order, and nothing is lost or kept whoever gives up when."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from event_loop import turns as loop_turns
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.api.access.turns import Turn, Turns


async def test_so_many_at_once_and_the_others_in_their_order() -> None:
    turns, begun = Turns(2), list[int]()

    async def one(number: int) -> Turn:
        turn = await turns.take("a")
        begun.append(number)
        return turn

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await loop_turns()
    assert begun == [0, 1]
    (await tasks[1]).end()
    await loop_turns()
    assert begun == [0, 1, 2]
    for number in (0, 2, 3, 4):
        (await tasks[number]).end()
    await loop_turns()
    assert begun == [0, 1, 2, 3, 4]
    assert len(turns) == 0


async def test_what_is_answered_at_once_takes_turns_too() -> None:
    turns, steps, step = Turns(2), list[int](), 0

    async def one() -> None:
        turn = await turns.take("a")
        steps.append(step)
        turn.end()

    asked = [asyncio.create_task(one()) for _ in range(7)]
    while not all(task.done() for task in asked):
        await asyncio.sleep(0)
        step += 1
    await loop_turns()
    assert max(steps.count(one) for one in set(steps)) <= 2
    assert len(turns) == 0


async def test_others_do_not_wait() -> None:
    turns = Turns(1)
    await turns.take("a")
    waiting = asyncio.create_task(turns.take("a"))
    other = await turns.take("b")
    await loop_turns()
    assert not waiting.done()
    other.end()
    waiting.cancel()


async def test_a_turn_ends_once() -> None:
    turns = Turns(1)
    first = await turns.take("a")
    first.end()
    second = await turns.take("a")
    first.end()
    waiting = asyncio.create_task(turns.take("a"))
    await loop_turns()
    assert not waiting.done()
    second.end()
    await waiting


@given(st.lists(st.tuples(st.sampled_from(["take", "end", "cancel"]), st.integers(0, 9), st.booleans()), max_size=40))
def test_never_more_and_never_fewer_than_there_may_be(steps: list[tuple[str, int, bool]]) -> None:
    """settles: whether the loop turns after a step, so that one is cancelled also when its turn has just been given."""

    async def play() -> None:
        turns, tasks, ended = Turns(3), list[asyncio.Task[Turn]](), set[int]()
        for action, which, settles in steps:
            if action == "take":
                tasks.append(asyncio.create_task(turns.take("a")))
            elif tasks:
                number = which % len(tasks)
                task = tasks[number]
                if action == "cancel":
                    task.cancel()
                elif task.done() and not task.cancelled():
                    task.result().end()
                    ended.add(number)
            if settles:
                await loop_turns()
                has_turn = [n for n, t in enumerate(tasks) if t.done() and not t.cancelled() and n not in ended]
                waits = [task for task in tasks if not task.done()]
                assert len(has_turn) <= 3
                assert not waits or len(has_turn) == 3
        await loop_turns()
        for number, task in enumerate(tasks):
            if number not in ended:
                if not task.done():
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    (await task).end()
        await loop_turns()
        assert len(turns) == 0

    asyncio.run(play())
