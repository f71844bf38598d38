"""Who is connected to a web server of ours: how many, from where, and for how long each may keep others waiting.

Each wait has a length of its own, so the connections in one wait stand in the order in which their time is up. A look
costs what is up, not what is there; so does finding the connection that makes room for another one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

log = logging.getLogger(__name__)

WARNED_EVERY_S = 60.0
LOOK_S_MAX = 0.5
REFUSED_S = 1.0
"""How long a refused connection may take to read that it is."""

REFUSED_MAX = 32
"""So many refused connections may read it at once; others are cut."""

ADDRESS_SHARE = 2
"""Without a setting one address may have the whole number divided by this. All are on loopback, which may have all."""


class Wait(str, Enum):
    """What a connection is waited for."""

    HEAD = "head"
    """The head of a request: from its first byte, of the first request from the connection on."""

    BODY = "body"
    """The rest of a body whose head is there."""

    IDLE = "idle"
    """The next request."""

    READING = "answer"
    """That the client reads its answer."""


@dataclass(frozen=True)
class Patience:
    """How long each wait may take, in seconds."""

    head: float = 10.0
    body: float = 10.0
    idle: float = 75.0
    """Longer than proxies keep their connections (nginx: 60 s), so that they are the ones that close."""

    answer: float = 30.0
    """Without a byte taken."""

    def of(self, wait: Wait) -> float:
        """One of them."""
        seconds: float = getattr(self, wait.value)
        return seconds


class Peer(Protocol):
    """The server's side of a connection."""

    def time_is_up(self, wait: Wait) -> None:
        """It has waited for this as long as it may."""

    def make_room(self) -> None:
        """End: it is idle, and another one needs its place."""


class Connection:
    """One connection's place. is_busy: while a request is answered, or a stream runs."""

    __slots__ = ("address", "is_busy", "peer", "transport", "unread")

    def __init__(self, peer: Peer, transport: asyncio.Transport, address: str) -> None:
        self.peer, self.transport, self.address = peer, transport, address
        self.is_busy = False
        self.unread = 0


