"""Which tests share a worker: those that share what is expensive to start, and no others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from ports import free_ports
from worker_shares import share_of, workers

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("tests/kafka/test_cluster.py::test_a", "tests/kafka/test_kafka_audit.py::test_b", True),
        ("tests/e2e/test_page_chart.py::test_a", "tests/e2e/test_page_lives.py::test_b", True),
        ("tests/integration/test_api.py::test_a", "tests/integration/test_api.py::test_b[a::b/c]", True),
        ("tests/integration/test_api.py::test_a", "tests/integration/test_feed.py::test_a", False),
        ("tests/simulation/test_kill.py::test_a", "tests/simulation/test_kill.py::test_b", False),
    ],
)
def test_shares(one: str, other: str, share: bool) -> None:
    assert (share_of(one) == share_of(other)) is share


@dataclass
class FakeConfig:
    args: list[str]
    options: dict[str, object]

    def getoption(self, name: str, default: object = None) -> object:
        return self.options.get(name, default)


def workers_for(*arguments: str, **options: object) -> int:
    return workers(FakeConfig(list(arguments), options))  # type: ignore[arg-type]


def test_who_looks_at_single_tests_waits_for_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert workers_for("tests") == workers_for("tests/unit") == workers_for("tests/unit", __file__) == 4
    assert workers_for(__file__) == workers_for(f"{__file__}::test_shares") == 0
    for option in ({"capture": "no"}, {"trace": True}, {"keyword": "shares"}, {"lf": True}, {"stepwise": True}):
        assert workers_for("tests", **option) == 0
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    assert workers_for("tests") == 0, "one processor"


def test_a_port_is_given_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)  # all begin at the same port
    code = "import os, ports, sys; os.getpid = lambda: 7; print(*ports.free_ports(40), flush=True); sys.stdin.read()"
    ask = [sys.executable, "-c", code]
    others = [
        subprocess.Popen(ask, cwd=SUPPORT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        given = free_ports(40)
        for other in others:
            assert other.stdout is not None
            given += [int(port) for port in other.stdout.readline().split()]
    finally:
        for other in others:
            other.communicate()
    assert len(given) == len(set(given)) == 160
