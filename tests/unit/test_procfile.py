"""The Procfile, run by a shell with a command that counts: a fault is tried again, a wrong setting is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line)
WORKERS = {name: line for name, line in LINES.items() if name != "simulator"}

COUNTING = """#!/bin/sh
echo "$BACKPACK_WS_URL|$BACKPACK_REST_URL|$*" >> "$RUNS"
exit "$(echo "$CODES" | cut -d , -f "$(wc -l < "$RUNS")")"
"""


def run(line: str, codes: str, directory: Path, **variables: str) -> tuple[int, list[str]]:
    """The exit code, and with what each run was started. codes: that the runs end with, one after the other."""
    for name, script in (("exness-streams", COUNTING), ("sleep", "#!/bin/sh\n")):
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)
    runs = directory / "runs"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BACKPACK_")}
    variables |= {"PATH": f"{directory}:{os.environ['PATH']}", "RUNS": str(runs), "CODES": codes}
    ended = subprocess.run(["sh", "-c", line], cwd=ROOT, env=kept | variables, timeout=30, check=False)
    return ended.returncode, runs.read_text().splitlines()


def test_all_services_are_there() -> None:
    assert list(LINES) == ["simulator", "market-data-1", "market-data-2", "engine-1", "engine-2", "engine-3"]


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize(
    ("codes", "times", "code"),
    [
        ("0", 1, 0),  # a clean stop
        ("2", 1, 2),  # a wrong setting
        ("1,1,1,0", 4, 0),  # a fault, such as brokers that are not there yet
        ("1,2", 2, 2),
        ("3,0", 2, 0),  # a stop that was cut off
        ("137,143,0", 3, 0),  # killed
    ],
)
def test_what_is_tried_again(name: str, codes: str, times: int, code: int, tmp_path: Path) -> None:
    ended, runs = run(WORKERS[name], codes, tmp_path)
    assert (ended, len(runs)) == (code, times)
    assert len(set(runs)) == 1
    assert runs[0].endswith(f"--worker-id {name}")


@pytest.mark.parametrize("name", WORKERS)
def test_prices_are_the_simulators_unless_others_are_named(name: str, tmp_path: Path) -> None:
    _, (simulated,) = run(WORKERS[name], "0", tmp_path)
    assert "127.0.0.1:4100" in simulated
    (tmp_path / "runs").unlink()
    _, (named,) = run(WORKERS[name], "0", tmp_path, BACKPACK_WS_URL="wss://one", BACKPACK_REST_URL="")
    assert "127.0.0.1:4100" not in named
