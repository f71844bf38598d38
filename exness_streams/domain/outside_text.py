"""Text that comes from outside, made fit for a log line, an answer or a status: one printable line of bounded length.

A newline in an exchange's reason for closing would forge a line of the log; control characters would drive the terminal
of whoever reads it.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

LENGTH_MAX = 160
HIDDEN = "***"


def in_one_line(said: object, length_max: int = LENGTH_MAX) -> str:
    """What a stranger said (text, UTF-8 bytes, or anything with a str()), white space folded, the rest escaped."""
    if isinstance(said, bytes | bytearray):
        said = bytes(said[: 4 * length_max]).decode("utf-8", "replace")
    text = " ".join(str(said)[: 8 * length_max].split())
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def without_secrets(url: str) -> str:
    """A URL as it may be shown: no user, no password, no query, no fragment; what was there is told by ***."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")
        netloc = f"{HIDDEN}@{host[2]}" if host[1] else parts.netloc
        return urlunsplit(
            (parts.scheme, netloc, parts.path, HIDDEN if parts.query else "", HIDDEN if parts.fragment else "")
        )
    except ValueError:
        return HIDDEN if set(url) & set("@?#") else url