def group_of(address: str) -> str:
    """Whom an address belongs to: an IPv4 address is one client, of IPv6 the first 64 bits are."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip) if ip.is_loopback else str(ipaddress.ip_network((ip, 64), strict=False))


class Connections:
    """The connections of one web server.

    counters: `refused_all` and `refused_address` (all places taken, or the address's), `displaced`, and `late_` with
    each wait.
    """

    def __init__(self, total_max: int, address_max: int | None = None, patience: Patience | None = None) -> None:
        """address_max: of one address (of IPv6: one /64 network); without it half of the total, on loopback all."""
        self.counters: Counter[str] = Counter()
        self.patience = patience or Patience()
        self._exempt: frozenset[Any] = frozenset()
        self.limit(total_max, address_max)
        self._waits: dict[Wait, dict[Connection, float]] = {wait: {} for wait in Wait}
        self._idle_of: dict[str, dict[Connection, None]] = {}
        self._here: set[Connection] = set()
        self._count_of: Counter[str] = Counter()
        self._refused = 0
        self._warned_at_s = -WARNED_EVERY_S
        self._look: asyncio.TimerHandle | None = None

    def limit(self, total_max: int, address_max: int | None = None, exempt: Iterable[Any] = ()) -> None:
        """Set the limits. exempt: networks whose addresses (proxies) stand for many clients."""
        self.total_max = total_max
        self.address_max = min(total_max, address_max or max(1, total_max // ADDRESS_SHARE))
        self._limits_loopback = address_max is not None
        self._exempt = frozenset(exempt)

    def __len__(self) -> int:
        return len(self._here)

    # Coming and going

    def arrive(self, peer: Peer, transport: asyncio.Transport) -> Connection | None:
        """Give a connection a place, if need be that of an idle one, of the same address first. None: no place."""
        address, is_exempt = self._whose(transport)
        if not self._has_place(address, is_exempt):
            return None
        connection = Connection(peer, transport, address)
        self._here.add(connection)
        self._count_of[address] += 1
        self._enter(connection, Wait.HEAD)
        return connection

    def _whose(self, transport: asyncio.Transport) -> tuple[str, bool]:
        """Whose a connection is, and whether that address may have all places."""
        named = transport.get_extra_info("peername")
        try:
            ip = ipaddress.ip_address(named[0].partition("%")[0])
        except (ValueError, TypeError, IndexError, AttributeError):
            return "", False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_loopback and not self._limits_loopback:
            return group_of(named[0]), True
        return group_of(named[0]), any(ip in network for network in self._exempt)

    def _has_place(self, address: str, is_exempt: bool) -> bool:
        """Whether there is one, if need be that of another."""
        of_address = self._idle_of.get(address)
        if not is_exempt and self._count_of[address] >= self.address_max:
            return self._displace(of_address)
        if len(self._here) < self.total_max:
            return True
        # Those that have not even asked come last; the oldest of them first, for who means to ask does so at once.
        return any(self._displace(idle) for idle in (of_address, self._waits[Wait.IDLE], self._waits[Wait.HEAD]))

    def gone(self, connection: Connection) -> None:
        """The connection is over."""
        if connection not in self._here:
            return
        self._here.discard(connection)
        for wait in Wait:
            self._leave(connection, wait)
        self._count_of[connection.address] -= 1
        if not self._count_of[connection.address]:
            del self._count_of[connection.address]
        if not self._here and self._look is not None:
            self._look.cancel()
            self._look = None

    def refuse(self, transport: asyncio.Transport) -> bool:
        """Count a connection for which there is no place.

        Whether it may take a moment to read that: it ends then by itself. Else the caller ends it.
        """
        address, is_exempt = self._whose(transport)
        reason = "refused_all" if is_exempt or self._count_of[address] < self.address_max else "refused_address"
        self.counters[reason] += 1
        self._warn(reason, address)
        return self.linger(transport) is not None

    def linger(self, transport: asyncio.Transport) -> Callable[[], None] | None:
        """Let a connection without a place be for a moment. Returns what keeps it from ending; None: too many do."""
        if self._refused >= REFUSED_MAX:
            return None
        self._refused += 1

        def end() -> None:
            self._refused -= 1
            transport.abort()

        def keep() -> None:
            if not timer.cancelled() and timer.when() > loop.time():
                timer.cancel()
                self._refused -= 1

        loop = asyncio.get_running_loop()
        timer = loop.call_later(REFUSED_S, end)
        return keep

    def _displace(self, idle: dict[Connection, Any] | None) -> bool:
        """End the first of these."""
        if not idle:
            return False
        self.counters["displaced"] += 1
        self._end(next(iter(idle)))
        return True

    def _end(self, connection: Connection) -> None:
        self.gone(connection)  # its place is free at once
        connection.peer.make_room()

    def _warn(self, reason: str, address: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_at_s < WARNED_EVERY_S:
            return
        self._warned_at_s = now_s
        if reason == "refused_all":
            log.warning("connections are refused: %d are open, and none is idle", len(self._here))
        else:
            log.warning("connections of %s are refused: it has its %d", address, self.address_max)

    # Waiting

    def begins_head(self, connection: Connection) -> None:
        """The first bytes of another request are there."""
        self._leave(connection, Wait.IDLE)
        self._enter(connection, Wait.HEAD)

    def begins_body(self, connection: Connection) -> None:
        """A head is there, and a part of its body is not."""
        self._enter(connection, Wait.BODY)

    def ends_body(self, connection: Connection) -> None:
        """The body is there, or nobody wants it."""
        self._leave(connection, Wait.BODY)

    def is_asked(self, connection: Connection) -> None:
        """A request is there, and is being answered."""
        connection.is_busy = True
        self._leave(connection, Wait.HEAD)
        self._leave(connection, Wait.IDLE)

    def has_answered(self, connection: Connection) -> None:
        """The request is answered."""
        connection.is_busy = False
        self._leave(connection, Wait.HEAD)
        self._enter(connection, Wait.IDLE)

    def stalls(self, connection: Connection) -> None:
        """The client has not taken what was sent."""
        connection.unread = connection.transport.get_write_buffer_size()
        self._enter(connection, Wait.READING)

    def flows(self, connection: Connection) -> None:
        """It has now."""
        self._leave(connection, Wait.READING)

    def _enter(self, connection: Connection, wait: Wait) -> None:
        if connection not in self._here:
            return
        connections = self._waits[wait]
        connections.pop(connection, None)
        connections[connection] = time.monotonic()
        if wait in (Wait.IDLE, Wait.HEAD):
            self._idle_of.setdefault(connection.address, {})[connection] = None
        if self._look is None:
            self._look_later()

    def _leave(self, connection: Connection, wait: Wait) -> None:
        if self._waits[wait].pop(connection, None) is None or wait not in (Wait.IDLE, Wait.HEAD):
            return
        idle = self._idle_of.get(connection.address, {})
        idle.pop(connection, None)
        if not idle:
            self._idle_of.pop(connection.address, None)

    # Time

    def _look_later(self) -> None:
        pause_s = min(LOOK_S_MAX, *(self.patience.of(wait) / 4 for wait in Wait))
        self._look = asyncio.get_running_loop().call_later(pause_s, self._look_round)

    def _look_round(self) -> None:
        self._look = None
        now_s = time.monotonic()
        for wait in Wait:
            self._end_late(wait, now_s - self.patience.of(wait))
        if self._here:
            self._look_later()

    def _end_late(self, wait: Wait, begun_s: float) -> None:
        late = []
        for connection, since_s in self._waits[wait].items():
            if since_s > begun_s:
                break
            late.append(connection)
        for connection in late:
            if wait is Wait.READING and self._has_read(connection):
                continue
            self._leave(connection, wait)
            self.counters["late_" + wait.value] += 1
            connection.peer.time_is_up(wait)

    def _has_read(self, connection: Connection) -> bool:
        """Whether a client that reads slowly reads at all; then its time begins again."""
        unread = connection.transport.get_write_buffer_size()
        if unread >= connection.unread:
            return False
        self.stalls(connection)
        return True
