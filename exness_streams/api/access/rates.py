"""How often something may be done: fixed windows of the library `limits`, counted in this process.

Its own storage in memory walks through every count a hundred times a second in a thread, and keeps all of them. This
one forgets what is over when it is looked at, and never has more than so many counts.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import NamedTuple

from limits import parse
from limits.storage.base import Storage
from limits.strategies import FixedWindowRateLimiter

COUNTS_MAX = 100_000
"""Counts of one rate, some 30 MB. The count that is nearest to its end makes room: its owner gains little."""

FORGOTTEN_AT_ONCE = 4
"""More than are begun at once, so that they get fewer."""


class Standing(NamedTuple):
    """Where somebody stands after an attempt.

    excess: how much more than allowed was asked for. reset_s: seconds until all is allowed again.
    """

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: float
    excess: int

    @property
    def wait_s(self) -> int:
        """Whole seconds after which it works again."""
        return max(1, math.ceil(self.reset_s))


class Window:
    """What was counted since it began. ends_s: by the monotonic clock."""

    __slots__ = ("count", "ends_s")

    def __init__(self, ends_s: float) -> None:
        self.count, self.ends_s = 0, ends_s


class WindowCounts(Storage):
    """Counts that end together with their windows. All windows are equally long, so the first to begin ends first.

    latest: the window that was counted in last.
    """

    STORAGE_SCHEME = None

    def __init__(self, counts_max: int) -> None:
        super().__init__()
        self._counts_max = counts_max
        # Not a dict, whose first item is the further to find the more were taken from its front.
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self.latest = Window(0.0)

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the library may wrap: nothing fails here."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count; the window begins with the first. expiry: its length in seconds."""
        now_s = time.monotonic()
        window = self._windows.get(key)
        if window is None or window.ends_s <= now_s:
            self._windows.pop(key, None)
            self._make_room(now_s)
            window = self._windows[key] = Window(now_s + expiry)
        window.count += amount
        self.latest = window
        return window.count

    def _make_room(self, now_s: float) -> None:
        """Forget what is over, a few at a time: there may be very many."""
        for _ in range(FORGOTTEN_AT_ONCE):
            if not self._windows:
                return
            first = next(iter(self._windows.values()))
            if first.ends_s > now_s and len(self._windows) < self._counts_max:
                return
            self._windows.popitem(last=False)

    def get(self, key: str) -> int:
        """What was counted in this window."""
        window = self._windows.get(key)
        return 0 if window is None or window.ends_s <= time.monotonic() else window.count

    def get_expiry(self, key: str) -> float:
        """When the window ends, by the monotonic clock."""
        window = self._windows.get(key)
        return time.monotonic() if window is None else window.ends_s

    def check(self) -> bool:
        """Whether it works."""
        return True

    def reset(self) -> int:
        """Forget all; how many there were."""
        there_were = len(self)
        self._windows.clear()
        return there_were

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)


class Rate:
    """A rate such as "2000 per 10 seconds", and how far everybody has used it up."""

    def __init__(self, text: str, counts_max: int = COUNTS_MAX) -> None:
        self._item = parse(text)
        self.window_s: int = self._item.get_expiry()
        self.counts = WindowCounts(counts_max)
        self._limiter = FixedWindowRateLimiter(self.counts)
        self.text = text

    def take(self, name: str, cost: int = 1) -> Standing:
        """Use up `cost` of what is allowed to `name`."""
        is_allowed = self._limiter.hit(self._item, name, cost=cost)
        window = self.counts.latest
        left = self._item.amount - window.count
        reset_s = max(0.0, window.ends_s - time.monotonic())
        return Standing(is_allowed, self._item.amount, max(0, left), reset_s, max(0, -left))

    def forget(self, name: str) -> None:
        """As if `name` had used up nothing."""
        self._limiter.clear(self._item, name)


def rate_of(text: str) -> Rate | None:
    """The rate of a setting; None when it is empty: no limit."""
    return Rate(text) if text else None
