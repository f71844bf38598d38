"""A limit: aiokafka's consumer and a dictionary. Nothing is kept, nothing is committed."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from bare_state import Quotes
from progress import Arguments, Progress


async def main(arguments: Arguments) -> None:
    """Run until it ends itself."""
    quotes, progress = Quotes(), Progress(arguments)
    consumer = AIOKafkaConsumer(bootstrap_servers=arguments.brokers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(arguments.topic, 0)])
    while True:
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            quotes.follow(record.value for record in records)
            progress.add(len(records))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Arguments.taken()))
