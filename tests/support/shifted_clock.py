"""Commands whose clock is off, as on a machine without a time service."""

from __future__ import annotations

SHIFTED = """
import time
wall_s, wall_ns = time.time, time.time_ns
time.time = lambda: wall_s() + {ahead_s}
time.time_ns = lambda: wall_ns() + {ahead_s} * 1_000_000_000
from exness_streams.cli import main
main()
"""


def shifted(command: str, ahead_s: int) -> list[str]:
    """The interpreter's arguments for a command of exness-streams whose clock is ahead by so much, or behind."""
    return ["-c", SHIFTED.format(ahead_s=ahead_s), command]
