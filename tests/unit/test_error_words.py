"""aiokafka's errors as one line, of the cause, with what helps."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from exness_streams.transport.kafka.error_words import words_of


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
    ],
)
def test_what_helps_is_told_where_it_is_known(error: BaseException, advice: str) -> None:
    assert advice in words_of(error)
    assert "\n" not in words_of(error)
