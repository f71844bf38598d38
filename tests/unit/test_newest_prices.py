"""Where a simulated market goes on: the newest price of each symbol in the log, whatever else lies there."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder
from exness_streams.simulator import newest_prices as module
from exness_streams.simulator.newest_prices import newest_prices
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import LogFault

SYMBOLS = ("SOL_USDC", "BTC_USDC", "ETH_USDC")

Tick = tuple[bytes | None, bytes | None]


def tick(symbol: str, price: str, bid: str | None = None) -> Tick:
    found = MarketDataMessage(symbol, Decimal(price), 1, 1, bid=None if bid is None else Decimal(bid))
    return symbol.encode(), json_encoder.encode(found)


BAD: list[Tick] = [
    (b"SOL_USDC", b"not JSON"),
    (b"SOL_USDC", b"{}"),
    (b"SOL_USDC", None),
    (None, b"{}"),
    (b"\xff", b"\xff"),
    tick("SOL_USDC", "0"),
    tick("SOL_USDC", "-3"),
    tick("SOL_USDC", "1e30"),
    (b"SOL_USDC", tick("BTC_USDC", "7")[1]),
]


def written(directory: Path, ticks: list[Tick]) -> Path:
    async def write() -> None:
        log = EmbeddedLog.open(directory)
        log.declare(MARKET_UPDATES_TOPIC, 1)
        await asyncio.gather(*(log.append(MARKET_UPDATES_TOPIC, 0, key, value) for key, value in ticks))
        log.close()

    asyncio.run(write())
    return directory


def test_a_fresh_directory_knows_no_price(tmp_path: Path) -> None:
    assert newest_prices(tmp_path / "log", SYMBOLS) == {}
    assert not (tmp_path / "log").exists(), "looking makes no log"
    EmbeddedLog.open(tmp_path / "log").close()
    assert newest_prices(tmp_path / "log", SYMBOLS) == {}, "nor does a log without the topic"


@pytest.mark.parametrize("window", [1, 2, 3, 10_000])
def test_the_newest_price_of_each_symbol_is_found(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_TICKS", window)
    ticks = [
        tick("BTC_USDC", "64000"),
        tick("SOL_USDC", "150", "149.9"),
        tick("DOGE_USDC", "1"),
        tick("SOL_USDC", "151", "150.9"),
        *BAD,
    ]
    found = newest_prices(written(tmp_path, ticks), SYMBOLS)
    assert found == {"SOL_USDC": Decimal("150.9"), "BTC_USDC": Decimal(64_000)}


def test_a_file_that_is_no_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"nothing of the kind" * 500)
    with pytest.raises(LogFault, match="damaged"):
        newest_prices(tmp_path, SYMBOLS)
