"""What a cell's transactions make of the brokers' refusals: fenced, forgotten, or any other fault."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    KafkaError,
    NotEnoughReplicasError,
    ProducerFenced,
)

from exness_streams.transport.faults import LogFault, LogFenced
from exness_streams.transport.kafka.commits import _Transactions


class _Manager:
    """aiokafka's, after what its task of its own came to."""

    def __init__(self, error: BaseException) -> None:
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.set_exception(error)

    def is_fatal_error(self) -> bool:
        return True

    def wait_for_transaction_end(self) -> asyncio.Future[None]:
        return self._ended


class _Producer:
    def __init__(self, error: BaseException) -> None:
        self._txn_manager = _Manager(error)

    async def begin_transaction(self) -> None:
        raise KafkaError("it is too late")

    async def abort_transaction(self) -> None:
        raise KafkaError("it is too late")


def in_its_task(cause: BaseException) -> BaseException:
    """As aiokafka's sender tells whatever it does not expect."""
    error = KafkaError("Unexpected error during batch delivery")
    error.__cause__ = cause
    return error


async def refused(error: BaseException, *, is_member: bool) -> LogFault:
    producer: Any = _Producer(error)
    transactions = _Transactions(producer, TopicPartition("trading-journal", 3), "group", is_member=is_member)
    with pytest.raises(LogFault) as caught:
        await transactions([], 1)
    return caught.value


@pytest.mark.parametrize(
    ("error", "of_a_member", "of_no_member"),
    [
        (ProducerFenced(), True, True),
        (InvalidProducerEpoch(), True, True),
        (in_its_task(InvalidTxnState()), True, True),
        (in_its_task(InvalidProducerIdMapping()), True, False),  # the market data service begins again by itself
        (InvalidProducerIdMapping(), True, False),
        (in_its_task(NotEnoughReplicasError()), False, False),
        (KafkaError("Unexpected error during batch delivery"), False, False),
    ],
)
async def test_a_refusal_is_asked_of_the_group_whatever_it_is_wrapped_in(
    error: BaseException, of_a_member: bool, of_no_member: bool
) -> None:
    assert isinstance(await refused(error, is_member=True), LogFenced) is of_a_member
    assert isinstance(await refused(error, is_member=False), LogFenced) is of_no_member
