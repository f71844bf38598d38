"""A blocked event loop is told of with its line, and ends; a process that was stopped is not blocked."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from exness_streams.processes import watchdog
from exness_streams.processes.watchdog import BLOCKED_END_S, BLOCKED_SAID_S, LOOK_S, LoopWatch, where

OVER_S = LOOK_S / 2


class Watched:
    """A watch of a loop that turns when it is told to, by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.said: list[str] = []
        self.ended: list[str] = []
        self.loop = asyncio.new_event_loop()
        self.watch = LoopWatch(
            self.loop, self.ended.append, say=self.said.append, clock_s=lambda: self.now_s, look_s=LOOK_S
        )
        self.watch.look()

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def look(self, times: float, *, turns: bool = False, each_s: float = LOOK_S) -> None:
        for _ in range(int(times)):
            if turns:
                self.turn()
            self.now_s += each_s
            assert self.watch.look()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.loop.close()


def test_a_loop_that_turns_is_not_told_of(watched: Watched) -> None:
    watched.look(100, turns=True)
    assert not watched.said
    assert not watched.ended


def test_a_blocked_loop_is_told_of_once_with_its_line_and_once_when_it_turns(watched: Watched) -> None:
    watched.look(BLOCKED_SAID_S / LOOK_S - 1)
    assert not watched.said
    watched.look(5)
    (said,) = watched.said
    assert f"blocked for {BLOCKED_SAID_S:.0f} s" in said
    assert "test_watchdog.py" not in said  # the innermost line is the watchdog's own here, for one thread is both
    assert "processes/watchdog.py:" in said
    assert "\n" not in said
    watched.look(3, turns=True)
    assert len(watched.said) == 2
    assert "turns again, after 1" in watched.said[1]
    assert not watched.ended


def test_one_that_stays_blocked_is_ended(watched: Watched) -> None:
    watched.look(BLOCKED_END_S / LOOK_S - 1)
    assert not watched.ended
    watched.look(1)
    (words,) = watched.ended
    assert f"blocked for {BLOCKED_END_S:.0f} s" in words
    assert words.endswith("this process must start again")
    assert "\n" not in words


def test_a_loop_that_turns_now_and_then_is_not_ended(watched: Watched) -> None:
    for _ in range(10):
        watched.look(BLOCKED_END_S / LOOK_S - 2)
        watched.look(1, turns=True)
    assert not watched.ended


@pytest.mark.parametrize("slept_s", [BLOCKED_SAID_S, BLOCKED_END_S, 86_400.0])
def test_a_process_that_was_stopped_is_not_blocked(watched: Watched, slept_s: float) -> None:
    """Its watch stood still, too, and the loop turns as soon as both go on."""
    watched.look(3, turns=True)
    watched.look(1, each_s=slept_s)
    watched.look(2)
    assert not watched.said
    assert not watched.ended


def test_the_watch_ends_with_its_loop(watched: Watched) -> None:
    watched.turn()
    watched.loop.close()
    assert not watched.watch.look()


def test_where_a_thread_stands_in_another_room() -> None:
    """Of a library's line, the line of ours that called it is told, too."""
    waiting, found = threading.Event(), threading.Event()
    ours = compile("def fold():\n    found.set()\n    waiting.wait()\n", f"{watchdog._OURS}/engine/cells.py", "exec")
    names: dict[str, Any] = {"waiting": waiting, "found": found}
    exec(ours, names)
    thread = threading.Thread(target=names["fold"])
    thread.start()
    try:
        found.wait()
        while "threading.py" not in (words := where(sys._current_frames()[thread.ident or 0])):
            pass
    finally:
        waiting.set()
        thread.join()
    assert words.endswith("called by engine/cells.py:3 (fold)")
    assert where(None) == "where nobody knows"
