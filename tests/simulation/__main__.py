"""`python -m tests.simulation`: see docs/testing.md, Simulation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

if "faust" in sys.argv[1:] or "--floor=faust" in sys.argv[1:]:
    from faust_floor.command import floor

    FLOOR = floor()
else:
    from protocol.faults import FLOOR

from protocol.command import main  # noqa: E402 - the Faust floor's clocks come before all that keeps them

main(FLOOR)
