"""TLS by files: the certificate that the web server shows, and whom workers trust when they ask each other.

Each fault is one line that names the variable and its file. The files are read when the settings are, so that a start
with a wrong one ends before it has done anything.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from exness_streams.settings.prefix import PREFIX

CERTIFICATE, KEY, AUTHORITY = (f"{PREFIX}TLS_{name}_FILE" for name in ("CERTIFICATE", "KEY", "CA"))

NO_PASSWORD = ""  # nosec B105 - none
"""Given instead of none, for which OpenSSL would ask on the terminal."""


class ServerContext(ssl.SSLContext):
    """What a web server speaks TLS with, 1.2 at least, of two files."""

    _files: tuple[Path, Path]
    _seen: tuple[object, ...]

    def renewed(self) -> ServerContext | None:
        """Of the same files, when they are others now than when this was last asked; None when they are not.

        ValueError with one line about a file that can't be used, once for each state of the files.
        """
        seen = _state_of(self._files)
        if seen == self._seen:
            return None
        self._seen = seen
        return server_context(*self._files)


def server_context(certificate_file: Path, key_file: Path) -> ServerContext:
    """Of these files. ValueError with one line about the file that can't be used."""
    seen = _state_of((certificate_file, key_file))  # first: what is written meanwhile is found by the next look
    _check_certificates(CERTIFICATE, certificate_file)
    _read(KEY, key_file)
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context._files, context._seen = (certificate_file, key_file), seen
    _load(context, certificate_file, key_file)
    return context


def _state_of(files: tuple[Path, Path]) -> tuple[object, ...]:
    """Another one when somebody has written or replaced a file."""
    return tuple(map(_stamp_of, files))


def _stamp_of(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _load(context: ssl.SSLContext, certificate_file: Path, key_file: Path) -> None:
    try:
        context.load_cert_chain(certificate_file, key_file, NO_PASSWORD)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(
                f"{KEY}={key_file} is not the key of the certificate in {CERTIFICATE}={certificate_file}"
            ) from None
        if error.reason is not None and ("EE_KEY" in error.reason or "MD_TOO_WEAK" in error.reason):
            raise ValueError(f"{CERTIFICATE}={certificate_file} is too weak ({error.reason})") from None
        raise ValueError(f"{KEY}={key_file} holds no private key in PEM form that needs no password") from None


def client_context(authority_file: Path | None) -> ssl.SSLContext:
    """What a worker checks another one's certificate with; without a file, against the system's authorities.

    ValueError with one line when the file can't be used.
    """
    if authority_file is not None:
        _check_certificates(AUTHORITY, authority_file)
    context = ssl.create_default_context(cafile=authority_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _check_certificates(variable: str, file: Path) -> None:
    _read(variable, file)
    try:
        # OpenSSL tells a wrong key as it tells a wrong certificate: so this one is read by itself first.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError(f"{variable}={file} holds no certificate in PEM form") from None


def _read(variable: str, file: Path) -> None:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise ValueError(f"{variable}={file} can't be read: {error.strerror}") from None
