"""Where a request comes from, whatever its client writes into its headers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from exness_streams.api.access.address import HOPS_MAX, ClientAddresses, address_of, network_of, remember_address

PROXIES = ("10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48")
PROXY, CLIENT = "10.1.2.3", "203.0.113.9"


class FakeTransport:
    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def get_extra_info(self, name: str) -> Any:
        return self._peer if name == "peername" else None


class FakeRequest(dict[Any, Any]):
    """As much of a request as its address needs. peer: an address, or what a transport says itself."""

    def __init__(self, peer: Any, *forwarded: str) -> None:
        super().__init__()
        self.transport = None if peer is None else FakeTransport((peer, 1234) if isinstance(peer, str) else peer)
        self.headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])


def found(peer: Any, *forwarded: str, proxies: tuple[str, ...] = PROXIES) -> str:
    request: Any = FakeRequest(peer, *forwarded)
    return ClientAddresses(ip_network(text) for text in proxies).find(request)


BELIEVED = [
    (["203.0.113.9"], CLIENT),
    (["203.0.113.9:4711"], CLIENT),
    (["  203.0.113.9\t"], CLIENT),
    (["6.6.6.6, 203.0.113.9"], CLIENT),  # the client wrote the first itself
    (["6.6.6.6", "203.0.113.9"], CLIENT),
    (["6.6.6.6", "203.0.113.9, 10.9.9.9"], CLIENT),
    (["203.0.113.9", "10.9.9.9", "192.0.2.7"], CLIENT),
    (["6.6.6.6,203.0.113.9,10.9.9.9:80,[2001:db8:1::5]:443"], CLIENT),
    (["10.66.66.66, 203.0.113.9, 10.9.9.9"], CLIENT),  # the client claims to be a proxy
    (["<script>, 203.0.113.9"], CLIENT),  # garbage of the client's hides nobody
    ([",,,, 203.0.113.9"], CLIENT),
    (["x" * 8000 + ",203.0.113.9"], CLIENT),
    (["6.6.6.6," * 1000 + "203.0.113.9"], CLIENT),
    (["::ffff:203.0.113.9"], CLIENT),
    (["[::ffff:203.0.113.9]:80"], CLIENT),
    (["2001:DB8:2::0:1"], "2001:db8:2::1"),
    (["[2001:db8:2::1]"], "2001:db8:2::1"),
    (["[2001:db8:2::1]:443"], "2001:db8:2::1"),
]
UNTOLD: list[list[str]] = [
    [],
    [""],
    [" "],
    [","],
    ["203.0.113.9,"],
    ["unknown"],
    ["_hidden"],
    ["203.0.113.9, unknown"],
    ["203.0.113.9, garbage, 10.9.9.9"],  # written by a proxy
    ["203.0.113.256"],
    ["203.0.113"],
    ["203.0.113.09"],
    ["3405803785"],
    ["0xcb007109"],
    ["203.0.113.9:"],
    ["203.0.113.9:x"],
    ["203.0.113.9:123456"],
    ["203.0.113.9 6.6.6.6"],
    ["[203.0.113.9"],
    ["203.0.113.9]"],
    ["[203.0.113.9]"],
    ["[2001:db8:2::1"],
    ["[2001:db8:2::1]x"],
    ["fe80::1%eth0"],
    ['"203.0.113.9"'],
    ["for=203.0.113.9"],
    ["２０３.0.113.9"],
    ["10.9.9.9"],  # proxies alone: the first may be a claim of the client's
    ["10.66.66.66, 10.9.9.9"],
    ["203.0.113.9," + "10.9.9.9," * HOPS_MAX + "10.9.9.9"],  # no chain is that long
]


@pytest.mark.parametrize(("forwarded", "client"), BELIEVED)
def test_the_last_address_that_is_no_proxys_is_the_clients(forwarded: list[str], client: str) -> None:
    assert found(PROXY, *forwarded) == client


@pytest.mark.parametrize("forwarded", UNTOLD)
def test_what_can_not_be_told_is_the_peers(forwarded: list[str]) -> None:
    assert found(PROXY, *forwarded) == PROXY


@pytest.mark.parametrize("forwarded", [forwarded for forwarded, _ in BELIEVED] + UNTOLD)
@pytest.mark.parametrize("peer", ["203.0.113.1", "127.0.0.1", "::1", "2001:db8:2::9", "192.0.2.8"])
def test_a_strangers_header_is_not_looked_at(peer: str, forwarded: list[str]) -> None:
    assert found(peer, *forwarded) == peer


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8:1:2::3"])
def test_a_proxy_is_known_by_its_network_in_any_spelling(peer: str) -> None:
    assert found(peer, CLIENT) == CLIENT


def test_without_proxies_every_peer_is_itself() -> None:
    assert found(PROXY, CLIENT, proxies=()) == PROXY
    assert found("::ffff:10.1.2.3", CLIENT, proxies=()) == PROXY
    assert found("fe80::1%eth0", CLIENT, proxies=()) == "fe80::1"


@pytest.mark.parametrize("peer", [None, (), "", b"", 7])
def test_a_peer_without_an_address_has_none(peer: Any) -> None:
    assert found(peer, CLIENT) == ""


@given(st.lists(st.text(max_size=40), max_size=5), st.lists(st.sampled_from(["10.9.9.9", "192.0.2.7:8"]), max_size=4))
def test_nothing_that_a_client_writes_makes_it_another(written: list[str], through: list[str]) -> None:
    """A client's own headers, and behind them what honest proxies append."""
    assert found(PROXY, *written, ", ".join([CLIENT, *through])) == CLIENT


def test_an_ipv6_network_is_one_client() -> None:
    assert network_of("2001:db8:2:3::1") == network_of("2001:db8:2:3:ffff::2")
    assert network_of("2001:db8:2:3::1") != network_of("2001:db8:2:4::1")
    assert network_of("203.0.113.9") != network_of("203.0.113.8")
    assert network_of("") == ""


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server behind a proxy on this machine, that answers with what it took for its client's address."""

    async def answer(request: web.Request) -> web.Response:
        seen = address_of(request)
        if "set" in request.query:
            remember_address(request, request.query["set"])
        return web.json_response([seen, address_of(request)])

    app = web.Application(middlewares=[ClientAddresses([ip_network("127.0.0.0/8")]).middleware])
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_it_is_found_once_and_may_be_set(port: int) -> None:
    headers = CIMultiDict([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", CLIENT)])
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/", headers=headers) as response:
            assert await response.json() == [CLIENT, CLIENT]
        async with client.get(f"http://127.0.0.1:{port}/?set=198.51.100.1", headers=headers) as response:
            assert await response.json() == [CLIENT, "198.51.100.1"]
        async with client.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.json() == ["127.0.0.1", "127.0.0.1"]
