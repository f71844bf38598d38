"""E-mail addresses: one spelling each, and nothing that is none."""

from __future__ import annotations

import pytest

from exness_streams.domain.emails import normalized_email


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anna@example.com", "anna@example.com"),
        (" Anna@Example.COM ", "anna@example.com"),
        ("a.b+c@x-y.example", "a.b+c@x-y.example"),
        ("a@localhost", "a@localhost"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("a" * 64 + "@b.c", "a" * 64 + "@b.c"),
        ("a" * 65 + "@b.c", None),
        ("a@" + "b" * 64, None),
        ("a@" + "b.c" * 100, None),
        ("a@" + ("b" * 60 + ".") * 4 + "b" * 8, "a@" + ("b" * 60 + ".") * 4 + "b" * 8),  # 254 characters
        ("a@" + ("b" * 60 + ".") * 4 + "b" * 9, None),
        ("", None),
        ("anna", None),
        ("@example.com", None),
        ("anna@", None),
        ("a@b@c", None),
        (".a@b.c", None),
        ("a..b@c.d", None),
        ("a@b..c", None),
        ("a@-b.c", None),
        ("a b@c.d", None),
        ("a\n@c.d", None),
        ("a@b.c\r\nBcc: x@y.z", None),
        ("a@b.c,d@e.f", None),
        ("<a@b.c>", None),
        ("é@b.c", None),
        ("a@b.c\x00", None),
    ],
)
def test_addresses(text: str, found: str | None) -> None:
    assert normalized_email(text) == found
