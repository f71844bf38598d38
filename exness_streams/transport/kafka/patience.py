"""How long a client of Kafka waits for a broker that hangs, all its connections open.

aiokafka has one timeout for everything, and it must be longer than a rebalance takes: Faust's is 90 s. So a worker that
had asked a broker which then hung, for records or for who leads them, did nothing for that long; and one that started
asked the first of its addresses, and no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from async_timeout import timeout

CONNECT_S_MAX = 6.0
"""For a connection with all that belongs to it. Then the next address is tried."""

FETCH_S_MAX = 25.0
"""For records: many, on a slow network."""

ANSWER_S_MAX = 15.0
"""For anything else. The connection is made anew then, and the request is made again where that is safe."""

HELD = ("JoinGroup", "SyncGroup", "CreateTopics", "CreatePartitions", "DeleteTopics", "DeleteRecords")
"""Requests that a broker may hold for long, on purpose: they have the timeout that they come with."""


def answer_s_max(request: str) -> float | None:
    """By the name of a request's class, which may go on with a version."""
    if request.startswith(HELD):
        return None
    return FETCH_S_MAX if request.startswith("FetchRequest") else ANSWER_S_MAX


def with_limits(send: Callable[..., Any]) -> Callable[..., Any]:
    """Of aiokafka's connection: what sends a request, and returns what waits for the answer."""

    def send_with_limit(connection: Any, request: Any, expect_response: bool = True) -> Any:
        limit_s, own_s = answer_s_max(type(request).__name__), connection._request_timeout
        if limit_s is not None:
            connection._request_timeout = min(own_s, limit_s)  # read at once
        try:
            return send(connection, request, expect_response)
        finally:
            connection._request_timeout = own_s

    return send_with_limit


def connecting(create: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Of aiokafka: what makes a connection. asyncio.TimeoutError, which its clients take for a broker that is away."""

    async def create_in_time(*where: Any, **how: Any) -> Any:
        async with timeout(CONNECT_S_MAX):
            return await create(*where, **how)

    return create_in_time
