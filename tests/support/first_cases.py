"""Tables of long cases: a developer's whole run takes the first case of each test, CI takes all.

So does whoever names the file. The mark is `first_case`, on a test or, as `pytestmark`, on a module. What is marked
`experiment` runs only for who asks for it, with TEST_EXPERIMENTS=1: it takes minutes, and shows what the docs tell.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from worker_shares import names_files


def experiments(*cases: Any) -> list[Any]:
    """Parameters of a test that are experiments, beside others that are none."""
    return [pytest.param(case, marks=pytest.mark.experiment) for case in cases]


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the cases that need not run out of the items, and tell pytest of them."""
    if not os.environ.get("TEST_EXPERIMENTS"):
        _leave_out_experiments(config, items)
    if os.environ.get("CI") or names_files(config):
        return
    seen: set[str] = set()
    kept, left_out = [], []
    for item in items:
        test = item.nodeid.split("[")[0]
        if test in seen and item.get_closest_marker("first_case"):
            left_out.append(item)
        else:
            kept.append(item)
        seen.add(test)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _leave_out_experiments(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("experiment")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("experiment")]
