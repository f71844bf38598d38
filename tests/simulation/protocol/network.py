"""The network between processes and brokers: requests take their time, stay in order on a connection, and get lost.

A request that left its sender arrives, whatever becomes of the sender; an answer waits until the asker may run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, TypeVar

from protocol.loop import Process, VirtualLoop

Result = TypeVar("Result")

RETRY_S = 0.25


class Unreachable(Exception):
    """No answer came in time. arrived: whether the request did, which the asker can't know."""


class Awaited:
    """What an action answers with later, perhaps before anybody has asked for it."""

    def __init__(self) -> None:
        self._take: Callable[[Any], None] | None = None
        self._come: list[Any] = []

    def comes(self, result: Any) -> None:
        if self._take is None:
            self._come.append(result)
        else:
            self._take(result)

    def then(self, take: Callable[[Any], None]) -> None:
        self._take = take
        for result in self._come:
            take(result)


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
    """later(delay_s, callback, *args): in the world's own context, no process is asked."""

    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        self.loop = loop
        self.rng = rng
        self.later = loop.later
        self.lost = self.repeated = 0

    def delay(self, link: Link) -> float:
        """Mostly quick; sometimes as slow as the link is."""
        random = self.rng.random
        if random() < 0.2:
            return 0.0
        return random() * (link.slow_s if random() < 0.3 else min(link.slow_s, 0.002))

    def send(
        self, sender: Process, link: Link, channel: str, action: Callable[[], Any], timeout_s: float
    ) -> asyncio.Future[Any]:
        """The answer: action's result or exception, once it has come back; Unreachable after timeout_s.

        action may return what is Awaited: then the answer leaves when that comes.
        """
        return _Request(self, sender, link, channel, action, timeout_s).answer


class _Request:
    __slots__ = ("_action", "_deadline_s", "_link", "_network", "_sender", "_timeout_s", "_timer", "answer")

    def __init__(
        self, network: Network, sender: Process, link: Link, channel: str, action: Callable[[], Any], timeout_s: float
    ) -> None:
        now_s = network.loop.now
        self._network = network
        self._sender = sender
        self._link = link
        self._action = action
        self._timeout_s = timeout_s
        self._deadline_s = now_s + timeout_s
        self.answer: asyncio.Future[Any] = asyncio.Future(loop=network.loop)
        at = link.in_order(channel, now_s + network.delay(link))
        network.later(at - now_s, self._arrive)
        self._timer = network.later(timeout_s, self._give_up)

    def _arrive(self) -> None:
        network = self._network
        if self._link.is_cut:
            if network.loop.now < self._deadline_s:
                network.later(RETRY_S, self._arrive)
            return
        try:
            done: Any = self._action()
        except Exception as error:
            done = error
        if isinstance(done, Awaited):
            done.then(self._leave)
        else:
            self._leave(done)

    def _leave(self, result: Any) -> None:
        network, link = self._network, self._link
        if link.lose and network.rng.random() < link.lose:
            network.lost += 1
            return
        network.later(network.delay(link), self._back, result)
        if link.repeat and network.rng.random() < link.repeat:
            network.repeated += 1
            network.later(network.delay(link) * 2, self._back, result)

    def _back(self, result: Any) -> None:
        if self.answer.done() or self._sender.is_dead:
            return
        if self._link.is_cut and self._network.loop.now < self._deadline_s:
            self._network.later(RETRY_S, self._back, result)
            return
        self._timer.cancel()
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)

    def _give_up(self) -> None:
        if not self.answer.done() and not self._sender.is_dead:
            self.answer.set_exception(Unreachable(f"no answer within {self._timeout_s:g} s"))
