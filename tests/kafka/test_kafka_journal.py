"""An engine worker whose journal is not the one that its accounts were built from."""

from __future__ import annotations

import pytest
from engine_process import PARTITIONS, EngineProcess
from kafka_harness import KafkaHarness

from exness_streams.audit.checkpoints import changelog_of
from exness_streams.domain.codec import META_KEY, Meta, encode
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog

CHANGELOG = changelog_of(APP_ID)


@pytest.mark.parametrize(
    ("next_offset", "trimmed_to", "words"),
    [
        (50, 0, "partition 1 of the journal ends at 5, but accounts were built from it up to 50"),
        (1, 3, "partition 1 of the journal begins at 3, but the next record needed is 1: 2 records are gone"),
    ],
    ids=["shorter than its state", "cut beyond its state"],
)
async def test_another_journal_is_refused(harness: KafkaHarness, next_offset: int, trimmed_to: int, words: str) -> None:
    await harness.declare(JOURNAL_TOPIC, PARTITIONS)
    await harness.produce([LogRecord(JOURNAL_TOPIC, None, b"{}", 1) for _ in range(5)])
    if trimmed_to:
        await harness.trim(JOURNAL_TOPIC, 1, trimmed_to)
    cells = KafkaCellLog(harness.cluster, JOURNAL_TOPIC, APP_ID)
    await cells.fence([1])
    meta = encode(Meta(partition=1, next_offset=next_offset))
    await harness.declare(CHANGELOG, PARTITIONS, compact=True)
    await cells.lease(1).commit([LogRecord(CHANGELOG, META_KEY, meta, 1)], next_offset)
    await cells.close()
    engine = EngineProcess(harness.directory, harness.broker)
    try:
        assert await engine.wait_ended() == 1
        last = engine.said().strip().splitlines()[-1]
        assert last.startswith(f"exness-streams: {words}"), engine.said()
        assert "Traceback" not in engine.said(), engine.said()
    finally:
        engine.end()
