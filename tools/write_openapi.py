"""Writes the OpenAPI documents, with numbers and with strings, into a directory: for the tools that check them."""

from __future__ import annotations

import sys
from pathlib import Path

from exness_streams.api.openapi.document import openapi_document
from exness_streams.domain.plain_numbers import Form
from exness_streams.messages import json_encoder

FORMS: tuple[Form, ...] = ("number", "string")


def main(directory: Path) -> None:
    """As DIRECTORY/openapi-number.json and DIRECTORY/openapi-string.json."""
    directory.mkdir(parents=True, exist_ok=True)
    for form in FORMS:
        (directory / f"openapi-{form}.json").write_bytes(json_encoder.encode(openapi_document(form)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
