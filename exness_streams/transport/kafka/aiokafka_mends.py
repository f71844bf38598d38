"""Everything that touches aiokafka's private names: what it has no setting for, and what it logs too loudly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka import client as client_module
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.producer import message_accumulator, sender

from exness_streams.transport.kafka.patience import connecting, with_limits
from exness_streams.transport.kafka.reconnects import with_patience
from exness_streams.transport.private_names import Private, refuse_without

BOUNDS = ">=0.12,<0.15"
"""As in pyproject.toml."""

NEEDED = (
    *(
        Private("aiokafka:AIOKafkaConsumer", name)
        for name in ("_client", "_coordinator", "_fetch_max_wait_ms", "_fetcher", "_isolation_level",
                     "_max_poll_records", "_subscription")
    ),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_group_instance_id"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_coordination_task"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_push_error_to_user"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "coordinator_id"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_send_req"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "request_rejoin"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_on_join_complete"),
    Private("aiokafka.consumer.group_coordinator:GroupCoordinator", "_start_heartbeat_task"),
    Private("aiokafka.consumer.fetcher:Fetcher", "_fetch_task"),
    Private("aiokafka:AIOKafkaProducer", "_txn_manager"),
    Private("aiokafka:AIOKafkaProducer", "_sender"),
    Private("aiokafka.producer.sender:Sender", "sender_task"),
    Private("aiokafka.producer.transaction_manager:TransactionManager", "is_fatal_error"),
    Private("aiokafka.producer.transaction_manager:TransactionManager", "wait_for_transaction_end"),
    Private("aiokafka.producer.message_accumulator", "MessageBatch"),
    Private("aiokafka.producer.message_accumulator:MessageBatch", "_drain_waiter"),
    Private("aiokafka.producer.message_accumulator:MessageAccumulator", "_pop_batch"),
    Private("aiokafka.producer.sender", "BACKOFF_OVERRIDE"),
    Private("aiokafka.partitioner", "DefaultPartitioner"),
    Private("aiokafka.client", "ConnectionGroup"),
    Private("aiokafka.client:AIOKafkaClient", "_get_conn"),
    Private("aiokafka.client", "create_conn"),
    Private("aiokafka.conn:AIOKafkaConnection", "_request_timeout"),
    Private("aiokafka.client:AIOKafkaClient", "_conns"),
)  # fmt: skip


def refuse_other_aiokafka() -> None:
    """LogFault in one line for an aiokafka that lacks one of the names."""
    refuse_without("aiokafka", NEEDED, BOUNDS)


RETRY_BACKOFF_MS = 2
"""Brokers ask for a moment's patience after each commit; aiokafka's own 100 ms would be the transaction's time."""

# And its own 20 ms for the first request of a transaction, which no setting reaches (24 ms a commit, measured).
sender.BACKOFF_OVERRIDE = RETRY_BACKOFF_MS / 1000


def _is_connected(client: Any, broker: Any, group: Any) -> bool:
    connection = client._conns.get((broker, ConnectionGroup.DEFAULT if group is None else group))
    return connection is not None and bool(connection.connected())


AIOKafkaClient._get_conn = with_patience(AIOKafkaClient._get_conn, _is_connected)
AIOKafkaConnection.send = with_limits(AIOKafkaConnection.send)
client_module.create_conn = connecting(client_module.create_conn)


class _QuietBatch(message_accumulator.MessageBatch):  # type: ignore[misc]  # aiokafka is untyped here
    """aiokafka's, which fails a future of its own that nobody waits for: asyncio would tell of it with a traceback."""

    def failure(self, exception: BaseException) -> None:
        super().failure(exception)
        seen(self._drain_waiter)


message_accumulator.MessageBatch = _QuietBatch


def seen(sent: asyncio.Future[Any]) -> None:
    """When a transaction fails, what hangs on it fails, too, and the transaction tells why."""
    if sent.done() and not sent.cancelled():
        sent.exception()


