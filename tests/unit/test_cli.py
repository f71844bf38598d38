"""The command line: every fault is one line and an exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_fakes import CLOSED, POSITION, FakeServer, check_one_line, command, plain_environment, server

from exness_streams.cli import main

__all__ = ["plain_environment", "server"]  # fixtures


def test_help_of_every_command() -> None:
    assert command("--help").exit_code == 0
    for name in main.commands:
        shown = command(name, "--help")
        assert shown.exit_code == 0
        assert "Usage:" in shown.output


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
    assert "there is no log in" in result.output + capsys.readouterr().err


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
