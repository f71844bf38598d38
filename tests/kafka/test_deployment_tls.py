"""Workers with certificates of their own, on addresses of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from broker import Broker
from certificates import certificates, secure_stream
from deployment import Deployment, ask, can_use_loopback_addresses, signed_in, until, without_topics
from mail_server import Mailbox

pytestmark = pytest.mark.skipif(not can_use_loopback_addresses(), reason="needs more loopback addresses than one")


async def test_workers_speak_tls_to_each_other(tmp_path: Path, broker: Broker) -> None:
    """Whoever is asked: the candles are at one of the two, and come from there by https."""
    await asyncio.to_thread(without_topics, tmp_path, broker)
    files = certificates(tmp_path / "tls", *(f"127.0.0.{n}" for n in range(10, 16)))
    mailbox = Mailbox()
    overrides = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mailbox.port),
        "EXNESS_TLS_CERTIFICATE_FILE": str(files.certificate),
        "EXNESS_TLS_KEY_FILE": str(files.key),
        "EXNESS_TLS_CA_FILE": str(files.authority),
    }
    deployment = Deployment(tmp_path / "data", broker.address, **overrides)
    try:
        await asyncio.to_thread(deployment.start, "market-data-1", "engine-1", "engine-2")
        for name in ("engine-1", "engine-2"):
            url = f"{deployment.services[name].url}/api/v1/candles?symbol=SOL_USDC&interval=1m&limit=1"
            until(lambda url=url: ask(url, files.trusting)[0] == 200)
        with mailbox:
            token = signed_in(deployment.services["engine-1"].url, mailbox, "ann@example.com", files.trusting)
        for name in ("engine-1", "engine-2"):  # one of them is not the account's owner
            url, headers = deployment.services[name].url, {"Authorization": f"Bearer {token}"}
            assert ask(f"{url}/api/v1/state", files.trusting, **headers)[0] == 200
            async with (
                aiohttp.ClientSession(headers=headers) as client,
                secure_stream(client, f"{url}/ws", files.trusting) as stream,
            ):
                kinds = [(await stream.receive_json(timeout=20))["type"] for _ in range(2)]
            assert kinds == ["connection", "state"]
        assert "not trusted" not in "".join(one.said() for one in deployment.services.values())
    finally:
        deployment.end()
