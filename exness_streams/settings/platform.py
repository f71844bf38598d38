"""Settings from the environment. A wrong value stops the start with one line: variable, value, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode, SettingsConfigDict
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from exness_streams.domain.hosts import is_loopback
from exness_streams.domain.instruments import Catalogue, Limits, Terms, is_symbol
from exness_streams.domain.money import DECIMAL_COMMA, has_decimal_comma
from exness_streams.domain.outside_text import without_secrets
from exness_streams.messages import Topics
from exness_streams.settings.access import AccessSettings
from exness_streams.settings.prefix import PREFIX
from exness_streams.settings.terms import (
    FORM,
    PRICE_BAND,
    FeeRate,
    MaintenanceMarginRate,
    MaxLeverage,
    PriceBand,
    SpreadRate,
    parse_terms,
)

UNPREFIXED = (
    "KAFKA_BROKERS", "BACKPACK_WS_URL", "BACKPACK_REST_URL", "PORT", "FRONTEND_URL", "SMTP_HOST", "SMTP_PORT",
    "SMTP_SECURE", "SMTP_USER", "SMTP_PASS",
)  # fmt: skip
SECRET = "***"  # nosec B105 - what is shown instead of one
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class ConfigError(Exception):
    """A setting is wrong; str() is one line for the operator."""


def _plain(name: str) -> Any:
    return AliasChoices(name)


class Settings(AccessSettings):
    """Everything that can be configured. Units stand in the names; rates are fractions, prices USD."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, populate_by_name=True)

    # A description says what is allowed: it ends the one line about a wrong value.
    backpack_ws_url: str = Field(
        "wss://ws.backpack.exchange",
        validation_alias=_plain("BACKPACK_WS_URL"),
        description="a WebSocket URL such as wss://ws.backpack.exchange",
    )
    backpack_rest_url: str = Field(
        "https://api.backpack.exchange",
        validation_alias=_plain("BACKPACK_REST_URL"),
        description="an http or https URL such as https://api.backpack.exchange, or empty: never ask",
    )
    port: int = Field(
        4000, ge=1, le=65535, validation_alias=_plain("PORT"), description="a whole number from 1 to 65535"
    )
    host: str = Field(
        "127.0.0.1",
        description="a loopback address (127.0.0.1, ::1, localhost), or any address with EXNESS_AUTH=required",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="a comma-separated list of host names without ports, such as trade.example.com"
    )
    data_dir: Path = Field(Path("exness-data"), description="a directory, or a path where one can be made")
    instruments: Annotated[tuple[str, ...], NoDecode] = Field(
        ("SOL_USDC", "BTC_USDC", "ETH_USDC"),
        description="a comma-separated list of exchange symbols such as SOL_USDC,BTC_USDC, each once",
    )
    partitions: int = Field(1, ge=1, le=256, description="a whole number from 1 to 256")
    starting_balance: Decimal = Field(
        Decimal(10_000),
        ge=0,
        le=Decimal(10) ** 12,
        decimal_places=8,
        description="an amount from 0 to 1000000000000 with at most 8 decimal places",
    )
    # A market at rest is framed once a second (domain/frames.py): a smaller age would refuse a live market.
    max_quote_age_ms: int = Field(5_000, ge=2_000, le=3_600_000, description="a whole number from 2000 to 3600000")
    max_leverage: MaxLeverage = Decimal(100)
    fee_rate: FeeRate = Decimal(0)
    maintenance_margin_rate: MaintenanceMarginRate = Decimal(0)
    spread_rate: SpreadRate = Decimal(0)
    price_band: PriceBand = Decimal("0.1")
    terms: str = Field("", description=f"a JSON object such as {FORM}")
    max_open: int = Field(200, ge=1, le=1_000, description="a whole number from 1 to 1000")
    max_exposure: Decimal = Field(
        Decimal(10) ** 9,
        ge=1,
        le=Decimal(10) ** 12,
        decimal_places=8,
        description="an amount from 1 to 1000000000000 with at most 8 decimal places",
    )
    margin_call_level: Decimal = Field(
        Decimal(60),
        ge=0,
        le=1_000,
        decimal_places=2,
        description="a percentage from 0 to 1000 with at most 2 decimal places",
    )
    frame_pace_ms: int = Field(20, ge=0, le=10_000, description="a whole number from 0 to 10000")
    stalled_after_s: float = Field(30.0, ge=1, le=3_600, description="a number of seconds from 1 to 3600")
    ahead_records: int = Field(10_000, ge=1_000, le=1_000_000, description="a whole number from 1000 to 1000000")
    ahead_mb: int = Field(8, ge=1, le=1_024, description="a whole number from 1 to 1024")
    ahead_worker_mb: int = Field(32, ge=1, le=16_384, description="a whole number from 1 to 16384")
    journal_retention_hours: int = Field(24, ge=0, le=24 * 3650, description="a whole number from 0 to 87600")

    @field_validator("instruments", "allowed_hosts", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST.fullmatch(host) for host in value):
            raise ValueError("not a host name")
        return value

    @field_validator("instruments")
    @classmethod
    def _check_instruments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("none, or one twice")
        if not all("_" in symbol and is_symbol(symbol) for symbol in value):
            raise ValueError("not a symbol")
        return value

    @field_validator("backpack_ws_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        try:
            parse_uri(value)
        except InvalidURI as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("backpack_rest_url")
    @classmethod
    def _check_rest_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("not an http URL")
        if parts.query or parts.fragment or parts.username or parts.password or not value.isprintable():
            raise ValueError("more than a base URL")
        return value.rstrip("/")

    @field_validator("data_dir")
    @classmethod
    def _check_data_dir(cls, value: Path) -> Path:
        there = next(path for path in (value.absolute(), *value.absolute().parents) if path.exists())
        if not there.is_dir():
            raise ValueError(f"{there} is a file")
        return value

    @model_validator(mode="after")
    def _open_mode_stays_at_home(self) -> Settings:
        if self.auth == "open" and not is_loopback(self.host):
            raise ValueError(
                f"{PREFIX}HOST={self.host} is refused: without sign-in (EXNESS_AUTH=open) anybody who reaches the "
                "port may trade, so only a loopback address is allowed (127.0.0.1, ::1, localhost)"
            )
        return self

    @model_validator(mode="after")
    def _metrics_have_their_port(self) -> Settings:
        if self.metrics_port == self.port:
            raise ValueError(f"{PREFIX}METRICS_PORT={self.metrics_port} is the web server's own PORT: choose another")
        return self

    @model_validator(mode="after")
    def _terms_can_be_read(self) -> Settings:
        self._overrides()
        return self

    def _overrides(self) -> dict[str, dict[str, Decimal]]:
        try:
            return parse_terms(self.terms, self.instruments)
        except ValueError as error:
            raise ValueError(f"{PREFIX}TERMS={error}") from None

    def catalogue(self) -> Catalogue:
        """The instruments on offer: the terms for all, but for what EXNESS_TERMS overrides."""
        return Catalogue(self.terms_for(symbol) for symbol in self.instruments)

    def terms_for(self, symbol: str) -> Terms:
        """The terms of an instrument; of one that is not on offer: those it would have."""
        for_all = {
            "leverage_max": self.max_leverage,
            "margin_min": Decimal(1),
            "fee_rate": self.fee_rate,
            "maintenance_margin_rate": self.maintenance_margin_rate,
            "spread_rate": self.spread_rate,
        }
        own = self._overrides().get(symbol, {})
        own.pop(PRICE_BAND, None)
        return Terms(symbol=symbol, **{**for_all, **own})

    def price_bands(self) -> dict[str, Decimal]:
        """How far a price may jump before it is held, by instrument: a fraction of the last accepted one, 0: any."""
        own = self._overrides()
        return {symbol: own.get(symbol, {}).get(PRICE_BAND, self.price_band) for symbol in self.instruments}

    def limits(self) -> Limits:
        """What an account may hold."""
        return Limits(open_max=self.max_open, exposure_max=self.max_exposure)

    @property
    def own_url(self) -> str:
        """Where the web server is reached from this machine."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # nosec B104 - compared
        host = f"[{name}]" if ":" in name else name
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """Hosts that requests may name, besides those of the loopback."""
        return (self.host, *self.allowed_hosts)

    @property
    def topics(self) -> Topics:
        """The platform's topics."""
        return Topics()

    def named(self, app_id: str) -> str:
        """An app's id, as its log knows it."""
        return app_id

    @property
    def log_dir(self) -> Path:
        """The embedded log's directory."""
        return self.data_dir.absolute() / "log"

    @property
    def tables_dir(self) -> Path:
        """Faust's data directory: RocksDB, rebuilt from the log when it is lost."""
        return self.data_dir.absolute() / "tables"

    @property
    def checkpoints_dir(self) -> Path:
        """Where checkpoints of cells are kept."""
        return self.data_dir.absolute() / "checkpoints"


S = TypeVar("S", bound=Settings)


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; `overrides` (from the command line) win. ConfigError in one line."""
    return read_settings(Settings, overrides)


def read_settings(kind: type[S], overrides: Mapping[str, Any]) -> S:
    """As load_settings, for any kind of settings. Overrides that are None do not count."""
    try:
        return kind(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(_in_one_line(kind, error)) from None


def _in_one_line(kind: type[Settings], error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = str(first["loc"][0]).upper()
    variable = name if name in UNPREFIXED else PREFIX + name.removeprefix(PREFIX)
    field = _field_of(kind, name)
    value = first["input"]
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    if not field.repr:
        shown = SECRET
    if variable.endswith("_URL"):
        shown = without_secrets(str(value))
    comma = field.annotation is Decimal and has_decimal_comma(str(value))
    return f"{variable}={shown} is not allowed; it must be {field.description}{f': {DECIMAL_COMMA}' if comma else ''}"


def _field_of(kind: type[Settings], name: str) -> FieldInfo:
    """The field that pydantic names in an error: by its alias, or by its own name."""
    for own, field in kind.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else ()
        if name.lower() == own or name in aliases:
            return field
    return kind.model_fields[name.removeprefix(PREFIX).lower()]
