"""How many random examples a test plays: all of them in CI, half on a developer's machine."""

from __future__ import annotations

import os


def examples(in_ci: int) -> int:
    """For Hypothesis's max_examples."""
    return in_ci if os.environ.get("CI") else (in_ci + 1) // 2
