"""Modules compiled once for all the processes that tests and benchmarks start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".artifacts" / "pycache"


def share_compiled_modules() -> None:
    """Also where Python is to write no bytecode, as container images ask: it goes into a folder of its own.

    Otherwise each of hundreds of processes would compile every module anew, a second each, and a start that is measured
    would be longer than a user's.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(FOLDER)
        sys.dont_write_bytecode = False
