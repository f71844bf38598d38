"""The audit of dependencies: what it reads of pip-audit's report, and that silence is not called clean."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "audit_dependencies.py"

CLEAN = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
SKIPPED = {"name": "faust-streaming", "skip_reason": "Dependency not found on PyPI and could not be audited"}
FLAWED = {"name": "left", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([CLEAN], 0, "1 of 1 packages audited, 0 vulnerabilities known"),
        ([CLEAN, SKIPPED], 0, "1 of 2 packages audited, 0 vulnerabilities known"),
        ([SKIPPED, SKIPPED], 0, "can't be reached: nothing was audited"),
        ([CLEAN, FLAWED], 1, "left 1.0: PYSEC-1, mended in 1.1"),
    ],
)
def test_reports(tmp_path: Path, packages: list[dict[str, Any]], code: int, said: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    ended = subprocess.run([sys.executable, TOOL, report], capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout


@pytest.mark.parametrize("is_there", [True, False])
def test_an_audit_that_did_not_work_is_one_line(tmp_path: Path, is_there: bool) -> None:
    report = tmp_path / "report.json"
    if is_there:
        report.touch()
    ended = subprocess.run([sys.executable, TOOL, report], capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 1)
    assert "nothing was audited" in ended.stdout
