"""A TypeScript client, generated from the OpenAPI documents, compiled strictly, opens, closes and reads.

Skipped where Node.js or the packages of package.json are not installed (`npm ci`); `.ci/run page` installs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_harness import PlatformThread

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "typescript"
PROGRAMS = ROOT / "node_modules" / ".bin"
STEP_S = 300
HAS_TOOLS = shutil.which("node") is not None and all(
    (PROGRAMS / name).exists() for name in ("openapi-typescript", "tsc")
)

pytestmark = pytest.mark.skipif(not HAS_TOOLS, reason="Node.js and its packages are not installed: npm ci")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlatformThread]:
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_quote_age_ms=3_600_000)
    try:
        yield thread.start()
    finally:
        thread.stop()


def run(folder: Path, *command: str) -> str:
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=STEP_S, check=False, env={**os.environ}
    )
    assert ran.returncode == 0, f"{command[0]}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def test_a_generated_client_opens_closes_and_reads(platform: PlatformThread, tmp_path: Path) -> None:
    for form in ("number", "string"):
        name = f"openapi-{form}"
        document = platform.get(f"/api/v1/openapi.json?numbers={form}")
        assert document.json["servers"][0]["url"] == f"http://127.0.0.1:{platform.port}"
        (tmp_path / f"{name}.json").write_bytes(document.body)
        run(tmp_path, str(PROGRAMS / "openapi-typescript"), f"{name}.json", "--output", f"{name}.d.ts")
    for file in SOURCE.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}))
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules", target_is_directory=True)
    run(tmp_path, str(PROGRAMS / "tsc"), "--project", ".")
    assert run(tmp_path, "node", "built/client.js", f"http://127.0.0.1:{platform.port}") == "done\n"
    state = platform.state("typescript")
    assert (state["positions"], state["sequence"]) == ([], 11)
