"""What a benchmark hands back: figures, each with the aim it is held against."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured value. at_most, at_least: the aim in the same unit; neither when it is only reported."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def aim(self) -> str:
        """The aim in words."""
        if self.at_most is not None:
            return f"≤ {shown(self.at_most)}"
        return "" if self.at_least is None else f"≥ {shown(self.at_least)}"

    @property
    def verdict(self) -> str:
        """Whether the aim is met, empty without one."""
        if self.at_most is None and self.at_least is None:
            return ""
        missed = (self.at_most is not None and self.value > self.at_most) or (
            self.at_least is not None and self.value < self.at_least
        )
        return "missed" if missed else "met"


def shown(value: float) -> str:
    """Three significant digits, thousands apart, no exponent."""
    digits = Decimal(f"{value:.2e}")
    exponent = digits.as_tuple().exponent
    assert isinstance(exponent, int)
    text = f"{digits:,.{max(0, -exponent)}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


def table_of(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    lines = ["| figure | measured | unit | aim | |", "|---|---:|---|---:|---|"]
    lines += [f"| {f.name} | {shown(f.value)} | {f.unit} | {f.aim} | {f.verdict} |" for f in figures]
    return "\n".join(lines)


def report(figures: Sequence[Figure]) -> None:
    """Print the figures: a table, or JSON for run_all.py (`--json`)."""
    print(msgspec.json.encode(figures).decode() if "--json" in sys.argv else table_of(figures))
