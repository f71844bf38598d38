"""`exness-streams run` on a directory that was used before: its prices go on, and no other source mixes in."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from platform_harness import until
from platform_process import PlatformProcess
from ports import free_port

from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder
from exness_streams.transport.embedded.log import EmbeddedLog

_MAIN = "from exness_streams.cli import main; main(prog_name='exness-streams')"
DAY_MS = 86_400_000


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", _MAIN, *map(str, arguments)]


def environment() -> dict[str, str]:
    ours = ("EXNESS_", "BACKPACK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours) and name != "PORT"}


def leave_a_price(data_dir: Path, symbol: str, bid: str) -> None:
    async def write() -> None:
        log = EmbeddedLog.open(data_dir / "log")
        log.declare(MARKET_UPDATES_TOPIC, 1, retention_ms=DAY_MS)
        tick = MarketDataMessage(symbol, Decimal(bid), 1, 1, bid=Decimal(bid), ask=Decimal(bid) + 1)
        await log.append(MARKET_UPDATES_TOPIC, 0, symbol.encode(), json_encoder.encode(tick))
        await log.append(MARKET_UPDATES_TOPIC, 0, symbol.encode(), b"no tick")
        log.close()

    asyncio.run(write())


def markets(port: int) -> dict[str, Any] | None:
    with (
        suppress(OSError, ValueError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/markets", timeout=5) as answer,
    ):
        found: dict[str, Any] = json.load(answer)
        return found if all(market["tradable"] for market in found["markets"]) else None
    return None


def test_a_first_start_and_the_next_warn_of_nothing(tmp_path: Path) -> None:
    platform = PlatformProcess(tmp_path / "data", free_port())
    try:
        for _ in range(2):
            platform.start()
            platform.wait_tradable()
            assert platform.terminate() == 0, platform.said()
            assert "WARNING" not in platform.said(), platform.said()
    finally:
        platform.end()


def test_simulated_prices_go_on_and_the_exchange_is_kept_out(tmp_path: Path) -> None:
    leave_a_price(tmp_path, "SOL_USDC", "777")
    port = free_port()
    run = command("run", "--feed", "simulated", "--port", port, "--data-dir", tmp_path)
    with subprocess.Popen(run, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            told = until(lambda: markets(port))
        finally:
            process.terminate()
            process.wait(60)
    bids = {market["symbol"]: market["bid"] for market in told["markets"]}
    assert bids["SOL_USDC"] == pytest.approx(777, rel=0.05), "it goes on where the log ends"
    assert bids["BTC_USDC"] == pytest.approx(65_000, rel=0.05), "nothing is known of it: it begins as ever"
    assert told["feed"]["source"] == "simulated"

    refused = subprocess.run(
        command("run", "--port", port, "--data-dir", tmp_path),
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2  # as every setting that does not fit
    (line,) = refused.stderr.strip().splitlines()
    assert "EXNESS_DATA_DIR" in line
    assert "run --feed simulated" in line


def test_a_start_that_a_taken_port_refuses_leaves_no_mark(tmp_path: Path) -> None:
    """Nothing of it binds the next start: neither to a source nor to a number of partitions."""
    port, data_dir = free_port(), tmp_path / "data"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        for feed in ("simulated", "backpack"):
            refused = subprocess.run(
                command("run", "--feed", feed, "--port", port, "--data-dir", data_dir),
                env=environment() | {"EXNESS_PARTITIONS": "3"},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert refused.returncode == 1
            (line,) = refused.stderr.strip().splitlines()
            assert "choose another PORT" in line
            assert not data_dir.exists() or sorted(data_dir.rglob("*")) == []
