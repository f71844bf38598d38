"""Certificates of an authority of our own, as an operator would put them into files."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import trustme


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files: an authority's certificate, and one of its servers with the key."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, Path]:
        """As our settings take them."""
        return {
            "tls_certificate_file": self.certificate,
            "tls_key_file": self.key,
            "tls_ca_file": self.authority,
        }

    @property
    def trusting(self) -> ssl.SSLContext:
        """A client that trusts the authority."""
        return ssl.create_default_context(cafile=self.authority)


def certificates(directory: Path, *names: str) -> CertificateFiles:
    """A new authority, and a certificate of it for these host names and addresses."""
    authority = trustme.CA()
    served = authority.issue_cert(*names)
    directory.mkdir(parents=True, exist_ok=True)
    files = CertificateFiles(*(directory / name for name in ("authority.pem", "server.pem", "server.key")))
    authority.cert_pem.write_to_path(files.authority)
    served.private_key_pem.write_to_path(files.key)
    for part in served.cert_chain_pems:
        part.write_to_path(files.certificate, append=True)
    return files


@asynccontextmanager
async def secure_stream(
    client: aiohttp.ClientSession, url: str, trusting: ssl.SSLContext
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket over TLS whose connection is gone at the end: aiohttp itself doesn't wait for TLS to say goodbye."""
    async with client.ws_connect(url, ssl=trusting) as stream:
        connection = stream.get_extra_info("socket")
        yield stream
    for _ in range(1_000):
        if connection.fileno() == -1:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("the connection is still there")
