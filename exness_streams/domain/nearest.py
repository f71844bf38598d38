"""The name that was probably meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

ALIKE_PERCENT_MIN = 60
"""How alike two spellings are at least: 100 is equal, 0 has nothing in common."""


def nearest(
    text: str,
    names: Iterable[str],
    *,
    alike_percent_min: int = ALIKE_PERCENT_MIN,
    spelling: Callable[[str], str] = str.lower,
) -> str | None:
    """The name most like a text, if one is like it at all. spelling: what of both is compared."""
    spelt = {spelling(name): name for name in sorted(names, reverse=True)}
    near = get_close_matches(spelling(text), spelt, n=1, cutoff=alike_percent_min / 100)
    return spelt[near[0]] if near else None
