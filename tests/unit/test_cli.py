"""The command line: every fault is one line and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli_fakes import CLOSED, POSITION, FakeServer, check_one_line, command, plain_environment, server
from ports import free_port

from exness_streams.cli import SECTIONS, main
from exness_streams.terminal.command import first_sentences

__all__ = ["plain_environment", "server"]  # fixtures


HEAVY = {"faust", "mode", "aiokafka", "aiohttp", "rocksdict", "pydantic", "pydantic_settings", "rich", "websockets"}


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        yield (*before, name), found
        if isinstance(found, click.Group):
            yield from commands_of(found, *before, name)


COMMANDS = dict(commands_of(main))


@pytest.fixture(params=COMMANDS, ids=" ".join)
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def test_help_of_every_command(names: tuple[str, ...]) -> None:
    shown = command(*names, "--help")
    assert shown.exit_code == 0
    assert f"Usage: main {' '.join(names)}" in shown.output
    assert "..." not in shown.output.replace("[ARGS]...", "")


def test_the_help_of_every_option_is_a_sentence(names: tuple[str, ...]) -> None:
    found = COMMANDS[names]
    assert found.get_short_help_str(1_000).endswith(".")
    for option in found.params:
        if isinstance(option, click.Option):
            assert re.fullmatch(r"[A-Z].*\.", option.help or ""), f"{option.name}: {option.help}"


def test_the_environment_of_every_option_is_shown(names: tuple[str, ...]) -> None:
    shown = " ".join(command(*names, "--help").output.split())
    for option in COMMANDS[names].params:
        if option.name in ("url", "account", "data_dir", "worker_id"):
            assert f"env var: EXNESS_{option.name.upper()}" in shown
        if isinstance(option, click.Option) and option.envvar:
            assert f"env var: {option.envvar}" in shown


def test_the_list_is_in_sections_and_whole() -> None:
    shown = command("--help").output
    titles = re.findall(r"^(\w+):$", shown, re.MULTILINE)
    assert titles == ["Options", "Trade", "Look", "Access", "Operate", "Run", "Check"]
    told = " ".join(shown.split())
    for (name, *inner), found in COMMANDS.items():
        if not inner:
            assert f" {name} {first_sentences(found)}" in told
    assert "..." not in shown.replace("[ARGS]...", "")


def test_reading_and_trading_commands_write_json(names: tuple[str, ...]) -> None:
    is_another = names[0] in (*SECTIONS["Run"], *SECTIONS["Check"], "login", "logout")
    assert ("as_json" in {option.name for option in COMMANDS[names].params}) is not is_another


@pytest.mark.parametrize(
    ("typed", "near"), [("opne", "open"), ("makrets", "markets"), ("cancelall", "cancel-all"), ("Watch", "watch")]
)
def test_a_command_that_is_none_names_the_nearest(typed: str, near: str) -> None:
    result = command(typed)
    assert result.exit_code == 2
    assert f"there is no command {typed}; did you mean {near}?" in result.output


def loaded_by(arguments: list[str], **environment: str) -> set[str]:
    """The packages that a fresh interpreter imported, when it ran the command line."""
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        f"sys.argv = ['exness-streams', *{arguments!r}]\n"
        "from exness_streams.cli import main\n"
        "main(prog_name='exness-streams')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    packages = set(ended.stderr.splitlines()[-1].split())
    assert {"click", "exness_streams"} <= packages
    return packages


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], *([*names, "--help"] for names in COMMANDS)], ids=" ".join
)
def test_what_only_tells_imports_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(arguments, EXNESS_DATA_DIR="/nowhere", EXNESS_FEERATE="x") & HEAVY


def test_a_slip_is_looked_for_without_faust() -> None:
    script = "import sys, exness_streams.settings.names; print(*{name.split('.')[0] for name in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(ended.stdout.split()) & {"faust", "mode", "aiokafka", "aiohttp", "rocksdict"}


@pytest.mark.parametrize(
    "words", ["", "op", "open sol ", "run --", "run --feed ", "audit --", "simulate-backpack --", "orders "]
)
def test_a_press_of_tab_imports_nothing_heavy(words: str) -> None:
    typed = f"exness-streams {words}"
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - (not typed.endswith(" ")))}
    assert not loaded_by([], _EXNESS_STREAMS_COMPLETE="bash_complete", **asked) & HEAVY


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("run", "--port", "99999"), ("PORT=99999", "1 to 65535")),
        (("run", "--port", "0"), ("PORT=0", "1 to 65535")),
        *(
            ((*arguments, "--rate", rate), ("--rate", "0.1 to 100000"))
            for arguments in (("run", "--feed", "simulated"), ("run",), ("simulate-backpack",))
            for rate in ("0", "-0", "-1", "nan", "inf", "-inf", "1e9", "1e-9", "100000.1")
        ),
        (("simulate-backpack", "--faults", "zzz"), ("zzz",)),
        (("simulate-backpack", "--symbols", "a b"), ("a b",)),
    ],
)
def test_what_is_misused_is_told_in_one_line(
    arguments: tuple[str, ...], names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check_one_line(command(*arguments), 2, capsys, *names)


@pytest.mark.parametrize(
    ("variable", "value"), [("EXNESS_HOST", "0.0.0.0"), ("EXNESS_FEE_RATE", "x"), ("EXNESS_INSTRUMENTS", "é_USDC")]
)
@pytest.mark.parametrize("arguments", [("run", "--feed", "simulated"), ("audit",), ("checkpoint",)])
def test_wrong_settings_are_told_in_one_line(
    variable: str,
    value: str,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    check_one_line(command(*arguments), 2, capsys, f"{variable}={value}")


@pytest.mark.parametrize("name", ["audit", "checkpoint"])
def test_no_log_is_told_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = command(name, "--data-dir", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    said = result.output + capsys.readouterr().err
    assert "there is no log in" in said
    assert "--kafka" in said, "KAFKA_BROKERS alone does not mean the cluster"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "nonsense"),
        ("--url", "http://127.0.0.1:x"),
        ("--url", "http://127.0.0.1:1"),
        ("--url", "ftp://127.0.0.1"),
        ("--url", "http://127.0.0.1:1/\x01"),
        ("--account", "é€", "--url", "http://127.0.0.1:1"),
        ("--account", "a\nb", "--url", "http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check_one_line(command("state", *arguments), 1, capsys)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "x", "1,5", ""])
def test_numbers_that_are_none(number: str) -> None:
    result = command("open", "SOL", "long", "--margin", number)
    assert result.exit_code == 2
    assert "is not a number" in result.output


def test_an_order_is_sent_exactly_and_under_a_key(server: FakeServer) -> None:
    server.answer = (201, json.dumps(POSITION).encode())
    result = command("open", "SOL", "long", "--margin", "0.1", "--leverage", "2", "--slippage", "0", "--account", "ann")
    assert result.exit_code == 0
    ((path, headers, body),) = server.asked
    assert path == "/api/v1/positions/open"
    assert headers["X-Account"] == "ann"
    assert len(headers["Idempotency-Key"]) == 32
    assert body == {"asset": "SOL", "type": "long", "margin": 0.1, "leverage": 2, "slippage": 0}


def test_close_and_state(server: FakeServer) -> None:
    assert command("state").exit_code == 0
    server.answer = (200, json.dumps(CLOSED).encode())
    assert command("close", "pos_0_1").exit_code == 0
    assert [(path, body) for path, _, body in server.asked] == [
        ("/api/v1/state", None),
        ("/api/v1/positions/close", {"positionId": "pos_0_1"}),
    ]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"message":"too little","error":"INVALID_MARGIN"}', "INVALID_MARGIN: too little"),
        (502, b"<html>", "HTTP 502"),
        (200, b"<html>", "no answer from"),
        (200, b"{}", "no answer from"),
        (200, b"", "no answer from"),
    ],
)
def test_refusals_and_strange_answers_are_told_in_one_line(
    server: FakeServer, status: int, body: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = (status, body)
    check_one_line(command("state"), 1, capsys, said)


@pytest.mark.parametrize("name", ["audit", "checkpoint", "repair", "upgrade"])
def test_why_no_broker_can_be_used_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", f"127.0.0.1:{free_port()}")
    result = command(name, "--kafka", "--data-dir", str(tmp_path))
    said = result.output + capsys.readouterr().err
    assert result.exit_code == 1
    assert "none takes a connection" in said
    assert "start the brokers, or correct KAFKA_BROKERS" in said
