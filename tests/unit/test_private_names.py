"""Other packages' private names: all of them are listed, each is there, and one that is missing is told in one line."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import exness_streams
from exness_streams.api import aiohttp_mends
from exness_streams.transport import faust_mends
from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka import aiokafka_mends
from exness_streams.transport.private_names import Private, is_there, refuse_without

PACKAGE = Path(exness_streams.__file__).parent
NEEDED = (*aiohttp_mends.NEEDED, *aiokafka_mends.NEEDED, *faust_mends.NEEDED)
LISTED = {private.name for private in NEEDED}
SLOTS = {"_transport"}
STANDARD = {"_replace", "_fields", "_asdict", "_make", "_current_frames"}
"""Of named tuples, and a documented function of sys, where an underscore says nothing."""


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names() -> set[str]:
    """Private names that our classes and modules give themselves."""
    own: set[str] = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "log"):
                    own.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Constant) and node.value in SLOTS:
                own.add(node.value)
    return own


def test_each_is_there() -> None:
    assert [private for private in NEEDED if not is_there(private)] == []


def test_no_private_name_of_another_package_is_used_unlisted() -> None:
    own, foreign = own_names(), set()
    for path, tree in trees():
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            if is_private(name) and name not in own | LISTED | STANDARD:
                foreign.add(f"{path.name}: {name}")
    assert sorted(foreign) == []


def faust_overrides() -> Iterator[str]:
    for path in (PACKAGE / "transport").glob("*.py"):
        module = importlib.import_module(f"exness_streams.transport.{path.stem}")
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                theirs = [one for one in kind.__mro__ if one.__module__.startswith(("faust.", "mode.", "aiokafka."))]
                for name, value in vars(kind).items():
                    if is_private(name) and callable(value) and any(name in vars(one) for one in theirs):
                        yield name


def test_what_is_overridden_is_listed() -> None:
    assert set(faust_overrides()) - LISTED == set()


@pytest.mark.parametrize("where", ["aiokafka:AIOKafkaConsumer", "aiokafka:Nobody", "aiokafka.nowhere:Consumer"])
def test_a_missing_one_is_told_in_one_line(where: str) -> None:
    with pytest.raises(LogFault) as refused:
        refuse_without("aiokafka", [Private(where, "_gone")], ">=0.12,<0.15")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("aiokafka ")
    assert "_gone" in str(refused.value)
    assert str(refused.value).endswith("install aiokafka>=0.12,<0.15")


def test_the_bounds_are_those_of_the_project_file() -> None:
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    assert f'"aiokafka{aiokafka_mends.BOUNDS}"' in project
    assert f'"faust-streaming[rocksdict]{faust_mends.BOUNDS}"' in project
    for wanted in ("aiohttp", "websockets", "prometheus-client"):
        assert re.search(rf'"{wanted}>=[0-9.]+,<[0-9.]+"', project), wanted
