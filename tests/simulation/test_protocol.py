"""The commit protocol through some lives of its simulation; `.ci/run simulation` plays a thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from protocol.faults import first_found
from protocol.world import live

ROOT = Path(__file__).parents[2]
SEARCHED = 150


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


STALE = ("_make_a_zombie",)
"""Ways in which a worker goes on that was replaced; see protocol/nemesis.py."""


class Kept(NamedTuple):
    """A seed that found a fault, in a life where `only` goes wrong; empty: anything may."""

    seed: int
    only: tuple[str, ...] = ()


KEPT = {
    "commit before fence": Kept(11, (*STALE, "_slow", "_storm")),
    "offset before rows": Kept(0),
    "gap check off": Kept(0, (*STALE, "_storm")),
    "lease check off": Kept(1),
    "promise not awaited": Kept(2),
    "raw range skipped": Kept(0),
    "epoch not raised at a takeover": Kept(4, STALE),
    "epoch not compared": Kept(0, STALE),
    "rules by code instead of by log": Kept(0),
    "key remembered before the fold": Kept(1, ("_crash", "_cut_from_brokers", "_storm")),
    "what runs ahead is not read": Kept(2),
    "a lost acknowledgement taken for a failure": Kept(3),
    "a read without a fresh fetch": Kept(3),
    "restart flag ignored": Kept(11),
    "gap flag ignored": Kept(7),
    "an expired offset taken as 0": Kept(5),
}
"""For each fault put in by hand the first seed that found it."""

FOUND = {
    1024: "a ticks' topic made anew whose first ticks were gone: no cell took a frame of it",
    12730: "a ticks' topic made anew before anything framed was committed, and a framer that has no cell",
    3094: "a former owner's frame came late, as the first after the change of rules: the cell was deaf from then on",
    6: "ticks seen by the first rules were taken again when their owner changed with the rules",
}
"""Seeds that found something in the code of their day."""


@pytest.mark.parametrize("name", KEPT)
def test_a_fault_put_in_by_hand_is_found_and_the_program_without_it_is_clean(name: str) -> None:
    seed, only = KEPT[name]
    assert not live(seed, only=only).violations
    # What a seed means changes with the code: then others have to do.
    if not live(seed, fault=name, only=only).violations:
        assert first_found(name, SEARCHED, only=only) is not None, f"{name} is not found within {SEARCHED} lives"


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_found_something_stays_clean(seed: int) -> None:
    assert not live(seed).violations, FOUND[seed]
