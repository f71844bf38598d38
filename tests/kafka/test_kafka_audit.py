"""The audit and the checkpoints on a real Kafka: beside a running worker, and of cells made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trading_samples as samples
from checkpoint_files import DAMAGES
from engine_process import OPEN, ORDER, PARTITIONS, Client, EngineProcess, prices
from kafka_harness import KafkaHarness
from platform_process import run_cli
from ports import free_ports

from exness_streams.audit import kafka as audit_kafka
from exness_streams.audit.checkpoints import changelog_of, checkpoint_path, find_checkpoints, write_checkpoint
from exness_streams.audit.embedded import CellAudit
from exness_streams.audit.kafka import CellDiffers, audit_cluster, checkpoint_cluster
from exness_streams.audit.replay import put
from exness_streams.domain import codec
from exness_streams.domain.cell import Cell
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import JOURNAL_TOPIC
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.kafka.commits import KafkaCellLog

CHANGELOG = changelog_of(APP_ID)
FORGED = b"outcome/bob/forged"


async def audit(harness: KafkaHarness) -> list[CellAudit]:
    return await audit_cluster(harness.cluster, APP_ID, checkpoints_of(harness))


async def checkpoint(harness: KafkaHarness) -> list[int]:
    written = await checkpoint_cluster(harness.cluster, APP_ID, checkpoints_of(harness))
    return [header.offset for header in written]


def checkpoints_of(harness: KafkaHarness) -> Path:
    return harness.directory / "checkpoints"


def cli(harness: KafkaHarness, *arguments: str) -> Any:
    return run_cli(*arguments, "--kafka", "--data-dir", str(harness.directory), KAFKA_BROKERS=harness.broker.address)


async def test_the_audit_agrees_beside_a_worker_and_finds_what_was_tampered_with(harness: KafkaHarness) -> None:
    engine = EngineProcess(harness.directory / "engine", harness.broker)
    try:
        await engine.wait_ready()
        async with aiohttp.ClientSession() as session, prices(harness.broker.address):
            client = Client(engine.url, session)
            await _agrees_while_orders_flow(harness, client)
            await client.post(OPEN, ORDER, "bob")
            agreed = await asyncio.to_thread(cli, harness, "audit")
            assert agreed.returncode == 0, agreed.stderr
            assert agreed.stdout.count("compared with the changelog") == PARTITIONS
            assert "all agree, and money is conserved" in agreed.stdout
            await _finds_what_was_tampered_with(harness)
        assert await engine.terminate() == 0, engine.said()
        assert all(cell.is_clean for cell in await audit(harness))
    finally:
        engine.end()


async def _agrees_while_orders_flow(harness: KafkaHarness, client: Client) -> None:
    async def trade(account: str) -> None:
        while True:
            await client.trade(account)

    accounts = [f"a{number}" for number in range(8)]
    await asyncio.gather(*(client.trade(account) for account in accounts))
    trading = [asyncio.create_task(trade(account)) for account in accounts]
    ends: list[int] = []
    try:
        for _ in range(8):
            cells = await audit(harness)
            for cell in cells:
                assert cell.is_clean, cell.differences
            assert sum(cell.accounts for cell in cells) == len(accounts)
            ends.append(sum(cell.ended_at for cell in cells))
            for task in trading:
                assert not task.done(), task.result()
    finally:
        for task in trading:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    assert ends == sorted(set(ends)), "nothing happened between two audits"


async def _finds_what_was_tampered_with(harness: KafkaHarness) -> None:
    rows = {
        (partition, row.key): row.value
        for partition in range(PARTITIONS)
        for row in await harness.read(CHANGELOG, partition)
    }
    (partition,) = {partition for partition, key in rows if key == b"account/bob"}
    row = rows[partition, b"account/bob"]
    assert row is not None
    wrong = row.replace(b'"margin":10,', b'"margin":11,')
    assert wrong != row
    await harness.produce([LogRecord(CHANGELOG, b"account/bob", wrong, partition)])
    await harness.produce([LogRecord(CHANGELOG, FORGED, b"{}", partition)])
    found = (await audit(harness))[partition]
    assert not found.is_clean
    assert [line.split(":")[0] for line in found.differences] == ["account/bob", FORGED.decode()]
    told = await asyncio.to_thread(cli, harness, "audit")
    assert told.returncode == 1
    assert "account/bob: replay gives" in told.stdout
    assert told.stderr.strip() == "exness-streams: the journal and the tables differ"
    with pytest.raises(CellDiffers, match=f"cell {partition} gets no checkpoint"):
        await checkpoint(harness)
    await harness.produce(
        [LogRecord(CHANGELOG, b"account/bob", row, partition), LogRecord(CHANGELOG, FORGED, None, partition)]
    )
    assert (await audit(harness))[partition].is_clean


# -- one cell, made by hand


class HandMadeCell:
    """Journal records, folded and committed when the test says so."""

    def __init__(self, harness: KafkaHarness) -> None:
        self.harness = harness
        self.entries: dict[bytes, bytes] = {}
        self.cell = Cell(0, self.entries.get)
        self.log = KafkaCellLog(harness.cluster, JOURNAL_TOPIC, APP_ID)
        self.values: list[bytes] = []

    async def open(self) -> None:
        for topic in (JOURNAL_TOPIC, "unused"):
            await self.harness.declare(topic, 1)
        await self.harness.declare(CHANGELOG, 1, compact=True)
        await self.log.fence([0])
        await self.journal([samples.frame(samples.quote(149, 151))])

    async def journal(self, written: list[Any]) -> None:
        values = [codec.encode(record) for record in written]
        self.values += values
        await self.harness.produce([LogRecord(JOURNAL_TOPIC, None, value, 0) for value in values])

    async def orders(self, count: int) -> None:
        await self.journal([samples.open_command(margin=1, key=f"k{len(self.values) + n}") for n in range(count)])

    def fold(self) -> list[LogRecord]:
        """Fold all that is in the journal; what a transaction has to write."""
        for offset in range(self.cell.next_offset, len(self.values)):
            self.cell.fold(offset, codec.decode_record(self.values[offset]))
        written = [LogRecord(CHANGELOG, key, value, 0) for key, value in self.cell.pending.items()]
        for key, value in self.cell.pending.items():
            put(self.entries, key, value)
        self.cell.committed()
        return written

    async def commit(self, *, next_offset: int | None = None) -> None:
        written = self.fold()
        await self.log.lease(0).commit(written, self.cell.next_offset if next_offset is None else next_offset)


@pytest.fixture
async def cell(harness: KafkaHarness) -> AsyncIterator[HandMadeCell]:
    made = HandMadeCell(harness)
    await made.open()
    yield made
    await made.log.close()


async def audit_one(harness: KafkaHarness) -> CellAudit:
    (found,) = await audit(harness)
    return found


async def test_nothing_committed_is_nothing_found(cell: HandMadeCell) -> None:
    found = await audit_one(cell.harness)
    assert found.is_clean
    assert (found.began_at, found.ended_at, found.accounts) == (0, 0, 0)


async def test_what_is_in_the_journal_and_not_committed_does_not_count(cell: HandMadeCell) -> None:
    await cell.orders(3)
    await cell.commit()
    await cell.orders(3)
    found = await audit_one(cell.harness)
    assert found.is_clean, found.differences
    assert found.ended_at == 4


async def test_a_transaction_in_flight_is_waited_for_and_not_torn(cell: HandMadeCell) -> None:
    await cell.orders(1)
    await cell.commit()
    await cell.orders(2)
    written = cell.fold()
    producer = cell.log._fenced[0].producer
    await producer.begin_transaction()
    await producer.send_and_wait(CHANGELOG, written[0].value, key=written[0].key, partition=0)
    auditing = asyncio.ensure_future(audit_one(cell.harness))
    await asyncio.sleep(0.5)
    assert not auditing.done()
    for record in written[1:]:
        await producer.send_and_wait(CHANGELOG, record.value, key=record.key, partition=0)
    # Its offset is left behind, as it is to a reader whom the brokers tell of the changelog first.
    await producer.commit_transaction()
    await asyncio.sleep(0.5)
    assert not auditing.done(), "an offset behind the table was taken for good"
    await cell.log.lease(0).commit([], cell.cell.next_offset)
    found = await auditing
    assert found.is_clean, found.differences
    assert found.ended_at == 4


async def test_an_offset_that_stays_behind_the_table_is_found(
    cell: HandMadeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_kafka, "SETTLE_S_MAX", 0.2)
    await cell.orders(3)
    await cell.commit(next_offset=1)
    found = await audit_one(cell.harness)
    assert not found.is_clean
    assert found.differences == ["the table is that of journal record 4, but the group's offset stays before it"]


async def test_a_table_of_older_records_than_the_offset_is_found(cell: HandMadeCell) -> None:
    await cell.orders(2)
    await cell.commit()
    await cell.orders(1)
    await cell.log.lease(0).commit([], 4)
    found = await audit_one(cell.harness)
    assert not found.is_clean
    assert {line.split("/")[0] for line in found.differences} == {"account", "outcome", "slot"}


async def test_a_journal_that_ends_before_the_offset_is_told(cell: HandMadeCell) -> None:
    await cell.commit(next_offset=50)
    with pytest.raises(ValueError, match="the journal ends at 1, but was folded up to 50"):
        await audit(cell.harness)


async def test_a_trimmed_journal_is_audited_from_a_checkpoint(cell: HandMadeCell) -> None:
    for expected in (4, 7):
        await cell.orders(3)
        await cell.commit()
        assert await checkpoint(cell.harness) == [expected]
    assert (await audit_one(cell.harness)).began_at == 0, "the whole journal is there"
    await cell.orders(3)
    await cell.commit()
    await cell.harness.trim(JOURNAL_TOPIC, 0, 5)
    found = await audit_one(cell.harness)
    assert found.is_clean, found.differences
    assert (found.began_at, found.ended_at) == (7, 10)
    assert await checkpoint(cell.harness) == [10]
    kept = find_checkpoints(checkpoints_of(cell.harness), 0)
    assert [offset for offset, _ in kept] == [7, 10]
    for _, path in kept:
        path.unlink()
    with pytest.raises(ValueError, match="begins at record 5 and no checkpoint stands between it and 10"):
        await audit(cell.harness)
    for name in ("audit", "checkpoint"):
        told = await asyncio.to_thread(cli, cell.harness, name)
        assert told.returncode == 1
        assert "no checkpoint stands between" in told.stderr
        assert len(told.stderr.strip().splitlines()) == 1, told.stderr


async def test_every_whole_checkpoint_serves_on_kafka_too(cell: HandMadeCell) -> None:
    directory = checkpoints_of(cell.harness)
    for expected in (4, 7, 10):
        await cell.orders(3)
        await cell.commit()
        assert await checkpoint(cell.harness) == [expected]
    await cell.orders(1)
    await cell.commit()
    await cell.harness.trim(JOURNAL_TOPIC, 0, 5)
    content = {path: path.read_bytes() for _, path in find_checkpoints(directory, 0)}
    for damaged, began_at, newest in (((7,), 10, 10), ((10,), 7, 7)):
        for offset in damaged:
            DAMAGES["half"](checkpoint_path(directory, 0, offset))
        told: list[str] = []
        (found,) = await audit_cluster(cell.harness.cluster, APP_ID, directory, tell=told.append)
        assert found.is_clean, found.differences
        assert found.began_at == began_at
        assert len(told) == (began_at == 10)
        told.clear()
        (written,) = await checkpoint_cluster(cell.harness.cluster, APP_ID, directory, tell=told.append)
        assert written.offset == 11
        assert len(told) == (newest == 7)
        assert checkpoint_path(directory, 0, newest).exists()
        checkpoint_path(directory, 0, 11).unlink()
        for path, whole in content.items():
            path.write_bytes(whole)
    write_checkpoint(directory, 0, 7, {}, "0" * 64)  # of another journal: its last record is another
    DAMAGES["empty"](checkpoint_path(directory, 0, 10))
    told.clear()
    for name in ("audit", "checkpoint"):
        ended = await asyncio.to_thread(cli, cell.harness, name)
        assert ended.returncode == 1
        (line,) = ended.stderr.strip().splitlines()
        assert "0-10.jsonl.gz is damaged" in line
        assert "0-7.jsonl.gz is of another journal" in line
        assert "so there is nothing to replay from: put a whole file" in line


async def test_a_whole_journal_needs_no_checkpoint_to_make_another(cell: HandMadeCell) -> None:
    await cell.orders(3)
    await cell.commit()
    assert await checkpoint(cell.harness) == [4]
    DAMAGES["empty"](checkpoint_path(checkpoints_of(cell.harness), 0, 4))
    ended = await asyncio.to_thread(cli, cell.harness, "checkpoint")
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    assert "0-4.jsonl.gz is damaged" in line
    assert (await audit_one(cell.harness)).is_clean


async def test_the_command_writes_checkpoints(cell: HandMadeCell) -> None:
    await cell.orders(2)
    await cell.commit()
    told = await asyncio.to_thread(cli, cell.harness, "checkpoint")
    assert told.returncode == 0, told.stderr
    assert "at journal record 3, state hash" in told.stdout
    assert [offset for offset, _ in find_checkpoints(checkpoints_of(cell.harness), 0)] == [3]


# -- what can't be read


async def test_a_cluster_without_a_journal_is_told(harness: KafkaHarness) -> None:
    with pytest.raises(LogFault, match=f"there is no topic {JOURNAL_TOPIC} at {harness.broker.address}"):
        await audit(harness)
    assert JOURNAL_TOPIC not in await harness.admin.list_topics()


@pytest.mark.parametrize("name", ["audit", "checkpoint"])
def test_brokers_that_are_away_are_told_in_one_line(name: str) -> None:
    (port,) = free_ports(1)
    told = run_cli(name, "--kafka", KAFKA_BROKERS=f"127.0.0.1:{port}")
    assert told.returncode == 1
    (line,) = told.stderr.strip().splitlines()
    assert line.startswith(f"exness-streams: no Kafka broker can be used at 127.0.0.1:{port}")
