"""For all tests: what they start ends with them, and they share the processors.

A command that is run in the tests' own process leaves its signals alone, and does not end it.
"""

from __future__ import annotations

from typing import Any

import pytest
from session_guard import SessionGuard
from worker_shares import longest_first, share_of, workers

from exness_streams.processes.stopping import Stopping

# Modules of shared tests get pytest's readable assertions, too.
pytest.register_assert_rewrite("kafka_harness", "log_harness", "transport_conformance", "transport_harness")


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(SessionGuard().close)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return workers(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.option.dist != "load":
        return None  # somebody wants it another way
    from xdist.scheduler import LoadScopeScheduling

    class SharesOfWork(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False  # longest_first has ordered them
    return SharesOfWork(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of a worker
        longest_first(items)


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
