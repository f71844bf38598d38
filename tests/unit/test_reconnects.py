"""A broker that takes no connection is tried again later each time, and by one at a time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata
from ports import free_ports

from exness_streams.transport.kafka import aiokafka_mends
from exness_streams.transport.kafka.reconnects import FIRST_S, LONGEST_S, Reconnects, with_patience


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.999])
def test_pauses_grow_to_a_second_and_end_with_success(drawn: float) -> None:
    clock = Clock()
    reconnects = Reconnects(clock, lambda: drawn)
    pauses = []
    for _ in range(12):
        assert reconnects.wait_s(1) == 0
        reconnects.failed(1)
        pauses.append(reconnects.wait_s(1))
        clock.now_s += pauses[-1]
    assert FIRST_S / 2 <= pauses[0] <= FIRST_S
    assert all(later >= earlier for earlier, later in itertools.pairwise(pauses))
    assert LONGEST_S / 2 <= pauses[-1] <= LONGEST_S
    reconnects.failed(1)
    reconnects.succeeded(1)
    assert (reconnects.wait_s(1), reconnects.failures(1)) == (0, 0)


def test_workers_do_not_come_all_at_once() -> None:
    clock, pauses = Clock(), set()
    for _ in range(50):
        reconnects = Reconnects(clock)
        for _ in range(9):
            reconnects.failed(1)
        pauses.add(round(reconnects.wait_s(1), 3))
    assert len(pauses) > 25


class Client:
    """Of brokers, of which some take no connection."""

    def __init__(self, *dead: int) -> None:
        self.dead = set(dead)
        self.attempts: list[int] = []
        self.connected: set[int] = set()

    async def connect(self, broker: int, **_: Any) -> str | None:
        self.attempts.append(broker)
        await asyncio.sleep(0)
        if broker in self.dead:
            return None
        self.connected.add(broker)
        return "connection"


patiently = with_patience(Client.connect, lambda client, broker, group: broker in client.connected)


async def test_many_that_ask_make_few_attempts_and_hold_no_other_broker_up() -> None:
    client = Client(1)

    async def ask() -> None:
        while len(client.attempts) < 7:
            assert await patiently(client, 1) is None
            await asyncio.sleep(0.002)  # as aiokafka does

    asked = await asyncio.gather(*(ask() for _ in range(20)), return_exceptions=True)
    assert asked == [None] * 20
    assert len(client.attempts) < 7 + 20, "each of them may have made one at first"
    assert await patiently(client, 2) == "connection"
    client.dead.clear()
    while await patiently(client, 1) is None:
        pass
    assert await patiently(client, 1) == "connection"


async def test_a_clients_attempts_at_a_dead_port_are_few() -> None:
    """aiokafka's own client, by the name that its callers use."""
    (port,) = free_ports(1)
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", retry_backoff_ms=aiokafka_mends.RETRY_BACKOFF_MS)
    client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", port, None)}
    asked = 0

    async def ask() -> None:
        nonlocal asked
        while True:
            assert not await client.ready(1)
            asked += 1
            await asyncio.sleep(0.002)

    task = asyncio.ensure_future(ask())
    await asyncio.wait({task}, timeout=1.0)
    task.cancel()
    await client.close()
    assert 1 <= asked < 40, "in a second of its own 2 ms"
