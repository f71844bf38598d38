"""Tests beside each other, in a process for each processor (pytest-xdist): which runs what, and in what order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WORKERS_MAX = 8
FOLDERS = ("kafka", "simulation", "property", "e2e", "integration", "unit")
"""Those with the longest tests begin, so that no worker is left with one when the others are done."""

ALONE = ("simulation", "property")
"""Each of their tests may run on any worker. Elsewhere a file's tests share what its fixtures have started."""

ONE_WORKER = ("kafka", "e2e")
"""They share one broker; two browsers at once would slow each other down."""


def workers(config: pytest.Config) -> int:
    """How many for this command; 0: none, the tests run in pytest's own process.

    Whoever names files or tests, picks some, or looks into them, wants to see them at once and in order.
    """
    looks_in = config.getoption("capture") == "no" or config.getoption("trace")
    if looks_in or any(config.getoption(choice, None) for choice in ("keyword", "lf", "stepwise")):
        return 0
    if names_files(config):
        return 0
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, WORKERS_MAX) if processors > 1 else 0


def names_files(config: pytest.Config) -> bool:
    """Whether files or tests are named, and no folder."""
    return all("::" in argument or Path(argument).is_file() for argument in config.args)


def folder_of(node_id: str) -> str:
    """Of tests/unit/test_x.py::test_y it is "unit"."""
    parts = Path(node_id.split("::")[0]).parts
    return parts[-2] if len(parts) > 1 else ""


def share_of(node_id: str) -> str:
    """Tests of one share run on one worker, in their order."""
    folder = folder_of(node_id)
    if folder in ONE_WORKER:
        return folder
    return node_id if folder in ALONE else node_id.split("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """In place; within a folder, tests marked `long` begin."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        folder = folder_of(item.nodeid)
        place = FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)
        return place, item.get_closest_marker("long") is None

    items.sort(key=place)
