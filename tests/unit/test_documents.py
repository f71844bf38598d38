"""What the documents name exists: links, headings, files of source, settings with their defaults."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from exness_streams.settings.access import AccessSettings
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import UNPREFIXED, Settings
from exness_streams.settings.prefix import OF_CLIENTS, PREFIX

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("exness_streams", "tests", "tools", "benchmarks", "docker", "docs", ".ci")

FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?<![\w./*-])[\w./-]+\.(?:py|js|css|yaml|toml)(?![\w/])")
NAMED_IN_SOURCE = re.compile(r"(?<![\w./*{-])[\w][\w./-]*\.(?:py|md)(?![\w/])")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
DOCUMENT_NAMED = re.compile(r"(docs/[\w./-]+\.md)(?:, ([A-Z][\w ]+))?")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors_of(document: Path) -> set[str]:
    """As GitHub makes them of headings; of equal ones the later have a number."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", document.read_text("utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        number = next(n for n in range(100) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def links_of(document: Path) -> list[str]:
    targets = LINK.findall(FENCED.sub("", document.read_text("utf-8")))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def files_of_the_repository() -> Iterator[str]:
    yield from (path.name for path in ROOT.iterdir() if path.is_file())
    for room in ROOMS:
        yield from (name_of(path) for path in (ROOT / room).rglob("*") if path.is_file())


def is_named(name: str, files: frozenset[str]) -> bool:
    return any(file == name or file.endswith(f"/{name}") for file in files)


@pytest.fixture(scope="module")
def files() -> frozenset[str]:
    return frozenset(files_of_the_repository())


def test_the_documents_were_found() -> None:
    assert {"README.md", "docs/api.md", "docs/decisions/README.md"} <= {name_of(path) for path in DOCUMENTS}
    assert sum(len(links_of(document)) for document in DOCUMENTS) >= 30


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in links_of(document):
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{target}: no such file"
        assert there.is_relative_to(ROOT), f"{target} leads out of the repository"
        if anchor:
            assert anchor in anchors_of(there), f"{target}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_that_is_named_exists(document: Path, files: frozenset[str]) -> None:
    text = document.read_text("utf-8")
    for code in [*CODE.findall(FENCED.sub("", text)), *FENCED.findall(text)]:
        for name in FILE.findall(code):
            assert is_named(name.removeprefix("./"), files), f"{name} does not exist"


@pytest.mark.parametrize(
    ("name", "there"),
    [("domain/cell.py", True), ("cell.py", True), ("domain/cel.py", False), ("main/cell.py", False), ("ell.py", False)],
)
def test_a_file_is_told_from_none(name: str, there: bool, files: frozenset[str]) -> None:
    assert is_named(name, files) is there


def test_files_are_found_in_text() -> None:
    text = "see `engine/framer.py` (`backpack.py`), exness_streams/messages.py; faust -A exness_streams.app"
    assert FILE.findall(text) == ["engine/framer.py", "backpack.py", "exness_streams/messages.py"]


SOURCES = [
    path
    for folder, ending in (
        ("exness_streams", "py"),
        ("exness_streams/web/js", "js"),
        ("benchmarks", "py"),
        ("tools", "py"),
    )
    for path in sorted((ROOT / folder).rglob(f"*.{ending}"))
]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_file_that_a_source_names_exists(path: Path, files: frozenset[str]) -> None:
    """Comments and docstrings that send their reader to another file."""
    for name in NAMED_IN_SOURCE.findall(path.read_text("utf-8")):
        assert is_named(name, files), f"{name} does not exist"


def test_every_heading_that_the_source_names_exists() -> None:
    """An error or a docstring that sends its reader to a document, and to a heading in it."""
    named = 0
    for path in sorted((ROOT / "exness_streams").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            for document, heading in DOCUMENT_NAMED.findall(node.value):
                named += 1
                assert (ROOT / document).is_file(), f"{name_of(path)}:{node.lineno}: {document}"
                if heading:
                    slug = heading.strip().lower().replace(" ", "-")
                    assert slug in anchors_of(ROOT / document), f"{name_of(path)}:{node.lineno}: {document}, {heading}"
    assert named >= 5


def variable_of(field: str) -> str:
    name = field.upper()
    return name if name in UNPREFIXED else PREFIX + name


def default_of(field: FieldInfo) -> str:
    """As it would be written in the environment; '' when it is unset or derived."""
    value = field.default
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int | Decimal | Path) else ""


def rows_of(heading: str) -> dict[str, list[str]]:
    """The table under `heading` in settings.md: variable → its other columns."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:3] == "| `"
    ]
    assert len({row[0] for row in rows}) == len(rows), "a variable stands there twice"
    return {row[0].strip("`"): row[1:] for row in rows}


OF_ALL = {
    variable_of(name): field for name, field in Settings.model_fields.items() if name not in AccessSettings.model_fields
}
OF_ACCESS = {variable_of(name): field for name, field in AccessSettings.model_fields.items()}
OF_KAFKA = {
    variable_of(name): field
    for name, field in KafkaSettings.model_fields.items()
    if name not in Settings.model_fields or field.default != Settings.model_fields[name].default
}


@pytest.mark.parametrize(
    ("heading", "fields"),
    [("Every platform", OF_ALL), ("Who may do what", OF_ACCESS), ("On Kafka", OF_KAFKA)],
    ids=["every platform", "who may do what", "on Kafka"],
)
def test_the_settings_are_as_documented(heading: str, fields: dict[str, FieldInfo]) -> None:
    rows = rows_of(heading)
    assert set(rows) == set(fields)
    for variable, field in fields.items():
        default, allowed, meaning = rows[variable]
        value = default_of(field)
        assert default == f"`{value}`" if value else default and "`" not in default, variable
        assert allowed == field.description, variable
        assert meaning, variable


def test_the_terminal_client_s_settings_are_documented() -> None:
    assert set(rows_of("Terminal client")) == OF_CLIENTS
