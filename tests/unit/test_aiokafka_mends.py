"""What a consumer's group confirms, as aiokafka's own coordinator asks for it and reads the answers."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import IllegalStateError, KafkaConnectionError, RebalanceInProgressError, UnknownMemberIdError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from exness_streams.transport.kafka.aiokafka_mends import (
    abandon,
    beat_while_taking_over,
    refuse_to_seek_unassigned,
    tell_confirmations,
)

REQUESTS: dict[str, Callable[[], Any]] = {
    "heartbeat": lambda: HeartbeatRequest("group", 1, "member"),
    "sync": lambda: SyncGroupRequest("group", 1, "member", None, []),
    "join": lambda: JoinGroupRequest("group", 6_000, 60_000, "member", None, "consumer", []),
}
CONFIRMING = ("heartbeat", "sync")


class Group:
    """A consumer, and the coordinator's answers to it."""

    def __init__(self) -> None:
        self.now_s = 10.0
        self.error_code = 0
        self.fault: Exception | None = None
        self.told: list[float] = []
        self._coordinator = SimpleNamespace(_send_req=self.answer)
        tell_confirmations(self, lambda: self.now_s, self.told.append)

    async def answer(self, request: Any) -> Any:
        self.now_s += 2  # it takes its time
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return SimpleNamespace(error_code=self.error_code, request=request)

    async def ask(self, kind: str) -> Any:
        return await self._coordinator._send_req(REQUESTS[kind]())


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_success_is_told_with_the_time_before_it_was_asked_for(kind: str) -> None:
    group = Group()
    assert (await group.ask(kind)).error_code == 0, "the answer goes on to aiokafka"
    assert group.told == ([10.0] if kind in CONFIRMING else [])


@pytest.mark.parametrize("kind", CONFIRMING)
@pytest.mark.parametrize("error", [RebalanceInProgressError, UnknownMemberIdError])
async def test_a_refusal_confirms_nothing(kind: str, error: type[RebalanceInProgressError]) -> None:
    """A rebalance is one, although aiokafka takes it for a success of the heartbeat."""
    group = Group()
    group.error_code = error.errno
    await group.ask(kind)
    assert group.told == []


@pytest.mark.parametrize("kind", REQUESTS)
async def test_no_answer_confirms_nothing(kind: str) -> None:
    group = Group()
    group.fault = KafkaConnectionError()
    with pytest.raises(KafkaConnectionError):
        await group.ask(kind)
    assert group.told == []


async def test_a_seek_between_two_assignments_is_refused_as_one_of_a_rebalance() -> None:
    """aiokafka asserts, and its AssertionError ended the worker: found on a machine under load."""
    consumer: Any = SimpleNamespace(_subscription=SubscriptionState())
    with pytest.raises(IllegalStateError, match="dealt out anew"):
        refuse_to_seek_unassigned(consumer)
    consumer._subscription.subscribe({"journal"})
    with pytest.raises(AssertionError):
        consumer._subscription.seek(TopicPartition("journal", 0), 5)
    with pytest.raises(IllegalStateError, match="dealt out anew"):
        refuse_to_seek_unassigned(consumer)
    consumer._subscription.assign_from_subscribed([TopicPartition("journal", 0)])
    refuse_to_seek_unassigned(consumer)
    consumer._subscription.seek(TopicPartition("journal", 0), 5)
    with pytest.raises(IllegalStateError):
        consumer._subscription.seek(TopicPartition("journal", 1), 5)


async def test_a_member_is_heard_of_while_it_takes_its_partitions_over() -> None:
    happened: list[str] = []

    async def take_over(*given: Any) -> str:
        happened.append(f"takes over {given}")
        return "taken"

    coordinator = SimpleNamespace(
        _on_join_complete=take_over, _start_heartbeat_task=lambda: happened.append("heartbeats")
    )
    beat_while_taking_over(SimpleNamespace(_coordinator=coordinator))
    assert await coordinator._on_join_complete(7, "member", "protocol", b"") == "taken"
    assert happened == ["heartbeats", "takes over (7, 'member', 'protocol', b'')"]


@pytest.mark.parametrize(
    ("task", "is_told"),
    [("Sender._sender_routine", False), ("MessageAccumulator._pop_batch", False), ("Framer.run", True)],
)
def test_the_end_of_a_task_that_is_told_elsewhere_is_no_traceback(
    caplog: pytest.LogCaptureFixture, task: str, is_told: bool
) -> None:
    words = f"Task exception was never retrieved\nfuture: <Task finished name='Task-7' coro=<{task}() done>>"
    logging.getLogger("asyncio").error(words)
    assert bool(caplog.records) == is_told


@pytest.mark.parametrize(("failed", "is_told"), [(UnknownMemberIdError(), False), (ValueError("ours"), True)])
def test_a_future_that_nobody_waits_for_any_more_is_no_traceback(
    caplog: pytest.LogCaptureFixture, failed: Exception, is_told: bool
) -> None:
    words = f"Future exception was never retrieved\nfuture: <Future finished exception={failed!r}>"
    logging.getLogger("asyncio").error(words, exc_info=(type(failed), failed, None))
    assert bool(caplog.records) == is_told


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_producer_that_does_not_stop_is_ended(has_begun: bool) -> None:
    """aiokafka's own close waits for what is under way, such as the partitions of a topic that is gone."""
    closed: list[str] = []

    async def close() -> None:
        closed.append("connections")

    async def send() -> None:
        asking = asyncio.ensure_future(asyncio.get_running_loop().create_future())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asking

    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
    ended: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future()]
    sending = asyncio.ensure_future(send()) if has_begun else None
    await asyncio.sleep(0)
    await abandon(
        SimpleNamespace(
            _sender=SimpleNamespace(sender_task=sending),
            _txn_manager=SimpleNamespace(wait_for_transaction_end=lambda: ended[0]),
            client=SimpleNamespace(close=close),
        )
    )
    if sending is not None:
        await asyncio.wait({sending}, timeout=10)
        assert sending.cancelled()
    ended.pop().set_exception(KafkaConnectionError("too late"))
    await asyncio.sleep(0)
    gc.collect()
    assert (closed, unheard) == (["connections"], [])
