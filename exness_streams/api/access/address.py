"""Where a request comes from: the address of the client, also behind proxies that the settings name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from aiohttp import hdrs, web

from exness_streams.api.errors import Handler
from exness_streams.transport.connections import group_of

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HOPS_MAX = 16
"""Entries of X-Forwarded-For that are looked at, from the last one on: no chain of proxies is longer."""

READ_MAX = 4096
"""Addresses that need not be read again."""

_KEY = web.RequestKey("exness-address", str)
_ENTRY = re.compile(
    r"(?:\[([0-9a-f.]*:[0-9a-f:.]{1,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?|([0-9a-f.]*:[0-9a-f:.]{1,45})",
    re.I | re.ASCII,
)


def address_of(request: web.BaseRequest) -> str:
    """The client's IP address; of a request that a worker passed on, as the first worker saw it. '' when unknown."""
    known = request.get(_KEY)
    return known if isinstance(known, str) else _peer_of(request)


def remember_address(request: web.BaseRequest, address: str) -> None:
    """Say where a request comes from: from now on this is what `address_of` answers."""
    request[_KEY] = address


def network_of(address: str) -> str:
    """Whom an address belongs to, as limits count it: an IPv4 address is one client, of IPv6 the first 64 bits are."""
    return group_of(address)


class ClientAddresses:
    """Finds the client behind trusted proxies; anybody else's X-Forwarded-For is only a claim, and not looked at."""

    def __init__(self, trusted: Iterable[Network]) -> None:
        """trusted: the networks of the proxies."""
        self._trusted = tuple(trusted)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Goes outside of whatever asks for the address."""
        remember_address(request, self.find(request))
        return await handler(request)

    def find(self, request: web.BaseRequest) -> str:
        """The peer's address or, when that is a proxy's, the last one in X-Forwarded-For that is no proxy's.

        Each proxy appends whom it has its request from, so only what stands right of that entry was written by
        proxies, and what stands left of it by the client. The peer's own address when that can't be told.
        """
        peer = _peer_of(request)
        if not self._trusted or not self._is_trusted(_read(peer)):
            return peer
        claimed = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, []))
        for entry in reversed(claimed.rsplit(",", HOPS_MAX)[-HOPS_MAX:]):
            address = _read_entry(entry.strip(" \t"))
            if address is None:
                return peer
            if not self._is_trusted(address):
                return str(address)
        return peer

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _peer_of(request: web.BaseRequest) -> str:
    transport = request.transport
    named = None if transport is None else transport.get_extra_info("peername")
    if not isinstance(named, tuple) or not named:
        return ""
    read = _read(str(named[0]))
    return str(named[0]) if read is None else str(read)


def _read_entry(entry: str) -> Address | None:
    found = _ENTRY.fullmatch(entry)
    return None if found is None else _read(found[1] or found[2] or found[3])


@lru_cache(READ_MAX)
def _read(text: str) -> Address | None:
    """An address, without its zone; an IPv4 one that was mapped into IPv6 as what it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
