"""The network between processes and brokers: requests take their time, stay in order on a connection, and get lost.

A request that left its sender arrives, whatever becomes of the sender; an answer waits until the asker may run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

from protocol.loop import Process, VirtualLoop

Result = TypeVar("Result")

RETRY_S = 0.25


class Unreachable(Exception):
    """No answer came in time. arrived: whether the request did, which the asker can't know."""


class Link:
    """One process' way to the brokers. slow_s: of the worst case. lose: how often an answer is lost for good."""

    def __init__(self) -> None:
        self.is_cut = False
        self.slow_s = 0.004
        self.lose = 0.0
        self.repeat = 0.0
        self._arrivals: dict[str, float] = {}

    def in_order(self, channel: str, at: float) -> float:
        at = max(at, self._arrivals.get(channel, 0.0))
        self._arrivals[channel] = at
        return at


class Network:
    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self._world = Context()
        self.lost = self.repeated = 0

    def delay(self, link: Link) -> float:
        """Mostly quick; sometimes as slow as the link is."""
        rng = self._rng
        if rng.random() < 0.2:
            return 0.0
        return rng.random() * (link.slow_s if rng.random() < 0.3 else min(link.slow_s, 0.002))

    def later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """In the world's own context: no process is asked."""
        self._loop.call_later(delay_s, callback, *args, context=self._world.copy())

    def send(
        self,
        sender: Process,
        link: Link,
        channel: str,
        action: Callable[[], Any],
        timeout_s: float,
    ) -> asyncio.Future[Any]:
        """The answer: action's result or exception, once it has come back; Unreachable after timeout_s.

        action may return a future: then the answer leaves when that is done.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        deadline = self._loop.time() + timeout_s
        at = link.in_order(channel, self._loop.time() + self.delay(link))

        def arrive() -> None:
            if link.is_cut:
                if self._loop.time() < deadline:
                    self.later(RETRY_S, arrive)
                return
            try:
                done: Any = action()
            except Exception as error:
                done = error
            if isinstance(done, asyncio.Future):
                done.add_done_callback(lambda future: leave(future.exception() or future.result()), context=self._world)
            else:
                leave(done)

        def leave(result: Any) -> None:
            if link.lose and self._rng.random() < link.lose:
                self.lost += 1
                return
            self.later(self.delay(link), back, result)
            if link.repeat and self._rng.random() < link.repeat:
                self.repeated += 1
                self.later(self.delay(link) * 2, back, result)

        def back(result: Any) -> None:
            if link.is_cut and self._loop.time() < deadline:
                self.later(RETRY_S, back, result)
            elif not answer.done() and not sender.is_dead:
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

        def give_up() -> None:
            if not answer.done() and not sender.is_dead:
                answer.set_exception(Unreachable(f"no answer within {timeout_s:g} s"))

        self.later(at - self._loop.time(), arrive)
        timer = self._loop.call_later(timeout_s, give_up, context=self._world.copy())
        answer.add_done_callback(lambda _: timer.cancel(), context=self._world)
        return answer
