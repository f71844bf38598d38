"""A platform that says what a test tells it to, for the tests of the command line."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exness_streams.cli import main

POSITION = {
    "positionId": "pos_0_1", "asset": "SOL", "symbol": "SOL_USDC", "type": "long", "margin": 1000, "leverage": 2,
    "slippage": None, "entryPrice": 150.1, "quantity": 13.32445036, "unrealizedPnL": -1.33244504, "timestamp": 1,
    "markPrice": 150, "liquidationPrice": 75.05, "stopLoss": None, "takeProfit": None, "fee": 0,
}  # fmt: skip
ACCOUNT = {
    "accountId": "demo", "balance": 10000, "equity": 9998.67, "usedMargin": 1000, "freeMargin": 8998.67,
    "marginLevel": 999.87, "marginCall": False, "unrealizedPnL": -1.33, "realizedPnL": 0, "fees": 0, "deposited": 0,
    "startingBalance": 10000,
}  # fmt: skip
STATE = {"balances": {"USD": 9000, "SOL": 0}, "positions": [POSITION], "orders": [], "account": ACCOUNT, "sequence": 1}
ORDER = {
    "orderId": "ord_0_2", "market": "SOL_USDC", "asset": "SOL", "kind": "limit", "type": "long", "side": "buy",
    "price": 100, "quantity": 10, "margin": 500, "leverage": 2, "reservedMargin": 501, "stopLoss": 90,
    "takeProfit": None, "expiresAt": None, "status": "open", "timestamp": 1,
}  # fmt: skip
CLOSED = {
    "message": "Position closed successfully", "positionId": "pos_0_1", "quantity": 13.32445036, "realizedPnL": -1.33,
    "closePrice": 150, "fee": 0, "position": None,
}  # fmt: skip


def market(symbol: str, **changes: Any) -> dict[str, Any]:
    """An instrument on offer, with a fresh quote if nothing else is said."""
    return {
        "symbol": symbol, "asset": symbol.split("_")[0], "price": 150, "bid": 149.9, "ask": 150.1, "volume": 1,
        "timestamp": 1, "tradable": True, "maxLeverage": 100, "minMargin": 1, "maxExposure": 1000000, "feeRate": 0,
        "maintenanceMarginRate": 0, "spreadRate": 0, "tickSize": None, "stepSize": None,
    } | changes  # fmt: skip


MARKETS = {
    "markets": [market("SOL_USDC"), market("SOL_USDC_PERP"), market("kBONK_USDC")],
    "feed": {"status": "connected", "source": "simulated"},
}


class FakeApi(http.server.BaseHTTPRequestHandler):
    """Gives the server's next answer, and keeps what was asked."""

    server: FakeServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, dict(self.headers), json.loads(content) if content else None))
        if self.server.breaks:
            self.server.breaks -= 1
            return
        status, body = self.server.answers.pop(0) if self.server.answers else self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class FakeServer(http.server.HTTPServer):
    """answer: status and body of what is asked next, after answers. breaks: so many requests are not answered."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeApi)
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.breaks = 0
        self.answer: tuple[int, bytes] = (200, json.dumps(STATE).encode())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as fake:
        thread = threading.Thread(target=fake.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("EXNESS_URL", f"http://127.0.0.1:{fake.server_port}")
        yield fake
        fake.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, and a home without tokens."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in list(os.environ):
        if name.startswith(("EXNESS_", "BACKPACK_", "PORT")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def check_one_line(result: Result, exit_code: int, capsys: pytest.CaptureFixture[str], *names: str) -> None:
    # Rich's consoles hold the streams that were there at import; click's runner captures the rest.
    said = result.output + capsys.readouterr().err
    assert result.exit_code == exit_code, said
    assert isinstance(result.exception, SystemExit), result.exception
    assert len(said.splitlines()) == 1, said
    assert said.startswith("exness-streams: ")
    for name in names:
        assert name in said
