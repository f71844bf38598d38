"""aiokafka's errors as one line, of the cause, with what helps."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from exness_streams.processes.run import in_words
from exness_streams.transport.kafka.error_words import words_of
from exness_streams.transport.kafka.topics import KafkaCluster


def wrapped(cause: BaseException) -> BaseException:
    error = KafkaError("Unexpected error during batch delivery")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotLeaderForPartitionError(), "[Error 6] NotLeaderForPartitionError"),
        (wrapped(KafkaConnectionError("Connection at a:1 closed")), "KafkaConnectionError: Connection at a:1 closed"),
        (wrapped(wrapped(OSError("no route"))), "no route"),
        (ValueError("one\ntwo"), "one"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_cause_is_told_in_one_line(error: BaseException, words: str) -> None:
    assert words_of(error) == words


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (InvalidTimestampError(), "message.timestamp.type=LogAppendTime ([Error 32] InvalidTimestampError)"),
        (wrapped(TopicAuthorizationFailedError("journal")), "this user may not use a topic"),
        (TransactionalIdAuthorizationFailed(), "this user may not use the transactional id"),
        (ClusterAuthorizationFailedError(), "this user may use nothing here: give it the ACLs of docs/operations.md"),
    ],
)
def test_what_helps_is_told_where_it_is_known(error: BaseException, advice: str) -> None:
    assert advice in words_of(error)
    assert "\n" not in words_of(error)


def test_brokers_that_forbid_are_not_called_away() -> None:
    fault = KafkaCluster(("broker:9092",)).unreachable(ClusterAuthorizationFailedError())
    assert "give it the ACLs" in str(fault)
    assert "start it" not in str(fault)
    assert "broker:9092" in str(fault)


def test_what_ends_a_process_is_told_with_what_helps() -> None:
    assert "give it the ACLs" in in_words(GroupAuthorizationFailedError("exness-streams"))
    assert in_words(NotLeaderForPartitionError()) == "[Error 6] NotLeaderForPartitionError"
