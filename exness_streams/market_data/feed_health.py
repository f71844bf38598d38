"""Judgements the feed makes over time: how long to wait, whether clocks agree, who has fallen silent.

Pure: every method is given the time it needs to know.
"""

from __future__ import annotations

import random
from collections.abc import Iterable


class Backoff:
    """Delays between attempts: none at first, then `first_s`, doubling up to `max_s`, with jitter."""

    def __init__(self, first_s: float, max_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._rng = rng
        self._attempts = 0

    def next_delay_s(self) -> float:
        """Seconds to wait before the next attempt: 0, then between half the doubled delay and all of it."""
        attempts, self._attempts = self._attempts, self._attempts + 1
        if attempts == 0:
            return 0.0
        # The exponent is capped: 2.0 ** 1024 overflows, and a feed may be out of reach for a week.
        ceiling = min(self._max_s, self._first_s * 2.0 ** min(attempts - 1, 64))
        return self._rng.uniform(max(self._first_s, ceiling / 2), ceiling)

    def reset(self) -> None:
        """The next attempt is made at once."""
        self._attempts = 0


class Pace:
    """How many updates may be handed on: bursts at once, and so many a second in the long run. Never waits for long."""

    def __init__(self, updates_per_s: float, burst: float, wait_s_max: float) -> None:
        self._updates_per_s = updates_per_s
        self._burst = self._credit = burst
        self._least = -updates_per_s * wait_s_max
        self._at_s = 0.0

    def spend(self, updates: int, now_s: float) -> float:
        """So many were handed on. Seconds until the next ones may be."""
        earned = (now_s - self._at_s) * self._updates_per_s
        self._credit = max(self._least, min(self._burst, self._credit + earned) - updates)
        self._at_s = now_s
        return max(0.0, -self._credit / self._updates_per_s)


class SkewMonitor:
    """Tells a lasting difference between event times and the local clock from a passing one."""

    def __init__(self, skew_us_max: int, lasting_s: float) -> None:
        self._skew_us_max = skew_us_max
        self._lasting_s = lasting_s
        self._since: float | None = None
        self.skewed = False
        self.skew_us = 0

    def observe(self, skew_us: int, now_s: float) -> bool:
        """Takes one sample: local clock − event time, µs. True when `skewed` has changed."""
        self.skew_us = skew_us
        if (abs(skew_us) > self._skew_us_max) == self.skewed:
            self._since = None
            return False
        if self._since is None:
            self._since = now_s
        if now_s - self._since < self._lasting_s:
            return False
        self._since = None
        self.skewed = not self.skewed
        return True


class SilenceMonitor:
    """Knows which wanted symbols have sent no ticker for too long.

    Backpack answers nothing for a symbol that is unknown or closed, and says nothing when one closes. The
    ticker, once a second, is the only sign of life: a book that does not change may be quiet for minutes.
    """

    def __init__(self, symbols: Iterable[str], silent_after_s: float) -> None:
        self._symbols = tuple(symbols)
        self._silent_after_s = silent_after_s
        self._heard_s: dict[str, float] = {}
        self._silent: set[str] = set()
        self._returned: list[str] = []

    @property
    def silent(self) -> frozenset[str]:
        """The symbols that are silent now."""
        return frozenset(self._silent)

    def restart(self, now_s: float) -> None:
        """Data flows (again): every symbol gets the full time. Those known as silent stay so until heard."""
        self._heard_s = dict.fromkeys(self._symbols, now_s)

    def heard(self, symbol: str, now_s: float) -> None:
        """A ticker of `symbol` has arrived."""
        self._heard_s[symbol] = now_s
        if symbol in self._silent:
            self._silent.remove(symbol)
            self._returned.append(symbol)

    def check(self, now_s: float) -> tuple[list[str], list[str]]:
        """(symbols newly silent, symbols heard again) since the last check."""
        newly_silent = [
            symbol
            for symbol, heard_s in self._heard_s.items()
            if symbol not in self._silent and now_s - heard_s >= self._silent_after_s
        ]
        self._silent.update(newly_silent)
        returned, self._returned = self._returned, []
        return newly_silent, returned
