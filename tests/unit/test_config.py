"""Settings: what is wrong is told in one line with the variable, its value and what is allowed."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from exness_streams.config import ConfigError, Settings, is_loopback, load_settings


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EXNESS_", "BACKPACK_", "PORT")):
            monkeypatch.delenv(name)


WRONG = [
    ("PORT", "abc", "1 to 65535"),
    ("PORT", "0", "1 to 65535"),
    ("PORT", "-1", "1 to 65535"),
    ("PORT", "65536", "1 to 65535"),
    ("PORT", "80.5", "1 to 65535"),
    ("PORT", "", "1 to 65535"),
    ("BACKPACK_WS_URL", "http://127.0.0.1", "WebSocket URL"),
    ("BACKPACK_WS_URL", "ws://", "WebSocket URL"),
    ("BACKPACK_WS_URL", "ws://127.0.0.1:99999", "WebSocket URL"),
    ("BACKPACK_WS_URL", "ws://127.0.0.1:x", "WebSocket URL"),
    ("BACKPACK_WS_URL", "ws://[::1", "WebSocket URL"),
    ("BACKPACK_WS_URL", "", "WebSocket URL"),
    ("EXNESS_HOST", "0.0.0.0", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "::", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "192.168.1.5", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "example.org", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "", "127.0.0.1, ::1, localhost"),
    ("EXNESS_INSTRUMENTS", "", "SOL_USDC,BTC_USDC"),
    ("EXNESS_INSTRUMENTS", " , ", "SOL_USDC,BTC_USDC"),
    ("EXNESS_INSTRUMENTS", "SOL", "SOL_USDC,BTC_USDC"),
    ("EXNESS_INSTRUMENTS", "SOL_USDC,SOL_USDC", "each once"),
    ("EXNESS_INSTRUMENTS", "SOL USDC", "SOL_USDC,BTC_USDC"),
    ("EXNESS_INSTRUMENTS", "é_USDC", "SOL_USDC,BTC_USDC"),
    ("EXNESS_INSTRUMENTS", "_", "SOL_USDC,BTC_USDC"),
    ("EXNESS_PARTITIONS", "0", "1 to 256"),
    ("EXNESS_PARTITIONS", "257", "1 to 256"),
    ("EXNESS_PARTITIONS", "many", "1 to 256"),
    ("EXNESS_STARTING_BALANCE", "-1", "from 0 to 1000000000000"),
    ("EXNESS_STARTING_BALANCE", "NaN", "from 0 to 1000000000000"),
    ("EXNESS_STARTING_BALANCE", "Infinity", "from 0 to 1000000000000"),
    ("EXNESS_STARTING_BALANCE", "1e13", "from 0 to 1000000000000"),
    ("EXNESS_STARTING_BALANCE", "0.000000001", "8 decimal places"),
    ("EXNESS_MAX_QUOTE_AGE_MS", "1999", "2000 to 3600000"),
    ("EXNESS_MAX_QUOTE_AGE_MS", "5s", "2000 to 3600000"),
    ("EXNESS_MAX_LEVERAGE", "0.5", "1 to 1000"),
    ("EXNESS_MAX_LEVERAGE", "1001", "1 to 1000"),
    ("EXNESS_MAX_LEVERAGE", "1.005", "2 decimal places"),
    ("EXNESS_FEE_RATE", "0.1", "below 0.1"),
    ("EXNESS_FEE_RATE", "-0.01", "below 0.1"),
    ("EXNESS_FEE_RATE", "0.000000001", "8 decimal places"),
    ("EXNESS_FEE_RATE", "1%", "below 0.1"),
    ("EXNESS_MAINTENANCE_MARGIN_RATE", "0.5", "below 0.5"),
    ("EXNESS_MAINTENANCE_MARGIN_RATE", "-1", "below 0.5"),
    ("EXNESS_FRAME_PACE_MS", "-1", "0 to 10000"),
    ("EXNESS_JOURNAL_RETENTION_HOURS", "-1", "0 to 87600"),
    ("EXNESS_JOURNAL_RETENTION_HOURS", "soon", "0 to 87600"),
    ("EXNESS_AUTH", "none", "must be open"),
]


@pytest.mark.parametrize(("variable", "value", "allowed"), WRONG)
def test_a_wrong_value_is_told_with_its_variable_and_what_is_allowed(
    variable: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"{variable}={value} is ")
    assert allowed in message
    assert "\n" not in message


def test_every_setting_has_a_wrong_value_in_the_table() -> None:
    told = {variable for variable, _, _ in WRONG} | {"EXNESS_DATA_DIR"}
    unprefixed = {"port": "PORT", "backpack_ws_url": "BACKPACK_WS_URL"}
    assert told == {unprefixed.get(name, f"EXNESS_{name.upper()}") for name in Settings.model_fields}


def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "deeper"):
        monkeypatch.setenv("EXNESS_DATA_DIR", str(path))
        with pytest.raises(ConfigError, match="a directory, or a path where one can be made"):
            load_settings()


def test_the_command_line_wins_and_is_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    assert load_settings(port=None).port == 5000
    assert load_settings(port=6000).port == 6000
    with pytest.raises(ConfigError, match=r"^PORT=99999 is not allowed; it must be a whole number from 1 to 65535$"):
        load_settings(port=99_999)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 4000)
    assert settings.backpack_ws_url == "wss://ws.backpack.exchange"
    assert settings.instruments == ("SOL_USDC", "BTC_USDC", "ETH_USDC")
    assert settings.partitions == 1
    assert settings.starting_balance == Decimal(10_000)
    assert settings.max_quote_age_ms == 5_000
    assert settings.max_leverage == 100
    assert settings.fee_rate == settings.maintenance_margin_rate == 0


def test_values_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_INSTRUMENTS", " SOL_USDC, AAPL.US_USDC_PERP ,")
    monkeypatch.setenv("EXNESS_FEE_RATE", "0.0005")
    settings = load_settings()
    assert settings.instruments == ("SOL_USDC", "AAPL.US_USDC_PERP")
    terms = settings.catalogue().find("AAPL.US")
    assert terms is not None
    assert terms.fee_rate == Decimal("0.0005")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_hosts(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_loopback(host)
    monkeypatch.setenv("EXNESS_HOST", host)
    assert load_settings().host == host
