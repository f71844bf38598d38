"""Settings: what is wrong is told in one line with the variable, its value and what is allowed."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from exness_streams.domain.outside_text import without_secrets
from exness_streams.settings.platform import ConfigError, Settings, is_loopback, load_settings


@pytest.fixture(autouse=True)
def no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EXNESS_", "BACKPACK_", "PORT", "FRONTEND_", "SMTP_")):
            monkeypatch.delenv(name)


SECRETS = ("EXNESS_SECRET_KEY", "EXNESS_PEPPER", "SMTP_PASS")
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
    ("EXNESS_ALLOWED_HOSTS", "http://a.example", "host names without ports"),
    ("EXNESS_ALLOWED_HOSTS", "a.example:80", "host names without ports"),
    ("EXNESS_ALLOWED_HOSTS", "a b", "host names without ports"),
    ("EXNESS_ALLOWED_HOSTS", "*", "host names without ports"),
    ("EXNESS_HOST", "0.0.0.0", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "::", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "192.168.1.5", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "example.org", "127.0.0.1, ::1, localhost"),
    ("EXNESS_HOST", "", "127.0.0.1, ::1, localhost"),
    ("EXNESS_AUTH", "none", "open or required"),
    ("EXNESS_OPERATORS", "anna", "e-mail addresses"),
    ("EXNESS_OPERATORS", "anna@example.com,b@@c", "e-mail addresses"),
    ("EXNESS_CORS_ORIGINS", "*", "origins such as"),
    ("EXNESS_CORS_ORIGINS", "https://a.example/path", "origins such as"),
    ("EXNESS_CORS_ORIGINS", "https://a.example/", "origins such as"),
    ("EXNESS_CORS_ORIGINS", "https://u:p@a.example", "origins such as"),
    ("EXNESS_CORS_ORIGINS", "ftp://a.example", "origins such as"),
    ("EXNESS_CORS_ORIGINS", "null", "origins such as"),
    ("FRONTEND_URL", "localhost:3000", "http or https URL"),
    ("FRONTEND_URL", "http://localhost:x", "http or https URL"),
    ("FRONTEND_URL", "http://a.example/?q", "http or https URL"),
    ("SMTP_PORT", "0", "1 to 65535"),
    ("SMTP_SECURE", "perhaps", "true or false"),
    ("EXNESS_MAIL_FROM", "login", "e-mail address"),
    ("EXNESS_METRICS_PORT", "70000", "1 to 65535"),
    ("EXNESS_TRUSTED_PROXIES", "nginx", "addresses or networks"),
    ("EXNESS_TRUSTED_PROXIES", "10.0.0.0/33", "addresses or networks"),
    ("EXNESS_RATE_LIMIT", "many", "a rate such as"),
    ("EXNESS_RATE_LIMIT", "0 per second", "a rate such as"),
    ("EXNESS_SIGN_IN_LIMIT", "5/minute", "a rate such as"),
    ("EXNESS_ADDRESS_RATE_LIMIT", "-1 per second", "a rate such as"),
    ("EXNESS_NEW_ACCOUNTS_LIMIT", "1 per fortnight", "a rate such as"),
    ("EXNESS_MAX_CONNECTIONS", "3", "16 to 1000000"),
    ("EXNESS_MAX_CONNECTIONS_PER_ADDRESS", "0", "1 to 1000000"),
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
    ("EXNESS_AHEAD_RECORDS", "999", "1000 to 1000000"),
    ("EXNESS_AHEAD_MB", "0", "1 to 1024"),
    ("EXNESS_AHEAD_WORKER_MB", "20000", "1 to 16384"),
    ("EXNESS_STALLED_AFTER_S", "0.5", "a number of seconds from 1 to 3600"),
    ("EXNESS_STALLED_AFTER_S", "nan", "a number of seconds from 1 to 3600"),
    ("BACKPACK_REST_URL", "api.backpack.exchange", "http or https URL"),
    ("BACKPACK_REST_URL", "wss://ws.backpack.exchange", "http or https URL"),
    ("BACKPACK_REST_URL", "https://", "http or https URL"),
    ("BACKPACK_REST_URL", "http://127.0.0.1:x", "http or https URL"),
    ("BACKPACK_REST_URL", "http://127.0.0.1:0", "http or https URL"),
    ("BACKPACK_REST_URL", "http://[::1", "http or https URL"),
    ("BACKPACK_REST_URL", "https://me:secret@127.0.0.1", "http or https URL"),
    ("BACKPACK_REST_URL", "https://127.0.0.1/?a=b", "http or https URL"),
    ("EXNESS_SPREAD_RATE", "0.5", "below 0.5"),
    ("EXNESS_SPREAD_RATE", "-0.001", "below 0.5"),
    ("EXNESS_SPREAD_RATE", "0.000000001", "8 decimal places"),
    ("EXNESS_SPREAD_RATE", "NaN", "below 0.5"),
    ("EXNESS_PRICE_BAND", "1", "a fraction from 0 (off) to below 1"),
    ("EXNESS_PRICE_BAND", "-0.1", "a fraction from 0 (off) to below 1"),
    ("EXNESS_PRICE_BAND", "10%", "a fraction from 0 (off) to below 1"),
    ("EXNESS_PRICE_BAND", "nan", "a fraction from 0 (off) to below 1"),
    ("EXNESS_PRICE_BAND", "0.000000001", "8 decimal places"),
    ("EXNESS_MAX_OPEN", "0", "1 to 1000"),
    ("EXNESS_MAX_OPEN", "1001", "1 to 1000"),
    ("EXNESS_MAX_OPEN", "all", "1 to 1000"),
    ("EXNESS_MAX_EXPOSURE", "0", "from 1 to 1000000000000"),
    ("EXNESS_MAX_EXPOSURE", "1e13", "from 1 to 1000000000000"),
    ("EXNESS_MAX_EXPOSURE", "Infinity", "from 1 to 1000000000000"),
    ("EXNESS_MARGIN_CALL_LEVEL", "-1", "from 0 to 1000"),
    ("EXNESS_MARGIN_CALL_LEVEL", "1001", "from 0 to 1000"),
    ("EXNESS_MARGIN_CALL_LEVEL", "60%", "from 0 to 1000"),
    ("EXNESS_TERMS", "nonsense", 'a JSON object such as {"SOL_USDC":'),
    ("EXNESS_TERMS", "{", "a JSON object"),
    ("EXNESS_TERMS", "[" * 100, "a JSON object"),
    ("EXNESS_TERMS", "[]", "an object of objects"),
    ("EXNESS_TERMS", '{"SOL_USDC":1}', "an object of objects"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":0,"feeRate":0.01}}', "a name occurs twice"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":NaN}}', "a JSON object"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":1e9999999999999999999}}', "a JSON object"),
    ("EXNESS_TERMS", '{"GONE_USDC":{}}', "GONE_USDC must be one of the instruments SOL_USDC, BTC_USDC, ETH_USDC"),
    ("EXNESS_TERMS", '{"SOL":{}}', "SOL must be one of the instruments"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"fee":0}}', "fee of SOL_USDC must be one of feeRate, maintenanceMarginRate"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":0.1}}', "feeRate of SOL_USDC must be a fraction from 0 to below 0.1"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":true}}', "feeRate of SOL_USDC must be a fraction"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":null}}', "feeRate of SOL_USDC must be a fraction"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":"NaN"}}', "feeRate of SOL_USDC must be a fraction"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":0.000000001}}', "8 decimal places, not"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"maintenanceMarginRate":-1}}', "below 0.5"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"spreadRate":0.5}}', "below 0.5"),
    (
        "EXNESS_TERMS",
        '{"SOL_USDC":{"priceBand":1}}',
        "priceBand of SOL_USDC must be a fraction from 0 (off) to below 1",
    ),
    ("EXNESS_TERMS", '{"BTC_USDC":{"maxLeverage":0}}', "maxLeverage of BTC_USDC must be a number from 1 to 1000"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"maxLeverage":{"a":[]}}}', "from 1 to 1000"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"minMargin":0}}', "from 0.01 to 1000000"),
    *(
        (variable, "0,001", "a decimal comma is not read, write a decimal point")
        for variable in (
            "EXNESS_STARTING_BALANCE",
            "EXNESS_MAX_LEVERAGE",
            "EXNESS_FEE_RATE",
            "EXNESS_MAINTENANCE_MARGIN_RATE",
            "EXNESS_SPREAD_RATE",
            "EXNESS_PRICE_BAND",
            "EXNESS_MAX_EXPOSURE",
            "EXNESS_MARGIN_CALL_LEVEL",
        )
    ),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":"0,001"}}', "a decimal comma is not read"),
    ("EXNESS_TERMS", '{"SOL_USDC":{"feeRate":0,001}}', "a decimal comma is not read"),
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
    shown = without_secrets(value) if variable.endswith("_URL") else value
    assert message.startswith(f"{variable}={shown} is ")
    assert "secret" not in message
    assert allowed in message
    assert "\n" not in message


def variable_of(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"EXNESS_{name.upper()}"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"EXNESS_AUTH": "required"}, "EXNESS_AUTH=required needs EXNESS_SECRET_KEY, 32 bytes or more; "),
        ({"EXNESS_TLS_KEY_FILE": "key.pem"}, "EXNESS_TLS_CERTIFICATE_FILE and EXNESS_TLS_KEY_FILE go together"),
        ({"EXNESS_TLS_CERTIFICATE_FILE": "cert.pem"}, "EXNESS_TLS_CERTIFICATE_FILE and EXNESS_TLS_KEY_FILE go"),
        ({"EXNESS_HOST": "0.0.0.0"}, "EXNESS_HOST=0.0.0.0 is refused: without sign-in"),
    ],
)
def test_settings_that_need_each_other(variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("variable", ["EXNESS_SECRET_KEY", "EXNESS_PEPPER"])
def test_a_secret_that_is_too_short_is_not_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hunter2hunter2")
    with pytest.raises(ConfigError, match=rf"^{variable}=\*\*\* is not allowed; it must be .*32 bytes") as caught:
        load_settings()
    assert "hunter" not in str(caught.value)


def test_secrets_are_not_in_the_settings_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {name: f"{name.lower()}-of-more-than-thirty-two-bytes" for name in SECRETS}
    for name, word in words.items():
        monkeypatch.setenv(name, word)
    said = repr(load_settings()) + str(load_settings())
    assert not [word for word in words.values() if word in said]


def test_beyond_loopback_with_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_AUTH", "required")
    monkeypatch.setenv("EXNESS_SECRET_KEY", f"{'a' * 32},{'b' * 40}")
    monkeypatch.setenv("EXNESS_HOST", "0.0.0.0")
    monkeypatch.setenv("EXNESS_CORS_ORIGINS", "https://A.example")
    monkeypatch.setenv("FRONTEND_URL", "http://localhost:3000/app/")
    settings = load_settings()
    assert settings.secret_key == ("a" * 32, "b" * 40)
    assert settings.origins == ("https://a.example", "http://localhost:3000")
    assert settings.frontend_url == "http://localhost:3000/app"


def test_every_setting_has_a_wrong_value_in_the_table() -> None:
    told = {variable for variable, _, _ in WRONG} | {"EXNESS_DATA_DIR"}
    taken_as_they_are = {"SMTP_HOST", "SMTP_USER", "SMTP_PASS"}
    of_secrets_and_files = {*SECRETS, "EXNESS_TLS_CERTIFICATE_FILE", "EXNESS_TLS_KEY_FILE", "EXNESS_TLS_CA_FILE"}
    assert told | taken_as_they_are | of_secrets_and_files == {
        variable_of(name, field) for name, field in Settings.model_fields.items()
    }


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
    assert settings.fee_rate == settings.maintenance_margin_rate == settings.spread_rate == 0
    assert settings.backpack_rest_url == "https://api.backpack.exchange"
    assert (settings.max_open, settings.max_exposure, settings.margin_call_level) == (200, 10**9, 60)


def test_values_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_INSTRUMENTS", " SOL_USDC, AAPL.US_USDC_PERP ,")
    monkeypatch.setenv("EXNESS_FEE_RATE", "0.0005")
    settings = load_settings()
    assert settings.instruments == ("SOL_USDC", "AAPL.US_USDC_PERP")
    terms = settings.catalogue().find("AAPL.US")
    assert terms is not None
    assert terms.fee_rate == Decimal("0.0005")


def test_terms_of_one_instrument_override_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_INSTRUMENTS", "SOL_USDC,AAPL.US_USDC_PERP,kBONK_USDC_PERP")
    monkeypatch.setenv("EXNESS_FEE_RATE", "0.0005")
    monkeypatch.setenv("EXNESS_SPREAD_RATE", "0.001")
    own = {
        "AAPL.US_USDC_PERP": '{"feeRate":"0.01","maintenanceMarginRate":0.05,"spreadRate":0.20000001}',
        "kBONK_USDC_PERP": '{"maxLeverage":500.5,"minMargin":10}',
    }
    monkeypatch.setenv("EXNESS_TERMS", "{\n" + ",\n".join(f'"{symbol}":{one}' for symbol, one in own.items()) + "}")
    for_all, apple, bonk = load_settings().catalogue()
    assert (for_all.fee_rate, for_all.spread_rate) == (Decimal("0.0005"), Decimal("0.001"))
    assert (for_all.leverage_max, for_all.margin_min) == (100, 1)
    assert (apple.fee_rate, apple.maintenance_margin_rate) == (Decimal("0.01"), Decimal("0.05"))
    assert (apple.spread_rate, apple.leverage_max) == (Decimal("0.20000001"), 100)
    assert (bonk.fee_rate, bonk.leverage_max, bonk.margin_min) == (Decimal("0.0005"), Decimal("500.5"), 10)


def test_a_price_band_of_one_instrument_overrides_that_of_all_and_is_none_of_its_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().price_bands() == dict.fromkeys(("SOL_USDC", "BTC_USDC", "ETH_USDC"), Decimal("0.1"))
    monkeypatch.setenv("EXNESS_PRICE_BAND", "0.05")
    monkeypatch.setenv("EXNESS_TERMS", '{"BTC_USDC":{"priceBand":0,"feeRate":0.001},"ETH_USDC":{"priceBand":0.999}}')
    settings = load_settings()
    assert settings.price_bands() == {
        "SOL_USDC": Decimal("0.05"),
        "BTC_USDC": 0,
        "ETH_USDC": Decimal("0.999"),
    }
    assert [terms.fee_rate for terms in settings.catalogue()] == [0, Decimal("0.001"), 0]


def test_wrong_terms_over_many_lines_are_told_in_one_and_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXNESS_TERMS", '{\n"SOL_USDC":\x1b[31m\n' + " x" * 10_000)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_rest_may_be_off_and_loses_its_last_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPACK_REST_URL", "")
    assert load_settings().backpack_rest_url == ""
    monkeypatch.setenv("BACKPACK_REST_URL", "http://127.0.0.1:4100/")
    assert load_settings().backpack_rest_url == "http://127.0.0.1:4100"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_hosts(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_loopback(host)
    monkeypatch.setenv("EXNESS_HOST", host)
    assert load_settings().host == host
