"""Ends the build of an image whose page would have no chart, or whose /docs no viewer.

For a user's own install that is only a warning.
"""

import sys
from pathlib import Path

import exness_streams

NEEDED = (
    "lightweight-charts.standalone.production.mjs",
    "lightweight-charts.LICENSE.txt",
    "swagger-ui-bundle.js",
    "swagger-ui.css",
    "swagger-ui.LICENSE.txt",
)


def main() -> None:
    """Exit code 1, with a line, when a file is missing."""
    vendor = Path(exness_streams.__file__).parent / "web" / "vendor"
    missing = [name for name in NEEDED if not (vendor / name).is_file() or not (vendor / name).stat().st_size]
    if missing:
        sys.exit(
            f"the image would lack the page's chart, or the viewer of /docs ({', '.join(missing)}): "
            "the build needs a network that reaches npm's registry and PyPI, to fetch them"
        )


if __name__ == "__main__":
    main()
