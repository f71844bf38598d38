"""Workers with certificates of their own, on addresses of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from broker import Broker
from certificates import certificates
from deployment import Deployment, ask, can_use_loopback_addresses, until, without_topics

pytestmark = pytest.mark.skipif(not can_use_loopback_addresses(), reason="needs more loopback addresses than one")


def test_workers_speak_tls_to_each_other(tmp_path: Path, broker: Broker) -> None:
    """Whoever is asked: the candles are at one of the two, and come from there by https."""
    without_topics(tmp_path, broker)
    files = certificates(tmp_path / "tls", *(f"127.0.0.{n}" for n in range(10, 16)))
    overrides = {
        "EXNESS_TLS_CERTIFICATE_FILE": str(files.certificate),
        "EXNESS_TLS_KEY_FILE": str(files.key),
        "EXNESS_TLS_CA_FILE": str(files.authority),
    }
    deployment = Deployment(tmp_path / "data", broker.address, **overrides)
    try:
        deployment.start("market-data-1", "engine-1", "engine-2")
        for name in ("engine-1", "engine-2"):
            url = f"{deployment.services[name].url}/api/v1/candles?symbol=SOL_USDC&interval=1m&limit=1"
            until(lambda url=url: ask(url, files.trusting)[0] == 200)
        assert "not trusted" not in "".join(one.said() for one in deployment.services.values())
    finally:
        deployment.end()
