"""The ticks' partition on Kafka: its owner is killed while ticks wait, ticks are trimmed, the topic is made anew."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable, Sequence
from decimal import Decimal

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from engine_process import GIVE_UP_S, PARTITIONS, POLL_S, EngineProcess
from frame_reader import FrameReader
from kafka_harness import KafkaHarness

from exness_streams.domain.codec import decode_record
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.engine.engine import APP_ID
from exness_streams.engine.framer_state import AHEAD_TICKS_MIN
from exness_streams.messages import JOURNAL_TOPIC, MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder

SYMBOL = "SOL_USDC"
FIRST_PRICE = 10_000


class Platform:
    """Workers on topics of their own, one after the other."""

    def __init__(self, harness: KafkaHarness, prefix: str) -> None:
        self.harness, self.prefix = harness, prefix
        self.ticks_topic, self.journal = prefix + MARKET_UPDATES_TOPIC, prefix + JOURNAL_TOPIC
        self.engines: list[EngineProcess] = []
        self.published = 0

    async def __aenter__(self) -> Platform:
        return self

    async def __aexit__(self, *_: object) -> None:
        for engine in self.engines:
            engine.end()

    async def start(self) -> EngineProcess:
        directory = self.harness.directory / f"engine{len(self.engines)}"
        settings = {"EXNESS_TOPIC_PREFIX": self.prefix, "EXNESS_SESSION_TIMEOUT_S": "6"}
        settings["BACKPACK_REST_URL"] = "http://127.0.0.1:9"
        engine = EngineProcess(directory, self.harness.broker, **settings)
        self.engines.append(engine)
        await engine.wait_ready()
        return engine

    async def publish(self, count: int) -> None:
        """Ticks whose prices are FIRST_PRICE, and one more each time."""
        producer = AIOKafkaProducer(bootstrap_servers=self.harness.broker.address, linger_ms=20)
        await producer.start()
        try:
            sent = []
            for _ in range(count):
                price, now_ms = Decimal(FIRST_PRICE + self.published), int(time.time() * 1000)
                self.published += 1
                sequence = now_ms * 1000 + self.published
                tick = MarketDataMessage(SYMBOL, price, now_ms, sequence, None, price, price + 1)
                value = json_encoder.encode(tick)
                sent.append(await producer.send(self.ticks_topic, value, key=SYMBOL.encode(), partition=0))
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def until_priced(self, engine: EngineProcess) -> None:
        """Until the newest tick is in the cells."""
        newest = str(FIRST_PRICE + self.published - 1)

        def has_come() -> bool:
            try:
                with urllib.request.urlopen(f"{engine.url}/api/v1/markets", timeout=5) as answer:
                    return newest in answer.read().decode()
            except OSError:
                return False

        await until(has_come, engine.said)

    async def until_committed(self, offset: int) -> None:
        """Until it is committed that the ticks before an offset are framed."""
        give_up_at_s = time.monotonic() + GIVE_UP_S
        while (await self.harness.committed(self.prefix + APP_ID, self.ticks_topic, 0) or 0) < offset:
            assert time.monotonic() < give_up_at_s
            await asyncio.sleep(POLL_S)

    async def frames(self, partition: int) -> list[PriceFrame | RawFrame]:
        records = [decode_record(record.value) for record in await self.harness.read(self.journal, partition)]
        return [record for record in records if isinstance(record, PriceFrame | RawFrame)]

    async def check(self, numbers: Sequence[int]) -> None:
        """Every cell takes in these ticks, each once and in order."""
        for partition in range(PARTITIONS):
            reader = FrameReader()
            for frame in await self.frames(partition):
                reader.fold(frame)
            assert not reader.dropped
            assert reader.taken == [FIRST_PRICE + number for number in numbers]


async def until(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    give_up_at_s = time.monotonic() + GIVE_UP_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < give_up_at_s, explain()
        await asyncio.sleep(POLL_S)


async def test_ticks_that_waited_while_their_owner_was_dead_are_framed_once_and_in_few_frames(
    harness: KafkaHarness,
) -> None:
    async with Platform(harness, "killed-") as platform:
        first = await platform.start()
        await platform.publish(300)
        await platform.until_priced(first)
        first.end()
        await platform.publish(3_000)
        second = await platform.start()
        await platform.until_priced(second)
        await platform.publish(200)
        await platform.until_priced(second)
        await platform.check(range(3_500))
        frames = await platform.frames(0)
        epochs = sorted({frame.epoch for frame in frames})
        assert len(epochs) == 2
        waited = [frame for frame in frames if frame.epoch == epochs[1] and frame.from_offset < frame.to_offset]
        assert len(waited) < 2 * AHEAD_TICKS_MIN


async def test_ticks_that_were_trimmed_are_said_and_those_after_them_count(harness: KafkaHarness) -> None:
    async with Platform(harness, "trimmed-") as platform:
        first = await platform.start()
        await platform.publish(300)
        await platform.until_priced(first)
        first.end()
        await platform.publish(500)
        await harness.trim(platform.ticks_topic, 0, 450)
        second = await platform.start()
        await platform.until_priced(second)
        assert "were removed by age before anybody framed them: prices go on at offset 450" in second.said()
        await platform.check([*range(300), *range(450, 800)])


async def test_a_topic_that_was_made_anew_is_said_and_its_ticks_count(harness: KafkaHarness) -> None:
    async with Platform(harness, "anew-") as platform:
        first = await platform.start()
        await platform.publish(300)
        await platform.until_priced(first)
        await platform.until_committed(300)
        first.end()
        admin = AIOKafkaAdminClient(bootstrap_servers=harness.broker.address)
        await admin.start()
        try:
            await admin.delete_topics([platform.ticks_topic])
        finally:
            await admin.close()
        second = await platform.start()
        await platform.publish(50)
        await platform.until_priced(second)
        assert f"{platform.ticks_topic} was made anew or cut" in second.said()
        await platform.check(range(350))
