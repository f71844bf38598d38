"""What aiokafka's errors mean, for the one line that an operator reads."""

from __future__ import annotations

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from exness_streams.transport.faults import first_line

ADVICE = {
    InvalidTimestampError: "the brokers refuse the times of its records: this machine's clock is more than an hour "
    "ahead of theirs. Set both by a time service, or let the brokers give the times, for each topic made by an older "
    "release: kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name TOPIC --add-config "
    "message.timestamp.type=LogAppendTime",
    TopicAuthorizationFailedError: "this user may not use a topic: give it the ACLs of docs/operations.md, The weather "
    "of Kafka",
    GroupAuthorizationFailedError: "this user may not use the group: give it the ACLs of docs/operations.md, The "
    "weather of Kafka",
    TransactionalIdAuthorizationFailed: "this user may not use the transactional id: give it the ACLs of "
    "docs/operations.md, The weather of Kafka",
    ClusterAuthorizationFailedError: "this user may use nothing here: give it the ACLs of docs/operations.md, The "
    "weather of Kafka",
}

FORBIDDEN = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,
)
"""The brokers answer, and know who asks."""

WRAPPERS = ("Unexpected error during batch delivery", "Unexpected error during data retrieval")
"""aiokafka's words for whatever went wrong in a task of its own; the cause has said what."""


def cause_of(error: BaseException) -> BaseException:
    """What went wrong, if it is told as the failure of one of aiokafka's own tasks."""
    told, depth = error, 0
    while depth < 5 and told.__cause__ is not None and any(words in str(told) for words in WRAPPERS):
        told, depth = told.__cause__, depth + 1
    return told


def words_of(error: BaseException) -> str:
    """In one line: what went wrong, and what helps, where that is known."""
    told = cause_of(error)
    words = first_line(told)
    advice = next((advice for kind, advice in ADVICE.items() if isinstance(told, kind)), "")
    if not advice and isinstance(told, KafkaError) and type(told).__name__ not in words:
        words = f"{type(told).__name__}: {words}"
    return f"{advice} ({words})" if advice else words
