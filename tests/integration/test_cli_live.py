"""The command line against a platform that runs: a person's day."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from platform_harness import GIVE_UP_S, PlatformThread, until

from exness_streams.cli import main
from exness_streams.client.http import ApiClient

_MAIN = "from exness_streams.cli import main; main()"


@pytest.fixture
def platform(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlatformThread]:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    thread = PlatformThread(tmp_path_factory.mktemp("platform"), max_quote_age_ms=3_600_000)
    monkeypatch.setenv("EXNESS_URL", f"http://127.0.0.1:{thread.port}")
    monkeypatch.setenv("EXNESS_ACCOUNT", "ann")
    try:
        yield thread.start()
    finally:
        thread.stop()


def said(*arguments: str) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_day(platform: PlatformThread) -> None:
    opened = said("open", "SOL", "long", "--margin", "1000", "--leverage", "2", "--stop-loss", "100")
    (position_id,) = re.findall(r"close (pos_\w+)", opened)
    assert "stop loss -, take profit 200" in said("modify", position_id, "--stop-loss", "none", "--take-profit", "200")
    assert "left: " in said("close", position_id, "--percent", "50")
    assert "left: " in said("close", position_id, "--quantity", "0.5")
    placed = said("orders", "place", "SOL", "long", "--price", "100", "--margin", "50", "--expires-in", "8h")
    (order_id,) = re.findall(r"cancel (ord_\w+)", placed)
    assert order_id in said("orders")
    assert position_id in said("state")
    assert "cancelled" in said("orders", "cancel", order_id)
    assert "no pending orders" in said("orders")
    assert "1 of 1 positions closed" in said("close-all")
    assert "10,000.00" not in said("state")
    assert said("trades").count("manual") == 3
    _, *rows = said("trades", "--csv").splitlines()
    assert len(rows) == 3
    assert all(position_id in row for row in rows)
    assert "500 USD deposited" in said("deposit", "500")
    assert "Account reset: balance 10,000.00" in said("reset", "--yes")
    assert "no closed trades" in said("trades", "--reason", "liquidation")


def test_a_day_of_a_program(platform: PlatformThread) -> None:
    client = ApiClient(f"http://127.0.0.1:{platform.port}", "ann")
    names = [market["symbol"] for market in json.loads(said("markets", "--json"))["markets"]]
    assert [market.symbol for market in client.markets().markets] == names
    assert "SOL_USDC" in said("markets", "sol")
    opened = json.loads(said("open", "sol", "BUY", "--margin", "1000", "--json"))
    assert opened["type"] == "long"
    placed = [
        json.loads(said("orders", "place", name, "sell", "--price", "90000", "--margin", "1000", "--json"))
        for name in ("sol_usdc", "btc", "SOL")
    ]
    assert json.loads(said("orders", "--json"))["orders"] == placed
    for words, expected in [
        (["close"], [opened["positionId"]]),
        (["orders", "cancel"], [order["orderId"] for order in placed]),
        (["open"], sorted({name.split("_")[0] for name in names}) + names),
    ]:
        shell = ShellComplete(main, {}, "exness-streams", "_EXNESS_STREAMS_COMPLETE")
        assert [item.value for item in shell.get_completions(words, "")] == expected
    done = json.loads(said("cancel-all", "sol", "--json"))
    assert [result["orderId"] for result in done["results"]] == [placed[0]["orderId"], placed[2]["orderId"]]
    assert said("cancel-all", "sol").strip() == "no pending orders to cancel"
    assert said("cancel-all").splitlines()[-1] == "1 of 1 orders cancelled"
    assert json.loads(said("state", "--json"))["orders"] == []
    closed = json.loads(said("close", opened["positionId"], "--json"))
    trades = json.loads(said("trades", "--symbol", "sol", "--json"))["trades"]
    assert [trade["realizedPnL"] for trade in trades] == [closed["realizedPnL"]]
    refused = CliRunner().invoke(main, ["close", opened["positionId"], "--json"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert json.loads(refused.stderr)["error"] == "POSITION_NOT_FOUND"


def test_who_reads_a_watch_may_go(platform: PlatformThread) -> None:
    command = [sys.executable, "-c", _MAIN, "watch", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "connection"
        assert json.loads(process.stdout.readline())["type"] == "state"
        process.stdout.close()
        platform.set_price("SOL_USDC", "160.10", "160.20")
        assert process.wait(GIVE_UP_S) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def test_watching_until_ctrl_c(platform: PlatformThread) -> None:
    process = subprocess.Popen([sys.executable, "-c", _MAIN, "watch"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "positions 0" in line_with(process.stdout, "SOL_USDC 150/150.1")
        said("open", "SOL", "long", "--margin", "1000")
        assert "PnL -0.67" in line_with(process.stdout, "positions 1")  # 1000 / 150.1 * 0.1
        platform.set_price("SOL_USDC", "160.10", "160.20")
        assert "SOL_USDC 160.1/160.2" in line_with(process.stdout, "PnL +66.60")  # 6.66 * 10
        process.send_signal(signal.SIGINT)
        assert process.wait(GIVE_UP_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line_with(output: IO[str], text: str) -> str:
    """The first line from now on that holds a text."""
    line: str = until(lambda: next((line for line in [output.readline()] if text in line), ""))
    return line
