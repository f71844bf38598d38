"""The price guard's references as the ticks' owner keeps them, beside the candles."""

from __future__ import annotations

from decimal import Decimal

from candle_keeper import SOL, Log, Worker
from naive_guard import Tick


def guard_entries(log: Log) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in log.changelog if (record.key or b"").startswith(b"guard/")]


async def test_a_reference_is_kept_with_the_candles_and_found_by_the_next_owner() -> None:
    log, ticks = Log(), [(n, "150") for n in range(10)]
    worker = Worker(log, ticks=ticks)
    guard = worker.host.guard
    assert guard.take(Tick(Decimal(150), Decimal(151), Decimal(150), 0), 0) is None
    assert guard.take(Tick(Decimal(65_000), Decimal(65_001), Decimal(65_000), 0, symbol="BTC_USDC"), 0) is None
    worker.read(2)
    await worker.host.flush()
    assert guard_entries(log) == [(b"guard/SOL_USDC", b"[150,150,151]")]
    taken_over = Worker(log, ticks=ticks).host.guard
    assert taken_over is not guard
    taken_over.take(Tick(Decimal(75), Decimal(76), Decimal(75), 0), 0)
    assert taken_over.suspended == {SOL: 0}


async def test_a_market_that_is_not_offered_any_more_is_guarded_as_before() -> None:
    log, ticks = Log(), [(n, "150") for n in range(10)]
    worker = Worker(log, ticks=ticks, band=Decimal("0.1"))
    worker.host.guard.take(Tick(Decimal(9), Decimal(9), Decimal(9), 0, symbol="GONE_USDC"), 0)
    worker.read(2)
    await worker.host.flush()
    again = Worker(log, ticks=ticks, band=Decimal("0.1")).host.guard
    again.take(Tick(Decimal(5), Decimal(5), Decimal(5), 0, symbol="GONE_USDC"), 0)
    assert again.suspended == {"GONE_USDC": 0}


async def test_a_market_that_moves_little_or_is_held_writes_no_reference_and_one_at_rest_no_transaction() -> None:
    log, ticks = Log(), [(n, "150") for n in range(10)]
    worker = Worker(log, ticks=ticks)
    guard = worker.host.guard
    guard.take(Tick(Decimal(150), Decimal(151), Decimal(150), 0), 0)
    worker.read(2)
    await worker.host.flush()
    commits = log.commits
    await worker.host.flush()
    assert log.commits == commits
    for bid in ("151", "149", "1500000", "1", "150"):
        guard.take(Tick(Decimal(bid), Decimal(bid) + 1, Decimal(150), 0), 0)
    worker.read(4)
    await worker.host.flush()
    assert log.commits == commits + 1
    assert len(guard_entries(log)) == 1
    guard.take(Tick(Decimal(155), Decimal(156), Decimal(155), 0), 0)
    worker.read(6)
    await worker.host.flush()
    assert guard_entries(log)[1:] == [(b"guard/SOL_USDC", b"[155,155,156]")]


def test_a_table_of_before_has_no_references() -> None:
    worker = Worker(Log())
    assert worker.host.guard.take(Tick(Decimal(1), Decimal(1), Decimal(1), 0), 0) is None
    assert worker.host.guard.suspended == {}


def test_whoever_does_not_own_the_ticks_guards_nothing() -> None:
    worker = Worker(Log())
    worker.host.drop()
    for price in (Decimal(1), Decimal(1_000)):
        assert worker.host.guard.take(Tick(price, price, price, 0), 0) is None
