"""What TAB offers, of the command line and of a platform that runs; nothing when there is none."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from cli_fakes import MARKETS, ORDER, STATE, FakeServer, plain_environment, server
from click.shell_completion import ShellComplete

from exness_streams.cli import SECTIONS, main
from exness_streams.terminal import completion

__all__ = ["plain_environment", "server"]  # fixtures


def offered(typed: str) -> list[str]:
    """For the last word; after a space, for one that is not begun."""
    *words, incomplete = typed.split(" ")
    shell = ShellComplete(main, {}, "exness-streams", "_EXNESS_STREAMS_COMPLETE")
    return [item.value for item in shell.get_completions(words, incomplete)]


def test_commands() -> None:
    assert offered("") == [name for commands in SECTIONS.values() for name in commands]
    assert offered("c") == ["close", "close-all", "cancel-all", "checkpoint"]
    assert offered("orders ") == ["cancel", "place"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("open SOL ", ["long", "short"]),
        ("open SOL b", ["buy"]),
        ("open SOL S", ["short", "sell"]),
        ("orders place SOL ", ["long", "short"]),
        ("orders place --kind ", ["limit", "stop"]),
        ("trades --reason s", ["stop_loss", "settlement"]),
        ("run --feed ", ["backpack", "simulated"]),
        ("open --mar", ["--margin"]),
        ("state --", ["--url", "--account", "--insecure", "--json", "--help"]),
    ],
)
def test_words_and_options(typed: str, expected: list[str]) -> None:
    assert offered(typed) == expected


@pytest.mark.parametrize(
    ("typed", "answer", "expected"),
    [
        ("open ", MARKETS, ["SOL", "kBONK", "SOL_USDC", "SOL_USDC_PERP", "kBONK_USDC"]),
        ("open kb", MARKETS, ["kBONK", "kBONK_USDC"]),
        ("orders place sol_", MARKETS, ["SOL_USDC", "SOL_USDC_PERP"]),
        ("markets KB", MARKETS, ["kBONK", "kBONK_USDC"]),
        ("cancel-all kbonk_", MARKETS, ["kBONK_USDC"]),
        ("trades --symbol kbonk_", MARKETS, ["kBONK_USDC"]),
        ("close ", STATE, ["pos_0_1"]),
        ("close ord", STATE, []),
        ("modify pos", STATE, ["pos_0_1"]),
        ("orders cancel ", STATE | {"orders": [ORDER]}, ["ord_0_2"]),
    ],
)
def test_what_the_platform_knows(server: FakeServer, typed: str, answer: Any, expected: list[str]) -> None:
    server.answer = (200, json.dumps(answer).encode())
    assert offered(typed) == expected


@pytest.mark.parametrize(
    "typed",
    [f"{words} " for words in ("close --account ann", "orders --account ann cancel", "orders cancel --account ann")],
)
def test_of_the_account_that_was_typed(server: FakeServer, typed: str) -> None:
    offered(typed)
    assert [headers["X-Account"] for _, headers, _ in server.asked] == ["ann"]


@pytest.mark.parametrize("typed", ["open ", "close ", "modify ", "orders cancel ", "trades --symbol "])
@pytest.mark.parametrize("answer", [(200, b"<html>"), (503, b'{"message":"","error":"NOT_READY"}'), (200, b"{}")])
def test_nothing_of_a_platform_that_says_nothing(server: FakeServer, typed: str, answer: tuple[int, bytes]) -> None:
    server.answer = answer
    assert offered(typed) == []
    server.breaks = 1
    assert offered(typed) == []
    assert len(server.asked) == 2, "a broken connection is not tried again"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "ftp://x", "", "http://127.0.0.1:x"])
def test_nothing_without_a_platform(url: str) -> None:
    assert offered(f"close --url {url} ") == []


def test_a_platform_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "TIMEOUT_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert offered(f"close --url http://127.0.0.1:{mute.getsockname()[1]} ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_are_known(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_EXNESS_STREAMS_COMPLETE", f"{shell}_source")
    from click.testing import CliRunner

    result = CliRunner().invoke(main, [], prog_name="exness-streams")
    assert result.exit_code == 0
    assert "_EXNESS_STREAMS_COMPLETE" in result.output
