"""The command: one life with its trace, so many lives, or as many as go into some hours."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter

from protocol.faults import FAULTS, first_found
from protocol.world import live


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one life, with its trace")
    parser.add_argument("--seeds", type=int, help="so many lives")
    parser.add_argument("--first", type=int, default=0, help="the first seed of several")
    parser.add_argument("--hours", type=float, help="lives for so long")
    parser.add_argument("--faults", action="store_true", help="put faults in, one after the other, and count lives")
    parser.add_argument("--fault", help="one of them")
    asked = parser.parse_args()
    if asked.faults or asked.fault:
        sys.exit(try_faults([asked.fault] if asked.fault else list(FAULTS), asked.seeds or 500, asked.first))
    if asked.seed is not None:
        sys.exit(one(asked.seed))
    sys.exit(many(asked.first, asked.seeds, asked.hours))


def one(seed: int) -> int:
    """Print a life's trace."""
    outcome = live(seed)
    print("\n".join(outcome.trace))
    digest = hashlib.sha256("\n".join(outcome.trace).encode()).hexdigest()[:16]
    print(f"seed {seed}: {outcome.steps} steps, trace {digest}, {len(outcome.violations)} violations")
    return 1 if outcome.violations else 0


def many(first: int, seeds: int | None, hours: float | None) -> int:
    """Print what is found, and figures; 1 when anything was found."""
    began_s = told_s = time.monotonic()
    counted, points, found, lives = Counter[str](), Counter[str](), 0, 0
    while (seeds is None or lives < seeds) and (hours is None or time.monotonic() - began_s < hours * 3600):
        outcome = live(first + lives)
        lives += 1
        counted += outcome.counted
        points += outcome.crash_points
        if outcome.violations:
            found += 1
            print(f"seed {outcome.seed}: {outcome.violations[0]}", flush=True)
        if time.monotonic() - told_s > 60:
            told_s = time.monotonic()
            print(f"{lives} lives, {lives / (told_s - began_s):.1f} a second, {found} with violations", flush=True)
    passed_s = time.monotonic() - began_s
    cpu_s = time.process_time()
    each_s = f"{cpu_s / lives:.3f} s of processor each"
    print(f"{lives} lives in {passed_s:.0f} s, {lives / passed_s:.1f} a second, {each_s}; {found} with violations")
    for name, count in sorted(counted.items()):
        print(f"{count:9,d} {name}")
    print(
        f"{len(points)} crash points, hit {points.total() if hasattr(points, 'total') else sum(points.values())} times:"
    )
    for name, count in points.most_common():
        print(f"{count:9,d} {name}")
    return 1 if found else 0


def try_faults(names: list[str], seeds_max: int, first: int) -> int:
    """Print a table: how many lives each fault took; 1 when one was not found."""
    missed = 0
    for name in names:
        found = first_found(name, seeds_max, first)
        missed += found is None
        print(f"| {name} | {'not found' if found is None else f'{found[0]} | {found[1]}'} |", flush=True)
    return 1 if missed else 0