class _Patience(logging.Filter):
    """Drops aiokafka's warnings of such retries for the topics that cells write; nearly every commit has some.

    Brokers of 4.x call it NotEnoughReplicas. A real lack of replicas is still told of the other topics, and by
    commits that fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.topics: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        about = arguments[0] if arguments else None
        if not isinstance(about, TopicPartition) or about.topic not in self.topics:
            return True
        return not any(name in record.getMessage() for name in ("NotEnoughReplicas", "ConcurrentTransactions"))


patience = _Patience()
logging.getLogger("aiokafka.producer.sender").addFilter(patience)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What aiokafka says with a traceback, for one line.

    A producer that loses its broker inside a transaction: a commit then fails. And the end of a consumer's own tasks,
    which is told by whom it ends.
    """
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        error, record.exc_info = record.exc_info[1], None
        record.msg, record.args = f"{record.getMessage()}: {type(error).__name__} {error}".rstrip(), ()
    return True


_TOLD_ALREADY = ("MessageAccumulator._pop_batch", "Sender._sender_routine")
"""Tasks of aiokafka whose ends nobody looks at: one trips over failed batches, the other has logged its end."""


def _is_not_its_bookkeeping(record: logging.LogRecord) -> bool:
    """What asyncio says of such tasks, with a traceback, when they are thrown away; and of a future of aiokafka's that
    failed when whoever waited for it had given up, for another fault, which is told.
    """
    words = record.getMessage()
    failed = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if words.startswith("Future exception was never retrieved") and isinstance(failed, KafkaError):
        return False
    return not any(task in words for task in _TOLD_ALREADY)


for name in ("producer.sender", "consumer.group_coordinator", "consumer.fetcher"):
    logging.getLogger(f"aiokafka.{name}").addFilter(_in_one_line)
logging.getLogger("asyncio").addFilter(_is_not_its_bookkeeping)


def has_fatal_error(producer: Any) -> bool:
    """Whether a producer's transactions are over for good."""
    return bool(producer._txn_manager.is_fatal_error())


def fatal_error(producer: Any) -> BaseException | None:
    """What ended a producer's transactions for good."""
    ended = producer._txn_manager.wait_for_transaction_end()
    if has_fatal_error(producer) and ended is not None and ended.done() and not ended.cancelled():
        error: BaseException | None = ended.exception()
        return error
    return None


async def abandon(producer: Any) -> None:
    """End a producer that does not stop in order, as one does not that has records for a topic which is gone.

    aiokafka's would go on asking the brokers, and fail in the end where nobody hears it.
    """
    ended = None if producer._txn_manager is None else producer._txn_manager.wait_for_transaction_end()
    if ended is not None:
        ended.add_done_callback(seen)
    sending = producer._sender.sender_task
    if sending is not None:
        sending.cancel()
        await asyncio.sleep(0)
        sending.cancel()  # it waits for what is under way first, which need not end
    await producer.client.close()


def leave_when_stopped(consumer: Any) -> None:
    """Have an aiokafka consumer leave its group when it is stopped, also as a static member.

    aiokafka lets static members stay, for a restart without a rebalance; but nobody takes their partitions over
    until their session is over, which is longer than a rebalance takes.
    """
    consumer._coordinator._group_instance_id = None


def ask_group_anew(consumer: Any) -> None:
    """Have a started consumer join its group again, in its own thread: all partitions are dealt out anew."""
    consumer._coordinator.request_rejoin()


def own_tasks(consumer: Any) -> list[asyncio.Future[Any]]:
    """Of a started consumer with a group: what keeps it in its group, and what fetches. They end when it is stopped.

    aiokafka tells of an earlier end in the next fetch, and there is none without partitions.
    """
    return [consumer._coordinator._coordination_task, consumer._fetcher._fetch_task]


