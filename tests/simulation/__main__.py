"""`python -m tests.simulation`: see docs/testing.md, Simulation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]

from protocol.command import main  # noqa: E402 - found by the line above

main()
