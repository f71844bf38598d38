"""Whether a web server listens where the settings say, whoever else may have told it something."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any

from exness_streams.domain.hosts import is_loopback
from exness_streams.settings.platform import Settings
from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.faust_mends import bound_addresses

WEB_START_S_MAX = 10.0


async def check_bound(app: Any, settings: Settings) -> None:
    """Wait for the web server of a Faust app. Misconfigured when it listens elsewhere, LogFault when nowhere."""
    give_up_at_s = time.monotonic() + WEB_START_S_MAX
    while not (bound := bound_addresses(app)):
        if time.monotonic() > give_up_at_s:
            raise LogFault(f"the web server does not listen on {settings.host}, port {settings.port}")
        await asyncio.sleep(0.05)
    refuse_elsewhere(bound, settings)


def refuse_elsewhere(bound: Sequence[Any], settings: Settings) -> None:
    """Misconfigured when one of the addresses (host, port, ...) is not what the settings say."""
    meant = {found[4][0] for found in socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)}
    for address in bound:
        is_reachable = settings.auth == "required" or is_loopback(address[0])
        if address[0] not in meant or not is_reachable or address[1] != settings.port:
            raise Misconfigured(
                f"the web server listens on {address[0]}, port {address[1]}, and not on {settings.host}, port "
                f"{settings.port}, as the settings say: options of Faust's own command line may not contradict them"
            )
