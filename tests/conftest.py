"""For all tests: a command that is run in the tests' own process leaves its signals alone, and does not end it."""

from __future__ import annotations

import pytest

from exness_streams.processes.stopping import Stopping

# Modules of shared tests get pytest's readable assertions, too.
pytest.register_assert_rewrite("kafka_harness", "log_harness", "transport_conformance", "transport_harness")


class StoppingInATest(Stopping):
    """Takes no signals, and ends nothing."""

    def __init__(self) -> None:
        super().__init__(exit=lambda code: None)

    def watch(self) -> None:
        pass

    def limit(self, reason: str) -> None:
        pass


@pytest.fixture(autouse=True)
def commands_do_not_end_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exness_streams.cli.Stopping", StoppingInATest)
