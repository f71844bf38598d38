"""What KafkaSecurity makes of an operator's words; needs no broker."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.security import SASL_MECHANISMS, KafkaSecurity


def auth(security: KafkaSecurity) -> dict[str, Any]:
    """What aiokafka's clients are given in the end."""
    return dict(credentials_to_aiokafka_auth(security.credentials()))


def test_the_default_is_an_open_connection() -> None:
    assert auth(KafkaSecurity()) == {"security_protocol": "PLAINTEXT"}


def test_tls_checks_names_and_certificates() -> None:
    given = auth(KafkaSecurity(tls=True))
    assert given["security_protocol"] == "SSL"
    assert given["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert given["ssl_context"].check_hostname


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("mechanism", SASL_MECHANISMS)
def test_sasl_with_and_without_tls(mechanism: str, tls: bool) -> None:
    given = auth(KafkaSecurity(tls=tls, sasl_mechanism=mechanism, username="trader", password="secret"))
    assert (given.pop("ssl_context") is not None) is tls
    assert given == {
        "security_protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "trader",
        "sasl_plain_password": "secret",
    }


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"ca_file": Path("ca.pem")}, "TLS is off"),
        ({"tls": True, "key_file": Path("key.pem")}, "no certificate file"),
        ({"username": "trader"}, "no SASL mechanism"),
        ({"password": "secret"}, "no SASL mechanism"),
        ({"sasl_mechanism": "GSSAPI", "username": "trader", "password": "secret"}, "can be PLAIN"),
        ({"sasl_mechanism": "PLAIN", "username": "trader"}, "needs a user name and a password"),
        ({"sasl_mechanism": "PLAIN", "password": "secret"}, "needs a user name and a password"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(LogFault, match=words) as raised:
        KafkaSecurity(**parts)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("part", ["ca_file", "certificate_file"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, part: str, content: str | None) -> None:
    file = tmp_path / "some.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(LogFault, match=r"some\.pem"):
        KafkaSecurity(tls=True, **{part: file}).credentials()


def test_the_password_is_not_shown() -> None:
    security = KafkaSecurity(sasl_mechanism="PLAIN", username="trader", password="secret")
    assert "secret" not in repr(security)
    assert "secret" not in repr(security.credentials())
