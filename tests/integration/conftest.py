"""Modules of shared tests get pytest's readable assertions, too."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("log_harness", "transport_conformance", "transport_harness")
