"""The lives of this floor. Each is a process of its own: Faust keeps much in its modules."""

from __future__ import annotations

import gc
import os
import pickle
import random
import resource
import signal
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

CPU_S_MAX = 120
"""Of one life: one that goes round in circles ends."""


def floor() -> Any:
    """This one, ready to be played; the process begins anew for it."""
    _as_seeded_process()
    _install()
    from protocol.command import Floor

    from faust_floor.faults import FAULTS

    return Floor(live, FAULTS, first_found, " --floor faust")


def _as_seeded_process() -> None:
    """Begin again with a hash seed that is the same in each run, unless this is it."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})


def _install() -> None:
    """Virtual time and simulated clients, and then all that is real. For good."""
    from faust_floor import clients, virtual_time

    virtual_time.install()
    clients.install()
    from faust_floor import orders, threads, world  # noqa: F401 - now

    orders.install()
    threads.install()
    gc.collect()
    gc.freeze()


def live(seed: int, *, nemesis: bool = True, fault: str | None = None) -> Any:
    """One life, as the protocol floor's."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
        try:
            outcome = _live(seed, nemesis, fault)
            with os.fdopen(writing, "wb") as told:
                pickle.dump(outcome, told)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as heard:
            found = heard.read()
    except BaseException:  # interrupted: it is not left behind
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)
    if not found:
        raise RuntimeError(f"life {seed} ended without a word")
    return pickle.loads(found)


def _live(seed: int, nemesis: bool, fault: str | None) -> Any:
    from faust_floor import faults, world

    random.seed(seed)
    names = random.Random(f"names-{seed}")
    uuid.uuid4 = lambda: uuid.UUID(int=names.getrandbits(128), version=4)  # type: ignore[assignment]
    gc.disable()  # what it would free, and when, is no part of a life
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - mode prints there what the trace tells
    if fault is not None:
        faults.put_in(fault)
    return world.live(seed, nemesis=nemesis)


def first_found(name: str, seeds_max: int, first: int = 0) -> tuple[int, str] | None:
    """(how many lives it took, what was found), None when nothing was."""
    for number in range(seeds_max):
        outcome = live(first + number, fault=name)
        if outcome.violations:
            return number + 1, outcome.violations[0]
    return None
