"""Reads what pip-audit has found (`--format json`): ends with 1 when an installed package has a known vulnerability.

pip-audit passes over packages that its database does not answer for, and calls that clean. Here it is said.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def summary(report: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines to show, and whether any package is vulnerable."""
    packages = report["dependencies"]
    audited = [one for one in packages if "vulns" in one]
    if not audited:
        return ["the database of vulnerabilities can't be reached: nothing was audited"], False
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in audited
        for flaw in one["vulns"]
    ]
    return [*found, f"{len(audited)} of {len(packages)} packages audited, {len(found)} vulnerabilities known"], bool(
        found
    )


def main() -> None:
    """The report's file is the argument; one that is empty or not there says that pip-audit could not work."""
    file = Path(sys.argv[1])
    text = file.read_text("utf-8") if file.is_file() else ""
    lines, is_vulnerable = summary(json.loads(text or '{"dependencies": []}'))
    print(*lines, sep="\n")
    sys.exit(1 if is_vulnerable else 0)


if __name__ == "__main__":
    main()
