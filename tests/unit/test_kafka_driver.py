"""Faust's Kafka consumer, where it asks for what is not there at that moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from exness_streams.transport.kafka.faust_driver import Consumer

HERE = TopicPartition("orders", 0)


def consumer(subscriptions: SubscriptionState) -> Any:
    """One whose thread reads by these subscriptions."""
    parent = Consumer.__new__(Consumer)
    topics = SimpleNamespace(acks_enabled_for=lambda topic: True)
    parent.app = SimpleNamespace(
        tables=SimpleNamespace(changelog_topics=set()), monitor=SimpleNamespace(stream_inbound_time={}), topics=topics
    )
    thread = driver.AIOKafkaConsumerThread.__new__(driver.AIOKafkaConsumerThread)
    thread.consumer, thread.time_started, thread.tp_stream_timeout_secs = parent, 0.0, 1e9
    thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
    thread._verify_aiokafka_event_path = lambda now, tp: False
    parent._thread = thread
    return parent


@pytest.mark.parametrize("lacks", ["assignment", "partition", "position", "nothing"])
async def test_the_look_for_livelocks_ends_no_consumer(lacks: str) -> None:
    """A position that the log no longer reaches is found anew in the thread, and meanwhile there is none."""
    subscriptions = SubscriptionState()
    subscriptions.subscribe({"orders"})
    if lacks != "assignment":
        subscriptions.assign_from_subscribed(set() if lacks == "partition" else {HERE})
    if lacks in ("position", "nothing"):
        state = subscriptions.subscription.assignment.state_value(HERE)
        state.highwater = 5
        state.reset_to(3) if lacks == "nothing" else state.await_reset(1)
        assert state.has_valid_position == (lacks == "nothing")
    consumer(subscriptions).verify_event_path(1.0, TP("orders", 0))
