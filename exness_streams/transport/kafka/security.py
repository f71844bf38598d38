"""TLS and SASL for Kafka: how a client signs in at the brokers, and how it verifies them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exness_streams.transport.faults import Misconfigured

if TYPE_CHECKING:
    from faust.auth import SASLCredentials, SSLCredentials

SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """TLS and SASL, as the operator gives them. The default is neither.

    ca_file: PEM, trusted instead of the system's authorities. certificate_file, key_file: PEM, this client's own.
    Raises Misconfigured when the parts do not fit together; no message holds the password.
    """

    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.tls and (self.ca_file or self.certificate_file or self.key_file):
            raise Misconfigured("certificate files are given for Kafka, but TLS is off: turn it on, or leave them out")
        if self.key_file is not None and self.certificate_file is None:
            raise Misconfigured("a key file is given for Kafka, but no certificate file: give both")
        if self.sasl_mechanism is None:
            if self.username is not None or self.password is not None:
                raise Misconfigured(
                    f"a user name is given for Kafka, but no SASL mechanism: set one of {', '.join(SASL_MECHANISMS)}"
                )
        elif self.sasl_mechanism not in SASL_MECHANISMS:
            allowed = ", ".join(SASL_MECHANISMS)
            raise Misconfigured(f"the SASL mechanism for Kafka is {self.sasl_mechanism!r}: it can be {allowed}")
        elif not self.username or not self.password:
            raise Misconfigured(f"SASL {self.sasl_mechanism} for Kafka needs a user name and a password")

    def ssl_context(self) -> ssl.SSLContext | None:
        """None without TLS. Checks the brokers' names and certificates. Misconfigured when a file cannot be used."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                # The empty password keeps OpenSSL from asking for one on the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")  # nosec B106 - none is asked for
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = ", ".join(str(file) for file in (self.ca_file, self.certificate_file, self.key_file) if file)
            raise Misconfigured(f"a certificate or key for Kafka can't be used ({files}): {error}") from error
        return context

    def credentials(self) -> SASLCredentials | SSLCredentials | None:
        """For Faust's setting `broker_credentials`; None on an open, plain connection."""
        from faust.auth import SASLCredentials, SSLCredentials  # Faust takes long; settings are read without it

        context = self.ssl_context()
        if self.sasl_mechanism is not None:
            return SASLCredentials(
                username=self.username, password=self.password, mechanism=self.sasl_mechanism, ssl_context=context
            )
        return SSLCredentials(context) if context is not None else None
