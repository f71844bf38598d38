"""Writes docs/asyncapi.json anew. `--check`: exit 1 when it is another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from exness_streams.api.asyncapi.document import asyncapi_document

DOCUMENT = Path(__file__).parents[1] / "docs" / "asyncapi.json"


def text() -> str:
    """The document as it lies there."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        DOCUMENT.write_text(text(), "utf-8")
    elif DOCUMENT.read_text("utf-8") != text():
        sys.exit(f"{DOCUMENT} is not what the message types say: run tools/write_asyncapi.py")
