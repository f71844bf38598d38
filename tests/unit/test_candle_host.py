"""Candles kept over crashes and handovers, told by the exchange, grown old, and read in any interval."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from candle_keeper import NOW_S, SOL, Clock, Log, Worker, bar, prices_of

from exness_streams.domain import candles, codec
from exness_streams.domain.candle_spans import Asked
from exness_streams.domain.candles import DAY_S, HOUR_S, INTERVALS_S, Candle, aggregate, next_start, start_of
from exness_streams.engine.candle_reader import LIMIT_MAX, CandleReader
from exness_streams.engine.framer_state import FramerState
from exness_streams.engine.history import NotOwned
from exness_streams.transport.faults import CellReleased, LogFault, LogFenced


def candle(at_s: int, prices: str, volume: int | None = None) -> Candle:
    first, high, low, last = map(Decimal, prices.split())
    return Candle(NOW_S + at_s, first, high, low, last, None if volume is None else Decimal(volume))


TICKS = [(0, "10"), (5, "12"), (58, "9"), (61, "11"), (70, "13"), (130, "8")]


@pytest.mark.parametrize("crash_after", range(1, len(TICKS) + 1))
@pytest.mark.parametrize("ahead", [0, 1, 2])
async def test_a_crash_at_any_tick_leaves_the_candles_as_they_would_be(crash_after: int, ahead: int) -> None:
    log = Log()
    first = Worker(log, ticks=TICKS)
    first.read(crash_after)
    for offset in range(crash_after, min(len(TICKS), crash_after + ahead)):  # taken, and not framed when it ends
        time_s, price = TICKS[offset]
        first.host.fold.add(SOL, offset + 1, (NOW_S + time_s) * 1000, Decimal(price))
    await first.host.flush()
    second = Worker(log, ticks=TICKS)
    second.read(len(TICKS))
    expected = [candle(0, "10 12 9 9"), candle(60, "11 13 11 13"), candle(120, "8 8 8 8")]
    assert await second.shown() == expected
    await second.host.flush()
    assert await second.shown() == expected
    assert await Worker(log).shown() == expected
    assert log.next_offset == len(TICKS)


async def test_a_second_of_ticks_is_one_transaction_and_nothing_new_is_none() -> None:
    log = Log()
    worker = Worker(log, ticks=[(0, str(10 + n)) for n in range(50)])
    for end in range(1, 51):
        worker.read(end)
    await worker.host.flush()
    await worker.host.flush()
    assert (log.commits, [record.key for record in log.changelog], log.next_offset) == (
        1,
        [b"live/SOL_USDC", b"meta", b"framer/state"],
        50,
    )


@pytest.mark.parametrize("fault", [CellReleased("gone"), LogFenced("gone", written=None)])
async def test_a_worker_that_lost_the_partition_gives_up_in_silence(fault: LogFault) -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(3)
    log.fails = fault
    flushing = asyncio.ensure_future(worker.host.flush())
    await asyncio.sleep(0)
    worker.host.drop()
    await flushing
    assert not worker.host.is_owned
    worker.host.fold.add(SOL, 99, NOW_S * 1000, Decimal(1))
    with pytest.raises(NotOwned):
        await worker.shown()


async def test_closing_lets_the_transaction_under_way_finish_and_nothing_is_written_after_it() -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(3)
    flushing = asyncio.ensure_future(worker.host.flush())
    await asyncio.sleep(0)
    assert not flushing.done()
    await worker.host.close()
    assert flushing.done()
    assert (log.commits, worker.host.is_owned) == (1, False)
    assert candles.live_key(SOL) in worker.table.entries


async def test_a_log_that_fails_is_told() -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(3)
    log.fails = LogFault("the disk is full")
    with pytest.raises(LogFault, match="disk is full"):
        await worker.host.flush()


async def test_what_an_earlier_ownership_still_frames_is_no_progress_of_this_one() -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    old = worker.host.fold
    worker.host.drop()
    worker.log.fence_now(0)
    worker.host.load(0, ticks_start=0, ticks_end=10_000)
    old.add(SOL, 3, NOW_S * 1000, Decimal(1))
    worker.host.framed(old, 3, FramerState(1, 3, 3))
    await worker.host.flush()
    assert log.next_offset is None
    assert worker.host.fold.live(SOL) is None


async def test_history_fills_what_was_not_observed_and_tells_the_volume_of_what_was() -> None:
    log, clock = Log(), Clock()
    clock.now_s += 180
    # From 20 s on, so the first minute is not whole; the second is; the third still grows.
    ticks = [(20 + n * 8, "10") for n in range(14)]
    worker = Worker(log, clock, ticks)
    worker.read(len(ticks))
    await worker.host.flush()
    await worker.tell("1m", (0, "7", 100), (60, "20", 200), (120, "30", 300))
    expected = [candle(0, "7 10 7 7", 100), candle(60, "10 10 10 10", 200), candle(120, "30 30 10 30", 300)]
    assert await worker.shown() == expected
    # The other way round: history first, then the same ticks, read late.
    other = Worker(Log(), clock, ticks)
    await other.tell("1m", (0, "7", 100), (60, "20", 200), (120, "30", 300))
    other.read(len(ticks))
    assert await other.shown() == expected
    await other.host.flush()
    assert await other.shown() == expected


async def test_history_is_taken_only_where_it_is_wanted_and_what_was_asked_is_remembered() -> None:
    log = Log()
    worker = Worker(log)
    from_s, to_s = worker.host.wanted_time(SOL, "1m")
    assert (from_s, to_s) == (NOW_S - 7 * DAY_S, NOW_S)
    await worker.tell("1m", (-7 * DAY_S - 60, "5", 1), (-60, "6", 1), (0, "7", 1))
    assert await worker.shown() == [candle(-60, "6 6 6 6", 1)]
    assert Worker(log).host.asked(SOL, "1m") == Asked(NOW_S - 60, NOW_S)
    assert Worker(log).host.asked(SOL, "1h") is None
    worker = Worker(log)
    await worker.host.take_told(SOL, "1m", [], Asked(NOW_S - 120, NOW_S - 60))
    assert worker.host.asked(SOL, "1m") == Asked(NOW_S - 120, NOW_S)


async def test_a_first_minute_of_today_leaves_the_week_before_wanted() -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(len(TICKS))
    await worker.host.flush()
    assert Worker(log).host.wanted_time(SOL, "1m") == (NOW_S - 7 * DAY_S, NOW_S)
    year = NOW_S - 365 * DAY_S
    assert Worker(log).host.wanted_time(SOL, "1h") == (year, year), "the minutes of now come first"


@pytest.mark.parametrize(
    ("asked", "hours_to_s"),
    [
        (Asked(NOW_S - 1_000 * 60, NOW_S), NOW_S - 16 * HOUR_S),  # the hour that the page begins in, too
        (Asked(NOW_S - 600, NOW_S), NOW_S),
        (Asked(NOW_S - 7 * DAY_S, NOW_S), NOW_S - 7 * DAY_S),
        (Asked(NOW_S - 9 * DAY_S, NOW_S), NOW_S - 7 * DAY_S),
        (Asked(NOW_S - HOUR_S, NOW_S, ((NOW_S - 7 * DAY_S, NOW_S - DAY_S),)), NOW_S - HOUR_S),
    ],
)
async def test_hours_are_wanted_up_to_the_minutes_that_are_there(asked: Asked, hours_to_s: int) -> None:
    worker = Worker(Log())
    await worker.host.take_told(SOL, "1m", [], asked)
    assert worker.host.wanted_time(SOL, "1h") == (NOW_S - 365 * DAY_S, hours_to_s)


async def test_long_histories_are_written_in_parts() -> None:
    log = Log()
    worker = Worker(log)
    await worker.tell("1m", *((-60 * n, "5", 1) for n in range(1, 1_201)))
    assert log.commits == 3
    assert len(await worker.shown()) == LIMIT_MAX


async def test_old_minutes_become_hours_and_old_hours_go() -> None:
    log, clock = Log(), Clock()
    worker = Worker(log, clock)
    await worker.tell("1m", *((60 * n - 2 * HOUR_S, str(10 + n), 1) for n in range(120)))
    await worker.tell("1h", (-300 * DAY_S, "3", 50), (-8 * DAY_S, "4", 60))
    hours = await worker.shown("1h")
    assert hours[-2:] == [candle(-2 * HOUR_S, "10 69 10 69", 60), candle(-HOUR_S, "70 129 70 129", 60)]
    clock.now_s += 7 * DAY_S - HOUR_S
    await worker.host.sweep()
    assert await worker.shown("1h") == hours
    assert len(await worker.shown("1m")) == 60
    clock.now_s += 80 * DAY_S
    await worker.host.sweep()
    assert await worker.shown("1h") == hours[1:]
    assert await worker.shown("1m") == []
    assert await Worker(log, clock).shown("1h") == hours[1:]
    names = {key.split(b"/")[0] for key in worker.table.entries}
    assert names == {b"hour", b"asked", b"meta"}


async def test_what_the_exchange_told_of_an_hour_outlives_its_minutes() -> None:
    clock = Clock()
    worker = Worker(Log(), clock)
    await worker.tell("1m", (-HOUR_S, "5", 1))
    worker.table.entries[candles.hour_key(SOL, NOW_S - HOUR_S)] = candles.encode(candles.Bucket(None, bar("9", 99)))
    clock.now_s += 8 * DAY_S
    await worker.host.sweep()
    assert await worker.shown("1h") == [candle(-HOUR_S, "9 9 9 9", 99)]


@pytest.mark.parametrize("interval", INTERVALS_S)
async def test_every_interval_is_the_aggregate_of_the_minutes(interval: str) -> None:
    log, clock = Log(), Clock()
    ticks = [(n * 7, str(100 + n * 37 % 50)) for n in range(40)]
    worker = Worker(log, clock, ticks)
    await worker.tell("1m", *((-60 * n, str(n % 7 + 1), n) for n in range(1, 9_000) if n % 11))
    for end in (10, 11, 25, 40):
        worker.read(end)
        minutes = await worker.shown("1m", 1)
        found = await worker.shown(interval)
        assert found[-1].last == minutes[-1].last == Decimal(ticks[end - 1][1])
        assert await worker.shown(interval, 3) == found[-3:]
        await worker.host.flush()
        assert await worker.shown(interval) == found
    rows = worker.table.range(0, candles.minute_key(SOL, 0), candles.minute_key(SOL, 9_999_999_999))
    stored = [candles.shown(candles.time_of(key), candles.decode_bucket(value)) for key, value in rows]
    live = worker.host.fold.live(SOL)
    assert live is not None
    growing = candles.shown(live.time_s, candles.Bucket(live.observed))
    expected = aggregate([one for one in (*stored, growing) if one is not None], INTERVALS_S[interval])
    assert found == prices_of(expected[-LIMIT_MAX:])


async def test_gaps_stay_gaps_and_the_newest_before_them_are_found() -> None:
    worker = Worker(Log())
    await worker.tell("1m", (-5 * DAY_S, "5", 1), (-60, "6", 1))
    assert await worker.shown("1m", 2) == [candle(-5 * DAY_S, "5 5 5 5", 1), candle(-60, "6 6 6 6", 1)]


async def test_a_chart_that_asks_again_reads_nothing_until_a_minute_is_stored() -> None:
    worker = Worker(Log(), ticks=TICKS)
    await worker.tell("1m", *((-60 * n, "5", 1) for n in range(1, 500)))
    worker.read(1)
    reads: list[bytes] = []
    table_range = worker.table.range

    def counted(partition: int, first: bytes, end: bytes) -> Any:
        found = list(table_range(partition, first, end))
        reads.extend(key for key, _ in found)
        return iter(found)

    worker.table.range = counted
    before = await worker.shown()
    assert len(reads) == 499
    worker.read(3)
    after = await worker.shown()
    assert len(reads) == 499
    assert before[:-1] == after[:-1]
    assert [before[-1].last, after[-1].last] == [10, 9]
    worker.read(4)
    assert [one.last for one in (await worker.shown())[-2:]] == [9, 11]
    await worker.host.flush()
    assert [one.last for one in (await worker.shown())[-2:]] == [9, 11]
    assert len(reads) == 499 + 500


async def test_a_read_under_way_ends_with_the_ownership() -> None:
    worker = Worker(Log())
    await worker.tell("1m", *((-60 * n, "5", 1) for n in range(1, 1_000)))
    reading = asyncio.ensure_future(worker.shown("1h"))
    await asyncio.sleep(0)
    worker.host.drop()
    worker.log.fence_now(0)
    worker.host.load(0, ticks_start=0, ticks_end=10_000)

    def gone(*_: Any) -> Any:
        raise AssertionError("the table may be another worker's")

    worker.table.range = gone
    with pytest.raises(NotOwned):
        await reading


async def test_candles_that_are_lost_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(3)
    await worker.host.flush()
    assert Worker(log).host.is_owned
    assert not caplog.records
    log.changelog.clear()  # the topic was deleted, and made anew
    again = Worker(log, ticks=TICKS)
    (said,) = caplog.records
    assert "candles-changelog holds nothing, but 3 records were taken into it: candles are missing" in said.message
    again.read(len(TICKS))
    await again.host.flush()
    Worker(log)
    assert len(caplog.records) == 1


async def test_candles_whose_changelog_lost_its_end_are_said_to_lack_some(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(1)
    await worker.host.flush()
    kept = list(log.changelog)
    worker.read(3)
    await worker.host.flush()
    log.changelog = kept
    Worker(log)
    (said,) = caplog.records
    assert "ends with what came of record 0, but 3 records were taken into it" in said.message


async def test_a_new_log_has_lost_no_candles(caplog: pytest.LogCaptureFixture) -> None:
    Worker(Log())
    assert not caplog.records


async def test_a_minute_that_is_told_while_its_hour_is_swept_is_in_the_hour() -> None:
    clock = Clock()
    worker = Worker(Log(), clock, TICKS)
    worker.read(len(TICKS))
    await worker.host.flush()
    clock.now_s += 8 * DAY_S
    await asyncio.gather(worker.tell("1m", (180, "20", 5)), worker.host.sweep())
    assert not any(key.startswith(b"minute/") for key in worker.table.entries)
    [hour] = [candles.decode_bucket(value) for key, value in worker.table.entries.items() if key.startswith(b"hour/")]
    assert hour.told is not None
    assert hour.told.high == 20


async def test_candles_that_0_1_0_kept_of_the_future_are_gone_after_the_start() -> None:
    log = Log()
    old = Worker(log, ticks=[(0, "10"), (70, "11"), (30 * DAY_S, "99"), (31 * DAY_S, "98"), (32 * DAY_S, "97")])
    old.read(5)
    await old.host.flush()
    worker = Worker(log)
    assert worker.host.fold.live(SOL) is None
    await worker.host.sweep()
    assert await worker.shown() == [candle(0, "10 10 10 10"), candle(60, "11 11 11 11")]
    worker.host.fold.add(SOL, 6, (NOW_S + 130) * 1000, Decimal(12))
    await worker.host.flush()
    assert (await Worker(log).shown())[-1] == candle(120, "12 12 12 12")


async def test_what_was_asked_for_under_a_clock_that_ran_ahead_is_asked_for_again() -> None:
    worker = Worker(Log())
    await worker.host.take_told(SOL, "1m", [], Asked(NOW_S - 600, NOW_S + DAY_S))
    assert worker.host.asked(SOL, "1m") == Asked(NOW_S - 600, NOW_S)
    worker.clock.now_s -= 3_600
    assert worker.host.asked(SOL, "1m") is None


async def before(worker: Worker, interval: str, time_s: int, limit: int) -> list[Candle]:
    return await worker.reader.before(SOL, interval, time_s, limit)


@pytest.mark.parametrize("limit", [1, 7, 400, LIMIT_MAX])
@pytest.mark.parametrize("interval", INTERVALS_S)
async def test_pages_backwards_are_together_all_that_there_is(interval: str, limit: int) -> None:
    """Whatever the page: minutes that still grow, that are stored, and hours that minutes have become."""
    worker = Worker(Log(), ticks=[(n * 7, str(100 + n)) for n in range(40)])
    await worker.tell("1m", *((-60 * n, str(n % 7 + 1), n) for n in range(1, 2_500) if n % 11))
    worker.read(30)
    await worker.host.flush()
    worker.read(40)
    end_s, pages = NOW_S + 10 * DAY_S, list[Candle]()
    while page := await before(worker, interval, end_s, limit):
        assert len(page) <= limit
        pages, end_s = [*page, *pages], page[0].time_s
        if limit == 1 and len(pages) > 30:
            break
    minutes = [one for one in await everything(worker) if start_of(one.time_s, INTERVALS_S[interval]) >= end_s]
    assert prices_of(pages) == prices_of(aggregate(minutes, INTERVALS_S[interval]))


async def everything(worker: Worker) -> list[Candle]:
    """All minutes, stored or growing."""
    rows = worker.table.range(0, candles.minute_key(SOL, 0), candles.minute_key(SOL, 9_999_999_999))
    buckets = {candles.time_of(key): candles.decode_bucket(value) for key, value in rows}
    growing = {time_s: seen for (_, time_s), seen in worker.host.fold.closed.items()}
    live = worker.host.fold.live(SOL)
    if live is not None:
        growing[live.time_s] = live.observed
    for time_s, seen in growing.items():
        buckets[time_s] = candles.Bucket(seen, buckets.get(time_s, candles.Bucket()).told)
    found = [candles.shown(time_s, buckets[time_s]) for time_s in sorted(buckets)]
    return [one for one in found if one is not None]


async def test_a_time_within_a_candle_belongs_to_the_next_page_not_to_half_a_candle() -> None:
    worker = Worker(Log())
    await worker.tell("1m", *((-60 * n, str(n), 1) for n in range(1, 3_000)))
    whole = await before(worker, "1h", NOW_S - 2_000 * 60 + 1, 1)
    assert prices_of(whole) == [
        one for one in await worker.shown("1h") if one.time_s == start_of(NOW_S - 2_000 * 60, HOUR_S)
    ]


@pytest.mark.parametrize("interval", ["4h", "1d", "1w"])
async def test_a_candle_whose_beginning_is_kept_no_longer_is_none(interval: str) -> None:
    clock = Clock()
    clock.now_s += 5 * HOUR_S
    worker = Worker(Log(), clock)
    await worker.tell("1h", *((HOUR_S * n - 365 * DAY_S, "5", 1) for n in range(5, 1_000)))
    first = (await worker.shown(interval))[0]
    length_s = INTERVALS_S[interval]
    assert first.time_s == next_start(NOW_S + 5 * HOUR_S - 365 * DAY_S, length_s)
    assert first.volume == length_s // HOUR_S


async def complete(worker: Worker, interval: str) -> dict[int, bool]:
    """Whether each candle is complete, by its beginning in seconds from NOW_S."""
    found, told = await worker.reader.newest(SOL, interval, LIMIT_MAX), worker.reader.told(SOL)
    return {one.time_s - NOW_S: told.completes(one, INTERVALS_S[interval]) for one in found}


async def test_a_minute_is_complete_when_it_is_over_and_was_watched_or_told() -> None:
    every_5_s = [(at_s, "10") for at_s in range(0, 175, 5)]
    clock = Clock()
    clock.now_s += 300
    worker = Worker(Log(), clock, ticks=every_5_s)
    worker.read(len(every_5_s))
    for _ in range(2):
        assert await complete(worker, "1m") == {0: True, 60: True, 120: False}  # the last may still grow
        await worker.host.flush()
    assert await complete(worker, "5m") == {0: False}
    await worker.host.take_told(SOL, "1m", [(NOW_S + 120, bar("10", 1))], Asked(NOW_S, NOW_S + 180))
    assert await complete(worker, "1m") == {0: True, 60: True, 120: True}
    assert await complete(worker, "5m") == {0: False}, "nobody has told of its last two minutes"
    await worker.host.take_told(SOL, "1m", [], Asked(NOW_S + 180, NOW_S + 300))
    assert await complete(worker, "5m") == {0: True}, "nothing was traded in them"


async def test_an_hour_made_of_minutes_remembers_whether_they_were_all_known() -> None:
    log, clock = Log(), Clock()
    ticks = [(at_s, "10") for at_s in (*range(0, HOUR_S, 5), *range(HOUR_S, 2 * HOUR_S - 600, 5), 2 * HOUR_S + 5)]
    clock.now_s += 2 * HOUR_S + 60
    worker = Worker(log, clock, ticks=ticks)
    worker.read(len(ticks))
    await worker.host.flush()
    before = await complete(worker, "1h")
    assert before == {0: True, HOUR_S: False, 2 * HOUR_S: False}
    clock.now_s += 8 * DAY_S
    await worker.host.sweep()
    assert {at_s: before[at_s] for at_s in (0, HOUR_S)}.items() <= (await complete(worker, "1h")).items()


@pytest.mark.parametrize("offset", [None, 0, 2])
@pytest.mark.parametrize(
    ("start", "end", "mended"), [(0, 4, True), (4, 9, True), (5, 9, False), (0, 3, False)]
)  # fmt: skip
async def test_an_offset_that_expired_or_was_reset_is_that_of_the_table(
    offset: int | None, start: int, end: int, mended: bool
) -> None:
    """Unless the ticks are of another topic, or those that come next are gone: these are read from their beginning."""
    log = Log()
    worker = Worker(log, ticks=TICKS)
    worker.read(4)
    await worker.host.flush()
    assert log.next_offset == 4
    log.next_offset = offset
    later = Worker(log)
    await later.host.mend_offset(0, ticks_start=start, ticks_end=end)
    assert log.next_offset == (4 if mended else offset)
    if mended:
        assert log.changelog[-1].key == codec.META_KEY


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d"])
async def test_what_was_read_is_kept_also_where_no_minute_grows_and_the_next_tick_is_seen(interval: str) -> None:
    """As of a market that has been silent since the start."""
    log, clock = Log(), Clock()
    clock.now_s += 3_600
    worker = Worker(log, clock, [(3_000, "7")])
    await worker.tell("1m", *((60 * n, str(n + 1), 1) for n in range(40)))
    first = await worker.shown(interval)
    read = []
    found = worker.table.range

    def counted(partition: int, begin: bytes, end: bytes) -> Any:
        rows = list(found(partition, begin, end))
        read.extend(rows)
        return iter(rows)

    worker.table.range = counted
    assert await worker.shown(interval) == first
    assert len(read) <= (1 if interval in ("1m", "5m") else 40)
    worker.read(1)
    newest = (await worker.shown(interval))[-1]
    assert newest.last == 7
    assert await CandleReader(worker.host).newest(SOL, interval, LIMIT_MAX) == await worker.reader.newest(
        SOL, interval, LIMIT_MAX
    )
