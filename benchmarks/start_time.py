"""Time from the start of the process to /readyz 200: on nothing, and on 100 000 accounts.

The accounts are made as the platform makes them, by folding one OpenPosition each, and written to the log;
the first start on them builds the RocksDB tables anew, as after their loss.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from statistics import median

from figures import Figure, report, shown
from running_platform import RunningPlatform

from exness_streams.audit.checkpoints import changelog_of
from exness_streams.domain import codec
from exness_streams.domain.cell import Cell
from exness_streams.domain.commands import Command, OpenPosition
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.quotes import Quote
from exness_streams.engine.engine import APP_ID
from exness_streams.messages import EVENTS_TOPIC, JOURNAL_TOPIC
from exness_streams.settings.platform import Settings, load_settings
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.interfaces import LogRecord

ACCOUNTS = 100_000
RECORDS_A_COMMIT = 2_000
STARTS = 3


async def write_accounts(settings: Settings) -> None:
    """A log as it is after ACCOUNTS clients have opened one position each."""
    log, changelog = EmbeddedLog.open(settings.log_dir), changelog_of(APP_ID)
    entries: dict[bytes, bytes] = {}
    cell = Cell(0, entries.get)
    journal = _journal(settings)
    try:
        for topic in (JOURNAL_TOPIC, EVENTS_TOPIC, changelog):
            log.declare(topic, settings.partitions, compact=topic == changelog)
        for first in range(0, len(journal), RECORDS_A_COMMIT):
            written = []
            for record in journal[first : first + RECORDS_A_COMMIT]:
                folded = cell.fold(cell.next_offset, record)
                written.append(LogRecord(JOURNAL_TOPIC, None, codec.encode(record), 0))
                written += [LogRecord(EVENTS_TOPIC, e.account_id.encode(), codec.encode(e), 0) for e in folded.events]
            written += [LogRecord(changelog, key, value, 0) for key, value in cell.pending.items()]
            await log.transact(APP_ID, written, {(JOURNAL_TOPIC, 0): cell.next_offset})
            entries.update({key: value for key, value in cell.pending.items() if value is not None})
            cell.committed()
    finally:
        log.close()
    assert len(cell.triggers) == ACCOUNTS, "an order was refused"


def _journal(settings: Settings) -> list[Command | PriceFrame]:
    builder, now_ms = FrameBuilder(), int(time.time() * 1000)
    terms = next(iter(settings.catalogue()))
    quote = Quote(now_ms * 1000, now_ms, Decimal(150), Decimal("149.99"), Decimal("150.01"))
    builder.add(terms.symbol, quote)
    frame = builder.cut(now_ms)
    assert frame is not None, "the first quote makes a frame"
    orders = [
        OpenPosition(
            command_id=f"{number:032x}",
            account_id=f"account-{number}",
            time_ms=now_ms,
            starting_balance=settings.starting_balance,
            quote_age_ms_max=settings.max_quote_age_ms,
            asset="SOL",
            terms=terms,
            side="short" if number % 2 else "long",
            margin=Decimal(100),
            leverage=Decimal(2),  # far from its liquidation, whatever the simulated prices do
        )
        for number in range(ACCOUNTS)
    ]
    return [frame, *orders]


def _start_s(data_dir: Path, account_id: str | None = None) -> float:
    """Seconds to ready; the account, when one is named, must be there with its position."""
    with RunningPlatform(data_dir) as platform:
        if account_id is not None and b'"positionId"' not in platform.get("/api/v1/state", account_id):
            raise RuntimeError(f"{account_id} is ready without its position")
        return platform.start_s


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    empty, clean, rebuilt = [], [], []
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        settings = load_settings(data_dir=directory / "many")
        asyncio.run(write_accounts(settings))
        last = f"account-{ACCOUNTS - 1}"
        for number in range(STARTS):
            empty.append(_start_s(directory / f"empty-{number}"))
            shutil.rmtree(settings.tables_dir, ignore_errors=True)
            rebuilt.append(_start_s(settings.data_dir, last))
            clean.append(_start_s(settings.data_dir, last))
    return [
        Figure("start to ready, empty directory", median(empty), "s", at_most=2),
        Figure(f"start to ready, {shown(ACCOUNTS)} accounts, after a clean stop", median(clean), "s", at_most=5),
        Figure(f"start to ready, {shown(ACCOUNTS)} accounts, tables removed", median(rebuilt), "s"),
    ]


if __name__ == "__main__":
    report(measure())
