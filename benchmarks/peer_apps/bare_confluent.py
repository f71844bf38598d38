"""A limit: confluent-kafka's consumer and a dictionary. Nothing is kept, nothing is committed."""

from __future__ import annotations

from bare_state import Quotes
from confluent_kafka import Consumer, TopicPartition
from progress import Arguments, Progress


def main(arguments: Arguments) -> None:
    """Run until it ends itself."""
    quotes, progress = Quotes(), Progress(arguments)
    consumer = Consumer({"bootstrap.servers": arguments.brokers, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(arguments.topic, 0, 0)])
    while True:
        first = consumer.poll(1.0)
        if first is None:
            continue
        values = [value for one in (first, *consumer.consume(999, 0)) if (value := one.value()) is not None]
        quotes.follow(values)
        progress.add(len(values))


if __name__ == "__main__":
    main(Arguments.taken())
