"""Import it before confluent-kafka, which only developers have: elsewhere the test is skipped, but never in CI."""

from __future__ import annotations

import os

import pytest

if "CI" not in os.environ:  # there a missing part is a failure
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: pip install -e '.[dev]'")
