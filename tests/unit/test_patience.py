"""A broker that hangs holds nobody up for long: each request has a limit of its own, and so has a connection."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import client as aiokafka_client
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from exness_streams.transport.kafka import aiokafka_mends, patience
from exness_streams.transport.kafka.patience import ANSWER_S_MAX, FETCH_S_MAX, answer_s_max, connecting, with_limits

OWN_S = 90.0


@pytest.mark.parametrize(
    ("request_class", "limit_s"),
    [
        (MetadataRequest, ANSWER_S_MAX),
        (HeartbeatRequest, ANSWER_S_MAX),
        (FetchRequest, FETCH_S_MAX),
        (JoinGroupRequest, None),
        (SyncGroupRequest, None),
    ],
)
def test_what_a_broker_may_hold_has_its_own_time(request_class: type, limit_s: float | None) -> None:
    assert answer_s_max(request_class.__name__) == limit_s
    assert answer_s_max(request_class.__name__ + "_v3") == limit_s


@pytest.mark.parametrize(("kind", "own_s", "waits_s"), [("Metadata", OWN_S, ANSWER_S_MAX), ("JoinGroup", OWN_S, OWN_S),
                                                        ("Metadata", 3.0, 3.0)])  # fmt: skip
def test_the_limit_is_that_of_one_request(kind: str, own_s: float, waits_s: float) -> None:
    """Also when it can't be sent; the connection's own timeout stays what it was."""
    waited: list[float] = []

    def send(connection: Any, request: Any, expect_response: bool) -> str:
        waited.append(connection._request_timeout)
        if len(waited) > 1:
            raise OSError("broken")
        return "answer"

    connection, request = SimpleNamespace(_request_timeout=own_s), type(kind + "Request", (), {})()
    limited = with_limits(send)
    assert limited(connection, request) == "answer"
    with pytest.raises(OSError, match="broken"):
        limited(connection, request)
    assert waited == [waits_s, waits_s]
    assert connection._request_timeout == own_s


async def test_a_connection_that_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "CONNECT_S_MAX", 0.01)

    async def never(host: str, *, port: int) -> None:
        await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        await connecting(never)("127.0.0.1", port=1)


def test_aiokafka_is_mended() -> None:
    assert aiokafka_mends.NEEDED
    assert AIOKafkaConnection.send.__name__ == "send_with_limit"
    assert aiokafka_client.create_conn.__name__ == "create_in_time"