def tell_group_errors(consumer: Any, tell: Callable[[BaseException, int], None]) -> None:
    """Have a started consumer tell of what keeps it out of its group, with the broker's id that leads the group.

    aiokafka keeps the error for the next fetch and waits until that has come; there is none without partitions.
    """
    coordinator = consumer._coordinator
    push = coordinator._push_error_to_user

    def push_and_tell(error: BaseException) -> Any:
        tell(error, coordinator.coordinator_id)
        return push(error)

    coordinator._push_error_to_user = push_and_tell


def beat_while_taking_over(consumer: Any) -> None:
    """Have a started consumer be heard of from when it is given its partitions, and not from when it has them.

    aiokafka waits for whoever takes them over. On a slow network that takes longer than a session: the group gave the
    member up each time, and dealt out anew, for ever.
    """
    coordinator = consumer._coordinator
    take_over = coordinator._on_join_complete

    async def beat_and_take_over(*given: Any) -> Any:
        coordinator._start_heartbeat_task()
        return await take_over(*given)

    coordinator._on_join_complete = beat_and_take_over


CONFIRMING = ("HeartbeatRequest", "SyncGroupRequest")
"""Requests whose success says that the member's partitions are its own. Their classes' names may go on, as in `_v3`.

A heartbeat during a rebalance is none: it succeeds for aiokafka, but is answered with an error's code.
"""


def tell_confirmations(consumer: Any, clock_s: Callable[[], float], tell: Callable[[float], None]) -> None:
    """Have a started consumer tell of each confirmation of its membership, with the time before it was asked for."""
    coordinator = consumer._coordinator
    send = coordinator._send_req

    async def send_and_tell(request: Any) -> Any:
        asked_s = clock_s()
        answer = await send(request)
        if type(request).__name__.startswith(CONFIRMING) and answer.error_code == 0:
            tell(asked_s)
        return answer

    coordinator._send_req = send_and_tell


def tell_fetches(consumer: Any, asked: Callable[[int], Callable[[], None]]) -> None:
    """Have a started consumer tell of each fetch to a broker, by its id, and then call what that returns once it ends.

    Nothing tells of one that gets no answer: aiokafka waits for the request timeout, which must be longer than a
    rebalance takes.
    """
    client = consumer._client
    send = client.send

    async def send_and_tell(node_id: int, request: Any, **how: Any) -> Any:
        if not type(request).__name__.startswith("FetchRequest"):
            return await send(node_id, request, **how)
        over = asked(node_id)
        try:
            return await send(node_id, request, **how)
        finally:
            over()

    client.send = send_and_tell


def lacks_topic(consumer: Any, topic: str) -> bool:
    """Whether the brokers, as a started consumer heard of them last, have no such topic. From any thread."""
    return consumer._client.cluster.partitions_for_topic(topic) is None


async def close_connections(consumer: Any) -> None:
    """What a consumer's stop does last, and does not come to when it is cancelled."""
    await consumer._client.close()


def read_committed(consumer: Any, fetch_wait_ms: int) -> None:
    """Settings that Faust has none for; aiokafka reads them when it starts."""
    consumer._isolation_level = "read_committed"
    consumer._fetch_max_wait_ms = fetch_wait_ms


def poll_records_max(consumer: Any) -> int | None:
    """How many records one poll may give; None: all that was fetched."""
    records: int | None = consumer._max_poll_records
    return records


def refuse_to_seek_unassigned(consumer: Any) -> None:
    """IllegalStateError between two assignments, as for a partition that is not in the one there is.

    In the consumer's thread. aiokafka only asserts there, which nobody takes for a rebalance.
    """
    if assignment_of(consumer) is None:
        raise IllegalStateError("partitions are being dealt out anew")


def assignment_of(consumer: Any) -> Any:
    """A consumer's assignment, None between two."""
    subscription = consumer._subscription.subscription
    return None if subscription is None else subscription.assignment
