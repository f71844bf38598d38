"""For all tests: what they start ends with them, and they share the processors.

A command that is run in the tests' own process leaves its signals alone, and does not end it.
"""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from compiled_modules import share_compiled_modules
from first_cases import leave_out
from hypothesis import HealthCheck, settings
from session_guard import SessionGuard
from worker_shares import folder_of, longest_first, share_of, workers

from exness_streams.processes.stopping import Stopping

# Modules of shared tests get pytest's readable assertions, too.
pytest.register_assert_rewrite("kafka_harness", "log_harness", "transport_conformance", "transport_harness")

LONG_S_MAX = 1800

share_compiled_modules()

# No test asserts a time: neither an example's, nor how long it took to think of it.
settings.register_profile("untimed", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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
    leave_out(config, items)
    if hasattr(config, "workerinput"):  # of a worker
        longest_first(items)
    for item in items:
        # The first of Kafka's waits for Maven and the broker.
        if folder_of(item.nodeid) == "kafka" or item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(LONG_S_MAX))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there by now stays: no collection of garbage need look through it again.

    A platform collects at each table it closes, and thousands of tests with all their modules are much to look through.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: what is missing there is a fault of CI's."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.shouldfail = "in CI nothing may be skipped"


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
    monkeypatch.setattr("exness_streams.processes.stopping.Stopping", StoppingInATest)
