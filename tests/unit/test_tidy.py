"""House rules that a reader relies on and a linter does not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import exness_streams

PACKAGE = Path(exness_streams.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
DOMAIN = [path for path in FILES if path.is_relative_to(PACKAGE / "domain")]
TESTS = Path(__file__).parents[1]
TEST_FILES = sorted(TESTS.rglob("*.py"))

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager"}

IMPURE = {
    "asyncio", "concurrent", "datetime", "faust", "io", "logging", "mode", "multiprocessing", "os", "pathlib",
    "random", "secrets", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "exness_streams" else [module]


def test_the_package_was_found() -> None:
    assert len(DOMAIN) >= 10
    assert PACKAGE / "domain" / "cell.py" in DOMAIN


@pytest.mark.parametrize("path", DOMAIN, ids=name_of)
def test_the_domain_is_pure(path: Path) -> None:
    tree = tree_of(path)
    roots = {name.split(".")[0] for name in imports_of(tree)}
    assert not roots & IMPURE
    for node in ast.walk(tree):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"{where} has a float"
        if isinstance(node, ast.Name):
            assert node.id not in {"float", "open", "hash", "id", "input"}, f"{where} uses {node.id}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"}, where


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_depends_on_assert(path: Path) -> None:
    """`python -O` drops it: what must not happen raises."""
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert), f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES_MAX
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & FORBIDDEN_NAMES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_a_screen(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{name_of(path)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] == "cli":
        return
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.Name) and node.id == "print"), f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_what_tests_share_lies_in_support(path: Path) -> None:
    """A test module is run, not imported: by another one it would run its fixtures and samples from there."""
    modules = {name.split(".")[0] for name in imports_of(tree_of(path))}
    assert not {name for name in modules if name.startswith("test_") or name in ("conftest", "tests")}
    if path.parent.name == "support":
        assert ast.get_docstring(tree_of(path)), "a first line says what is in it"


def test_the_version_stands_in_one_place() -> None:
    """exness_streams/__init__.py: the build reads it there, and so do the API, the metrics and the command line."""
    root = TESTS.parent
    assert 'dynamic = ["version"]' in (root / "pyproject.toml").read_text("utf-8")
    quoted = f'"{exness_streams.__version__}"'
    named = ("pyproject.toml", "package.json", "docker/Dockerfile", "docker/compose.yaml")
    sources = [path for path in FILES if path != PACKAGE / "__init__.py"] + [root / name for name in named]
    assert not [path for path in sources if quoted in path.read_text("utf-8")]
