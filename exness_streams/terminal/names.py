"""Names as people type them: which one is meant, and the nearest when none is."""

from __future__ import annotations

from collections.abc import Collection

from exness_streams.domain.nearest import nearest as nearest_of

ALIKE_PERCENT_MIN = 50


class Ambiguous(ValueError):
    """More than one name could be meant; str() names them."""


def find(text: str, names: Collection[str]) -> str | None:
    """The name that is meant: itself, or the only one that differs by case or by a sign between its words.

    `sol`, `sol_usdc`, `SOL/USDC`, `sol-usdc` and `solusdc` are understood. Raises Ambiguous.
    """
    if text in names:
        return text
    for form in (str.casefold, _with_one_sign, _without_signs):
        wanted = form(text.strip())
        found = sorted({name for name in names if form(name) == wanted}) if wanted else []
        if len(found) > 1:
            raise Ambiguous(f"{text} can be {' or '.join(found)}")
        if found:
            return found[0]
    return None


def nearest(text: str, names: Collection[str]) -> str | None:
    """The name most like what was typed, if one is like it at all."""
    return nearest_of(text, names, alike_percent_min=ALIKE_PERCENT_MIN, spelling=_without_signs)


def did_you_mean(text: str, names: Collection[str]) -> str:
    """A question for the end of a message, or nothing."""
    near = nearest(text, names)
    return "" if near is None else f"; did you mean {near}?"


def _with_one_sign(name: str) -> str:
    return name.casefold().replace("/", "_").replace("-", "_").replace(":", "_").replace(" ", "_")


def _without_signs(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
