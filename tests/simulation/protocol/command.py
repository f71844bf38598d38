"""The command: one life with its trace, so many lives, or as many as go into some hours."""

from __future__ import annotations

import argparse
import gc
import hashlib
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from typing import Any, NamedTuple, Protocol

from protocol.world import Outcome

TELL_S = 60.0


class Live(Protocol):
    """Plays one life, with a fault put in by hand or without one."""

    def __call__(self, seed: int, *, fault: str | None = None) -> Outcome: ...


class Floor(NamedTuple):
    """What is played. first_found: (fault, lives at most, first seed) -> how many it took, and what was found.

    options: with which the command plays it.
    """

    live: Live
    faults: Collection[str]
    first_found: Callable[[str, int, int], tuple[int, str] | None]
    options: str = ""


_played: Floor
"""By this process and by those that are forked off it."""


def main(floor: Floor) -> None:
    global _played
    _played = floor
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--floor", choices=("protocol", "faust"), help="protocol: hosts only; faust: whole workers")
    parser.add_argument("--seed", type=int, help="one life, with its trace")
    parser.add_argument("--seeds", type=int, help="so many lives")
    parser.add_argument("--first", type=int, default=0, help="the first seed of several")
    parser.add_argument("--hours", type=float, help="lives for so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that play them (all cores)")
    parser.add_argument("--faults", action="store_true", help="put faults in, one after the other, and count lives")
    parser.add_argument("--fault", choices=list(floor.faults), help="one of them; with --seed: in that life")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.seed is not None:
        sys.exit(one(asked.seed, asked.fault))
    if asked.faults or asked.fault:
        names = [asked.fault] if asked.fault else list(floor.faults)
        sys.exit(try_faults(names, asked.seeds or 500, asked.first, asked.jobs))
    sys.exit(many(asked.first, asked.seeds, asked.hours, asked.jobs))


def one(seed: int, fault: str | None) -> int:
    """Print a life's trace."""
    outcome = _played.live(seed, fault=fault)
    print("\n".join(outcome.trace))
    digest = hashlib.sha256("\n".join(outcome.trace).encode()).hexdigest()[:16]
    print(f"seed {seed}: {outcome.steps} steps, trace {digest}, {len(outcome.violations)} violations")
    return 1 if outcome.violations else 0


class Played(NamedTuple):
    """What is told of a life. cpu_s: the processor's time it took."""

    seed: int
    violations: list[str]
    counted: Counter[str]
    crash_points: Counter[str]
    cpu_s: float


def play(seed: int) -> Played:
    began_s = sum(os.times()[:4])
    outcome = _played.live(seed)
    cpu_s = sum(os.times()[:4]) - began_s
    return Played(seed, outcome.violations, outcome.counted, outcome.crash_points, cpu_s)


class Figures:
    """Those of many lives."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.crash_points: Counter[str] = Counter()
        self.lives = self.found = 0
        self.cpu_s = 0.0
        self._began_s = self._told_s = time.monotonic()

    def add(self, played: Played) -> None:
        self.lives += 1
        self.cpu_s += played.cpu_s
        self.counted.update(played.counted)
        self.crash_points.update(played.crash_points)
        if played.violations:
            self.found += 1
            print(f"seed {played.seed}: {played.violations[0]}")
            print(
                f"  to see how it came to that: python -m tests.simulation{_played.options} --seed {played.seed}",
                flush=True,
            )
        if time.monotonic() - self._told_s > TELL_S:
            self._told_s = time.monotonic()
            print(self._line(), flush=True)

    def _line(self) -> str:
        passed_s = time.monotonic() - self._began_s
        each = f"{self.cpu_s / self.lives:.3f} s of processor each" if self.lives else "none whole"
        return (
            f"{self.lives:,d} lives in {passed_s:.0f} s, {self.lives / passed_s:.1f} a second, {each}; "
            f"{self.found} with violations"
        )

    def tell(self) -> None:
        print(self._line())
        for name, count in sorted(self.counted.items()):
            print(f"{count:9,d} {name}")
        print(f"{len(self.crash_points)} crash points, hit {sum(self.crash_points.values())} times:")
        for name, count in self.crash_points.most_common():
            print(f"{count:9,d} {name}")


def many(first: int, seeds: int | None, hours: float | None, jobs: int) -> int:
    """Print what is found, and figures, also when it is interrupted; 1 when anything was found."""
    figures, wanted = Figures(), itertools.count(first) if seeds is None else range(first, first + seeds)
    end_s = None if hours is None else time.monotonic() + hours * 3600
    is_interrupted = False
    try:
        with processes(jobs) as pool:
            for played in _each(pool, play, wanted, jobs):
                figures.add(played)
                if end_s is not None and time.monotonic() > end_s:
                    break
    except KeyboardInterrupt:
        is_interrupted = True
        print("interrupted; what there is so far:")
    figures.tell()
    return 1 if figures.found else 130 if is_interrupted else 0


def _each(pool: Pool | None, action: Any, wanted: Iterable[Any], jobs: int) -> Iterator[Any]:
    """In slices, so that no endless range is read ahead."""
    if pool is None:
        yield from map(action, wanted)
        return
    left = iter(wanted)
    while part := list(itertools.islice(left, 100 * jobs)):
        yield from pool.imap_unordered(action, part)


@contextmanager
def processes(jobs: int) -> Iterator[Pool | None]:
    """Those that play; None: this one does."""
    gc.collect()
    gc.freeze()  # what is imported lives as long as the process, and need not be looked at after each life
    if jobs <= 1:
        yield None
        return
    with multiprocessing.get_context("fork").Pool(jobs, _begin) as pool:
        yield pool


def _begin() -> None:
    """The command is interrupted, and ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Trial(NamedTuple):
    """A fault, and in which lives it is looked for."""

    name: str
    seeds_max: int
    first: int


def _try(trial: Trial) -> tuple[str, tuple[int, str] | None]:
    return trial.name, _played.first_found(*trial)


def try_faults(names: list[str], seeds_max: int, first: int, jobs: int) -> int:
    """Print a table: how many lives each fault took; 1 when one was not found."""
    missed = 0
    with processes(min(jobs, len(names))) as pool:
        for name, found in _each(pool, _try, [Trial(name, seeds_max, first) for name in names], jobs):
            missed += found is None
            print(f"| {name} | {'not found' if found is None else f'{found[0]} | {found[1]}'} |", flush=True)
    return 1 if missed else 0
