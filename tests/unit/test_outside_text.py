"""What strangers say stays one printable line of bounded length, and what is secret in a URL is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.outside_text import in_one_line, without_secrets


@given(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.lists(st.text())), st.integers(1, 300))
def test_it_is_always_one_printable_line(said: object, length_max: int) -> None:
    line = in_one_line(said, length_max)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    assert len(line) <= length_max


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("bye\n2026-01-01 ERROR forged", "bye 2026-01-01 ERROR forged"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("a\u2028b\u202ec", "a b\\u202ec"),
        (b"\xff\xfe", "��"),
        ("ключ", "ключ"),
        ("", ""),
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_examples(said: object, line: str) -> None:
    assert in_one_line(said) == line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:pw@host/?token=S", "ws://***@host/?***"),
        ("wss://ws.backpack.exchange", "wss://ws.backpack.exchange"),
        ("ws://user@host:1/path#secret", "ws://***@host:1/path#***"),
        ("ws://a:b@c@[::1]:4/", "ws://***@[::1]:4/"),
        ("http://[x", "http://[x"),
        ("ws://u:p@[x", "***"),
        ("ws://[x/?token=S", "***"),
    ],
)
def test_what_is_secret_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
