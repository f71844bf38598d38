"""No variable of Faust's changes what the platform was told."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from faust.types.settings import Settings as FaustSettings

from exness_streams.engine.build import build_engine
from exness_streams.processes.market_data_worker import MarketDataWorker
from exness_streams.settings.kafka import load_kafka_settings
from exness_streams.settings.platform import load_settings
from exness_streams.transport.faust_environment import forget_faust_variables, ignored_variables

VARIABLES = sorted({param.env_name for param in FaustSettings.SETTINGS.values() if param.env_name})
VALUES = ("1", "0.0.0.0", "kafka://elsewhere", "/elsewhere")


MADE_UP_EACH_TIME = "reply_to"


def effective(app: Any) -> dict[str, str]:
    settings = FaustSettings.SETTINGS.items()
    return {
        name: repr(getattr(app.conf, name))
        for name, param in settings
        if not param.deprecated and name != MADE_UP_EACH_TIME
    }


def configurations(data_dir: Path) -> list[dict[str, str]]:
    """Of each kind of process."""
    embedded = build_engine(load_settings(data_dir=data_dir)).app
    on_kafka = load_kafka_settings(data_dir=data_dir)
    return [effective(app) for app in (embedded, build_engine(on_kafka).app, MarketDataWorker(on_kafka).app)]


def test_the_table_is_whole() -> None:
    assert len(VARIABLES) > 60
    assert {"WEB_BIND", "WEB_PORT", "APP_WEB_TABLES_ENABLED", "APP_DATADIR", "BROKER_URL"} <= set(VARIABLES)


@pytest.mark.parametrize("value", VALUES)
def test_none_counts(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = configurations(tmp_path)
    for name in VARIABLES:
        monkeypatch.setenv(name, value)
    assert configurations(tmp_path) == before


def test_they_are_named() -> None:
    assert ignored_variables({"WEB_BIND": "0.0.0.0", "PORT": "1", "EXNESS_HOST": "::1"}) == ["WEB_BIND"]
    assert ignored_variables({}) == []


def test_what_is_read_at_import_is_taken_away_before() -> None:
    environment = {"F_LOOP": "gevent", "FAUST_DEBUG": "1", "NO_CYTHON": "1", "DJANGO_SETTINGS_MODULE": "x", "HOME": "/"}
    assert sorted(forget_faust_variables(environment)) == [
        "DJANGO_SETTINGS_MODULE",
        "FAUST_DEBUG",
        "F_LOOP",
        "NO_CYTHON",
    ]
    assert environment == {"HOME": "/"}


def read_by(package: str) -> set[str]:
    """The names that a package's source asks the environment for."""
    found = set()
    root = Path(str(import_module(package).__file__)).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.search(r"(environ\.(get|pop)|getenv)$", ast.unparse(node.func)):
                name = node.args[0]
            elif isinstance(node, ast.Subscript) and re.search(r"environ$", ast.unparse(node.value)):
                name = node.slice
            else:
                continue
            if isinstance(name, ast.Constant) and "_getenv" not in ast.unparse(node):
                found.add(str(name.value))
    return found


# Faust's completion asks which shell it is for: nothing that runs depends on it.
HARMLESS = {"SHELL"}


def test_whatever_faust_reads_while_it_is_imported_is_forgotten_before() -> None:
    names = read_by("faust") | read_by("mode")
    assert len(names) >= 8, "the sources were read"
    assert names - HARMLESS <= set(forget_faust_variables(dict.fromkeys(names, "x")))
