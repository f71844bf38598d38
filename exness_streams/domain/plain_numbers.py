"""Numbers as they go out: digits and a decimal point, never an exponent, so that every reader can read and send them.

Python writes a Decimal below 0.000001 as 9.8E-7. Our own journal and tables keep that form, byte for byte: audits
compare them with what earlier releases wrote.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Literal

import msgspec

Form = Literal["number", "string"]
"""How a Decimal is written in JSON: as a number with its exact digits, or as a string, exact in JavaScript too."""

_EXPONENT = re.compile(r"(?<![\w.+-])-?[0-9]+(?:\.[0-9]+)?E[+-][0-9]{1,3}(?![\w-]|\.[0-9])", re.ASCII)


def plain(amount: Decimal) -> str:
    """A number's digits, without an exponent."""
    return format(amount, "f")


def in_plain_digits(text: str) -> str:
    """A sentence with the numbers that Python wrote with an exponent written out."""
    return _EXPONENT.sub(lambda found: plain(Decimal(found[0])), text) if "E" in text else text


class PlainEncoder:
    """Encodes messages as JSON whose Decimals carry no exponent."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._encode = msgspec.json.Encoder(decimal_format=form).encode

    def encode(self, message: Any) -> bytes:
        """The message as JSON."""
        content = self._encode(message)
        if b"E-" not in content and b"E+" not in content:
            return content
        # Some text, or a tiny number: only a look at the values themselves tells which. Few messages hold one.
        return self._encode(self._written_out(msgspec.to_builtins(message, builtin_types=(Decimal,))))

    def _written_out(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return plain(value) if self._form == "string" else msgspec.Raw(plain(value).encode())
        if isinstance(value, dict):
            return {name: self._written_out(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._written_out(item) for item in value]
        return value


encoders: dict[Form, PlainEncoder] = {"number": PlainEncoder("number"), "string": PlainEncoder("string")}
"""Of all that goes out, by the form of its numbers."""
