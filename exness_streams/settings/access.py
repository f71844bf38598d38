"""Settings about who may do what: sign-in, keys, mail, other origins, certificates, limits of strangers."""

from __future__ import annotations

import re
import ssl
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from exness_streams.domain.emails import normalized_email
from exness_streams.settings.certificates import client_context, server_context
from exness_streams.settings.prefix import PREFIX

SECRET_BYTES_MIN = 32
RATE_FORM = 'a rate such as "2000 per 10 seconds", or empty: no limit'
_RATE = re.compile(r"[1-9][0-9]{0,8} per ([1-9][0-9]{0,4} )?(second|minute|hour|day)s?")

Network = IPv4Network | IPv6Network
Rate = Annotated[str, Field(description=RATE_FORM)]


def _plain(name: str) -> Any:
    return AliasChoices(name)


class AccessSettings(BaseSettings):
    """What every process that answers to strangers reads. Secrets have repr=False: they are shown nowhere."""

    auth: Literal["open", "required"] = Field("open", description="open or required")
    secret_key: Annotated[tuple[str, ...], NoDecode] = Field(
        (), repr=False, description=f"a comma-separated list of secrets of {SECRET_BYTES_MIN} bytes or more each"
    )
    pepper: str = Field("", repr=False, description=f"a secret of {SECRET_BYTES_MIN} bytes or more")
    operators: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="a comma-separated list of e-mail addresses such as anna@example.com"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="a comma-separated list of origins such as https://trade.example.com"
    )
    frontend_url: str = Field(
        "", validation_alias=_plain("FRONTEND_URL"), description="an http or https URL such as http://localhost:3000"
    )
    smtp_host: str = Field("", validation_alias=_plain("SMTP_HOST"), description="a host name")
    smtp_port: int = Field(
        587, ge=1, le=65535, validation_alias=_plain("SMTP_PORT"), description="a whole number from 1 to 65535"
    )
    smtp_secure: bool = Field(False, validation_alias=_plain("SMTP_SECURE"), description="true or false")
    smtp_user: str = Field("", validation_alias=_plain("SMTP_USER"), description="a user name")
    smtp_pass: str = Field("", repr=False, validation_alias=_plain("SMTP_PASS"), description="a password")
    mail_from: str = Field("", description="an e-mail address such as login@example.com")
    tls_certificate_file: Path | None = Field(None, description="a PEM file")
    tls_key_file: Path | None = Field(None, description="a PEM file")
    tls_ca_file: Path | None = Field(None, description="a PEM file")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="a whole number from 1 to 65535")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="a comma-separated list of addresses or networks such as 10.0.0.0/8,127.0.0.1"
    )
    rate_limit: Rate = "2000 per 10 seconds"
    address_rate_limit: Rate = "4000 per 10 seconds"
    new_accounts_limit: Rate = "60 per minute"
    sign_in_limit: Rate = "5 per minute"
    max_connections: int | None = Field(None, ge=16, le=1_000_000, description="a whole number from 16 to 1000000")
    max_connections_per_address: int | None = Field(
        None, ge=1, le=1_000_000, description="a whole number from 1 to 1000000"
    )

    @field_validator("secret_key", "operators", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("secret_key")
    @classmethod
    def _check_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(secret.encode()) < SECRET_BYTES_MIN for secret in value):
            raise ValueError("too short")
        return value

    @field_validator("pepper")
    @classmethod
    def _check_pepper(cls, value: str) -> str:
        if value and len(value.encode()) < SECRET_BYTES_MIN:
            raise ValueError("too short")
        return value

    @field_validator("operators")
    @classmethod
    def _check_operators(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(normalized_email(email) for email in value)
        if None in found:
            raise ValueError("not an address")
        return tuple(email for email in found if email is not None)

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        if value and normalized_email(value) is None:
            raise ValueError("not an address")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_is_origin(origin) for origin in value):
            raise ValueError("not an origin")
        return tuple(origin.lower() for origin in value)

    @field_validator("frontend_url")
    @classmethod
    def _check_frontend(cls, value: str) -> str:
        if value and (not _is_origin(_origin_of(value)) or urlsplit(value).query or urlsplit(value).fragment):
            raise ValueError("not a URL")
        return value.rstrip("/")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        parts = cls._split(value)
        return tuple(ip_network(part, strict=False) if isinstance(part, str) else part for part in parts)

    @field_validator("rate_limit", "address_rate_limit", "new_accounts_limit", "sign_in_limit")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        if value and not _RATE.fullmatch(value):
            raise ValueError("not a rate")
        return value

    @model_validator(mode="after")
    def _sign_in_has_its_secret(self) -> AccessSettings:
        if self.auth == "required" and not self.secret_key:
            raise ValueError(
                f"{PREFIX}AUTH=required needs {PREFIX}SECRET_KEY, {SECRET_BYTES_MIN} bytes or more; "
                "`exness-streams init` writes a file of settings with one"
            )
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> AccessSettings:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE go together: set both or none")
        self.server_tls()
        if self.tls_ca_file is not None:
            self.client_tls()
        return self

    def server_tls(self) -> ssl.SSLContext | None:
        """What the web server speaks TLS with; None without a certificate. ValueError in one line."""
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return server_context(self.tls_certificate_file, self.tls_key_file)

    def client_tls(self) -> ssl.SSLContext:
        """What the certificates of other workers are checked with. ValueError in one line."""
        return client_context(self.tls_ca_file)

    @property
    def scheme(self) -> str:
        """How the web server is spoken to: http, or https with a certificate."""
        return "http" if self.tls_certificate_file is None else "https"

    @property
    def metrics_beside_api(self) -> bool:
        """Whether /metrics is on the port of the API: only where nobody signs in, and it has no port of its own."""
        return self.metrics_port is None and self.auth == "open"

    @property
    def origins(self) -> tuple[str, ...]:
        """Other origins whose pages may use the platform, in lower case."""
        own = (_origin_of(self.frontend_url).lower(),) if self.frontend_url else ()
        return (*self.cors_origins, *own)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    bare = f"{parts.scheme}://{parts.netloc}"
    is_bare = text.lower() == bare.lower() and text.isprintable() and "@" not in text and port != 0
    return is_bare and parts.scheme in ("http", "https") and bool(parts.hostname)


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
