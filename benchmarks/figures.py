"""What a benchmark hands back: figures, each with the aim it is held against."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

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


def circumstances() -> str:
    """What a figure has to stand with: commit, date, machine and how busy it was, in one line."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"commit {found or 'unknown'}, {time.strftime('%d %B %Y %H:%M')}, {os.cpu_count()} cores, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}; load over 1, 5 and 15 minutes: {load}"
    )


def report(figures: Sequence[Figure]) -> None:
    """Print the figures: a table, or JSON for run_all.py (`--json`)."""
    print(msgspec.json.encode(figures).decode() if "--json" in sys.argv else table_of(figures))
