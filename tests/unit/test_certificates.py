"""TLS by files: each one that can't be used is told in one line with its variable, before anything starts."""

from __future__ import annotations

import errno
import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import CertificateFiles, certificates

from exness_streams.settings.certificates import ServerContext
from exness_streams.settings.platform import ConfigError, load_settings

CERTIFICATE, KEY, AUTHORITY = "tls_certificate_file", "tls_key_file", "tls_ca_file"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return certificates(tmp_path_factory.mktemp("tls"), "127.0.0.1", "localhost")


def test_a_certificate_with_its_key(files: CertificateFiles) -> None:
    settings = load_settings(**files.settings)
    tls = settings.server_tls()
    assert tls is not None
    assert tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert settings.client_tls().verify_mode is ssl.CERT_REQUIRED
    assert settings.client_tls().check_hostname
    assert (settings.scheme, settings.own_url) == ("https", "https://127.0.0.1:4000")


def test_without_files_there_is_no_tls() -> None:
    settings = load_settings()
    assert settings.server_tls() is None
    assert (settings.scheme, settings.own_url) == ("http", "http://127.0.0.1:4000")


@pytest.mark.parametrize("only", [CERTIFICATE, KEY])
def test_one_without_the_other(files: CertificateFiles, only: str) -> None:
    with pytest.raises(ConfigError, match="EXNESS_TLS_CERTIFICATE_FILE and EXNESS_TLS_KEY_FILE go together"):
        load_settings(**{only: files.settings[only]})


def nowhere(path: Path, files: CertificateFiles) -> None:
    pass


def a_directory(path: Path, files: CertificateFiles) -> None:
    path.mkdir()


def empty(path: Path, files: CertificateFiles) -> None:
    path.touch()


def words(path: Path, files: CertificateFiles) -> None:
    path.write_text("a certificate, honestly\n")


def bytes_of_der(path: Path, files: CertificateFiles) -> None:
    path.write_bytes(ssl.PEM_cert_to_DER_cert(files.authority.read_text()))


def cut(path: Path, files: CertificateFiles) -> None:
    path.write_text(files.certificate.read_text()[:300])


def the_key(path: Path, files: CertificateFiles) -> None:
    path.write_text(files.key.read_text())


def the_certificate(path: Path, files: CertificateFiles) -> None:
    path.write_text(files.certificate.read_text())


def anothers_key(path: Path, files: CertificateFiles) -> None:
    path.write_text(certificates(path.parent / "other", "127.0.0.1").key.read_text())


def a_locked_key(path: Path, files: CertificateFiles) -> None:
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:word", "-in", str(files.key), "-out", str(path)]
    subprocess.run(command, check=True)


Make = Callable[[Path, CertificateFiles], None]

WRONG: list[tuple[str, Make, str]] = [
    *((setting, nowhere, "can't be read: No such file or directory") for setting in (CERTIFICATE, KEY, AUTHORITY)),
    *((setting, a_directory, "can't be read: Is a directory") for setting in (CERTIFICATE, KEY, AUTHORITY)),
    *(
        (setting, make, "holds no certificate in PEM form")
        for setting in (CERTIFICATE, AUTHORITY)
        for make in (empty, words, bytes_of_der, cut, the_key)
    ),
    *(
        (KEY, make, "holds no private key in PEM form that needs no password")
        for make in (empty, words, bytes_of_der, cut, the_certificate, a_locked_key)
    ),
    (KEY, anothers_key, "is not the key of the certificate in EXNESS_TLS_CERTIFICATE_FILE="),
]


@pytest.mark.parametrize(("setting", "make", "said"), WRONG, ids=lambda one: getattr(one, "__name__", None))
def test_a_file_that_cannot_be_used(
    files: CertificateFiles, tmp_path: Path, setting: str, make: Make, said: str
) -> None:
    path = tmp_path / "file.pem"
    make(path, files)
    with pytest.raises(ConfigError) as refused:
        load_settings(**{**files.settings, setting: path})
    assert f"EXNESS_{setting.upper()}={path} {said}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("setting", [CERTIFICATE, KEY, AUTHORITY])
def test_a_file_that_may_not_be_read(files: CertificateFiles, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, open_file = files.settings[setting], Path.open

    def refusing(self: Path, *arguments: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_file(self, *arguments)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ConfigError, match=f"EXNESS_{setting.upper()}={path} can't be read: Permission denied"):
        load_settings(**files.settings)


def test_files_that_were_renewed(tmp_path: Path) -> None:
    files = certificates(tmp_path, "localhost")
    first = load_settings(**files.settings).server_tls()
    assert isinstance(first, ServerContext)
    assert first.renewed() is None
    others = certificates(tmp_path / "others", "localhost")
    others.certificate.replace(files.certificate)  # its key is not there yet
    with pytest.raises(ValueError, match="is not the key of the certificate"):
        first.renewed()
    assert first.renewed() is None, "said once"
    others.key.replace(files.key)
    second = first.renewed()
    assert isinstance(second, ServerContext)
    assert second.renewed() is None
    files.key.unlink()
    with pytest.raises(ValueError, match="can't be read"):
        second.renewed()
