"""The examples that the page's tests compute with are what the platform computes."""

from __future__ import annotations

import runpy
from pathlib import Path

PAGE_TESTS = Path(__file__).parent.parent / "page"


def test_the_examples_are_the_platforms_own() -> None:
    made = runpy.run_path(str(PAGE_TESTS / "make_vectors.py"))["vectors"]()
    # write them anew: python tests/page/make_vectors.py
    assert (PAGE_TESTS / "vectors.json").read_text("utf-8") == made
