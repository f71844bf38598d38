"""What the operators' documents quote is what the program says: who reads a line in the log searches them for it.

A quotation's fixed parts lie between its `…`, and between the words that stand for a value (numbers, names of topics).
Each of them must be in a text of the source, whose own values count as `…`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANUALS = [ROOT / "docs" / name for name in ("operations.md", "bad-prices.md")]

CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
WORD = re.compile(r"\b[a-z]{2,}\b")
NO_MESSAGE = re.compile(r"exness-streams|sum\(|docker|listen |kafka-|faust|run |EXNESS_\w+=|[\w.]+=")
"""Commands, expressions and settings."""
VALUE = re.compile(
    r"\S*[0-9/]\S*|\S*trading-[a-z]\S*|\S*changelog\S*|backpack-market-updates|EXNESS_\w+|(?<= )N$|%[-+0-9.]*[a-z]"
)
SPOKEN = re.compile(r"^[ ,;:.()]+|[ ,;:.()]+$")

TOGETHER = {
    "can't be repaired: its journal ends at record": ("can't be repaired:", "its journal ends at record"),
    "is in use by process": ("is in use by",),
    "s, so nobody is answered, in": ("s, so nobody is answered",),
    "the log refuses what it writes: a worker that is late has taken it over": (
        "the log refuses what it writes",
        "a worker that is late has taken it over",
    ),
    "behind that of the worker that makes the price frames": ("behind", "that of the worker that makes the price"),
    "of history was built up to": ("was built up to record",),
    "partitions, not": ("… partitions", "…, not … (EXNESS_PARTITIONS)"),
    "it was made anew or cut, but its histories stand at": ("it was made anew or cut", "but its histories stand at"),
    "Kafka did not commit partition": ("Kafka did not commit",),
    "of the journal, for they leave out ticks that it has not seen": (
        "of the journal, for they",
        "leave out ticks that it has not seen",
    ),
}
"""Parts that the program puts together of several texts, and these."""

OTHERS = {"Heartbeat failed: local member_id was not recognized": "aiokafka.consumer.group_coordinator"}
"""Said by another's program."""


def texts_of(path: Path) -> Iterator[str]:
    """All texts of a source file, each in one line, with `…` for what is put into it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        else:
            continue
        yield " ".join(re.sub(r"%(\([a-z_]+\))?[-+0-9.]*[a-z]", "…", text).split())


SOURCE = "\n".join(
    dict.fromkeys(text for path in sorted((ROOT / "exness_streams").rglob("*.py")) for text in texts_of(path))
)


def quoted_messages() -> list[str]:
    """The sentences among what is quoted."""
    text = "\n".join(CODE_BLOCK.sub("", manual.read_text("utf-8")) for manual in MANUALS)
    quoted = (" ".join(one.replace("\\|", "|").split()) for one in QUOTED.findall(text))
    return [
        one for one in dict.fromkeys(quoted) if " " in one and len(WORD.findall(one)) >= 3 and not NO_MESSAGE.match(one)
    ]


def fixed_parts(message: str) -> list[str]:
    """What of it is the same each time."""
    parts = (SPOKEN.sub("", part) for part in VALUE.sub("…", message).split("…"))
    return [part for part in parts if " " in part]


MESSAGES = quoted_messages()


def test_messages_were_found() -> None:
    assert len(MESSAGES) > 80
    assert "partition … of the journal ends at …, but accounts were built from it up to …" in MESSAGES


@pytest.mark.parametrize("message", MESSAGES)
def test_the_manual_quotes_what_the_program_says(message: str) -> None:
    if message in OTHERS:
        spec = find_spec(OTHERS[message])
        assert spec is not None
        assert spec.origin is not None
        said = "\n".join(texts_of(Path(spec.origin)))
        assert all(part in said for part in message.split(": ")), message
        return
    parts = fixed_parts(message)
    assert parts, f"nothing of {message!r} can be searched for"
    for part in parts:
        for fixed in TOGETHER.get(part, (part,)):
            is_said = fixed in SOURCE  # pytest would print the source
            assert is_said, f"{fixed!r} of {message!r} is said nowhere"


def test_no_exception_is_left_over() -> None:
    parts = {part for message in MESSAGES for part in fixed_parts(message)}
    assert parts.issuperset(TOGETHER)
    assert not any(part in SOURCE for part in TOGETHER), "the program says it in one text now"
    assert set(MESSAGES).issuperset(OTHERS)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ("partition … of trading-events ends at …: it was cut", ["ends at", "it was cut"]),
        ("cell 3 drops all frames since record 4567", ["drops all frames since record"]),
        ("the log in … is in use by process N", ["the log in", "is in use by process"]),
    ],
)
def test_fixed_parts_lie_between_values(message: str, parts: list[str]) -> None:
    assert fixed_parts(message) == parts
