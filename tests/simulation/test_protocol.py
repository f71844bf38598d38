"""The commit protocol through some lives of its simulation; `.ci/run simulation` plays a thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from protocol.faults import FAULTS, first_found
from protocol.world import live

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, 30, 6))
def test_nothing_is_lost_doubled_or_told_twice_differently(first: int) -> None:
    found = {seed: live(seed).violations for seed in range(first, first + 6)}
    assert not any(found.values()), found


def test_a_life_without_faults_answers_every_request() -> None:
    outcome = live(3, nemesis=False)
    assert not outcome.violations
    assert outcome.counted["answered"] > 20
    assert not outcome.crash_points


def test_lives_meet_what_they_are_for() -> None:
    outcomes = [live(seed) for seed in range(30, 36)]
    met = sum((outcome.counted for outcome in outcomes), outcomes[0].counted.__class__())
    assert met["rebalances"] > 10
    assert met["crashes"] + met["pauses"] + met["zombies"] > 3
    assert met["answered"] > 50


def test_the_same_seed_gives_the_same_trace_in_another_process() -> None:
    traces = [_trace(hash_seed) for hash_seed in ("1", "2")]
    assert traces[0] == traces[1]
    assert traces[0].count("\n") > 20


def _trace(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "11"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "name",
    [
        "offset before rows",
        "gap check off",
        "promise not awaited",
        "raw range skipped",
        "key remembered before the fold",
        "what runs ahead is not read",
        "a lost acknowledgement taken for a failure",
    ],
)
def test_a_fault_put_in_by_hand_is_found(name: str) -> None:
    assert name in FAULTS
    assert first_found(name, 100) is not None
