"""Numbered frames in a cell: which are taken, what time they make it, and what they do to a journal's first rules."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec
import pytest
from trading_samples import NOW_MS, SOL, StoredCell, frame, open_command, place_command, quote

from exness_streams.domain import rules
from exness_streams.domain.codec import Meta, RulesChanged, decode_quote, encode, quote_key
from exness_streams.domain.events import Event, OrderExpired, OrderFilled, PositionOpened
from exness_streams.domain.frame_fold import IgnoredFrame
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.quotes import ReceivedQuote
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder
from exness_streams.domain.rejections import Rejection


@pytest.fixture(autouse=True)
def _known_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "NEWEST", 2)


def a_cell(*, by_rules: int = 2) -> StoredCell:
    cell = StoredCell()
    cell.cell.load(0, [], [(SOL, quote(100, 100, 0))], meta=Meta(0, 0, rules=by_rules))
    return cell


def staircase(
    begin: int, *ticks: tuple[int, int], epoch: int = 1, end_ms: int = 0, by_offset: bool = True, restarts: int = 0
) -> PriceFrame:
    """ticks: (price, ms of receipt), one offset each."""
    builder = FrameBuilder(begin, epoch=epoch, by_offset=by_offset, restarts=restarts)
    for offset, (price, ms) in enumerate(ticks, begin):
        builder.add(SOL, quote(price, price, offset + 1), offset=offset, received_ms=NOW_MS + ms)
    made = builder.cut(NOW_MS + end_ms, "simulated", 10**18, settings="abcd", always=True)
    assert made is not None
    return made


def raw(begin: int, *ticks: tuple[int, int], epoch: int = 1, gap_to: int = 0) -> RawFrame:
    builder = RawFrameBuilder(begin, epoch=epoch)
    builder.skip_to(gap_to)
    for offset, (price, ms) in enumerate(ticks, max(begin, gap_to)):
        builder.add(SOL, quote(price, price, offset + 1), offset=offset, received_ms=NOW_MS + ms)
    made = builder.cut(NOW_MS)
    assert made is not None
    return made


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def waiting(cell: StoredCell, expires_ms: int | None = None) -> None:
    cell.placed(place_command(price=95, expires_ms=expires_ms))


@pytest.mark.parametrize("make", ["staircase", "raw"])
@pytest.mark.parametrize(("reached_ms", "filled"), [(5_000, True), (9_999, True), (10_000, False), (10_500, False)])
def test_an_order_expires_among_the_ticks_by_their_receipt(make: str, reached_ms: int, filled: bool) -> None:
    cell = a_cell()
    waiting(cell, NOW_MS + 10_000)
    ticks = (99, 1_000), (94, reached_ms), (99, 10_800)
    record = staircase(0, *ticks, end_ms=11_000) if make == "staircase" else raw(0, *ticks)
    events = cell.fold(record).events
    assert kinds(events) == ([OrderFilled, PositionOpened] if filled else [OrderExpired])
    assert events[0].timestamp == NOW_MS + reached_ms


def test_time_goes_on_by_frames_alone_and_never_back() -> None:
    cell = a_cell()
    waiting(cell, NOW_MS + 10_000)
    late = msgspec.structs.replace(open_command(), time_ms=NOW_MS + 20_000, quote_age_ms_max=10**9)
    assert kinds(cell.fold(late).events) == [PositionOpened]  # by its own clock it is late: nothing expires
    assert cell.cell.meta.now_ms == 0
    assert not cell.fold(staircase(0, end_ms=9_999)).events
    assert cell.cell.meta.now_ms == NOW_MS + 9_999
    assert not cell.fold(staircase(0, end_ms=5)).events
    assert cell.cell.meta.now_ms == NOW_MS + 9_999
    assert kinds(cell.fold(staircase(0, end_ms=10_000)).events) == [OrderExpired]


def test_the_age_of_a_quote_counts_from_its_receipt() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 60_000), end_ms=60_005))  # its own time says NOW_MS
    assert isinstance(cell.cell.quotes[SOL], ReceivedQuote)
    cell.opened(open_command(time_ms=NOW_MS + 65_000))
    assert cell.rejected(open_command(time_ms=NOW_MS + 65_001)).details["ageMs"] == 5_001
    stored = cell.cell.pending[quote_key(SOL)]
    assert stored is not None
    assert decode_quote(stored) == cell.cell.quotes[SOL]


@pytest.mark.parametrize("by_rules", [1, 2])
@pytest.mark.parametrize("slow_ms", [0, 60_000, -1_000])
def test_prices_that_stopped_are_old_whatever_the_clock_of_who_took_the_command(by_rules: int, slow_ms: int) -> None:
    """A worker whose clock is a minute slow took prices that were dead for a minute for new ones."""
    cell = a_cell(by_rules=by_rules)
    cell.fold(staircase(0, (100, 0), by_offset=by_rules == 2))
    cell.opened(open_command(time_ms=NOW_MS))
    for second in range(1, 61):  # the framer tells the time, and no tick comes
        cell.fold(staircase(1, end_ms=second * 1_000, by_offset=by_rules == 2))
    command = open_command(time_ms=NOW_MS + 60_000 - slow_ms)
    if by_rules == 1 and slow_ms == 60_000:
        cell.opened(command)  # as ever: a journal of before is folded as it was
        return
    refused = cell.rejected(command)
    assert by_rules == 1 or refused.details["ageMs"] == 60_000 + max(0, -slow_ms)


@pytest.mark.parametrize("slow_ms", [2_001, 60_000])
def test_nor_does_a_slow_clock_fill_at_prices_that_are_new(slow_ms: int) -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 60_000), end_ms=60_005))
    refused = cell.rejected(open_command(time_ms=NOW_MS + 60_000 - slow_ms))
    assert (refused.details["reason"], refused.details["aheadMs"]) == ("ahead", slow_ms)


REASONS = {
    "old_epoch": staircase(4, (1, 1), epoch=1),
    "repeated": staircase(1, (1, 1), (1, 1), epoch=2),
    "straddle": staircase(2, (1, 1), (1, 1), (1, 1), epoch=2),
    "gap": staircase(5, (1, 1), epoch=2),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_frame_whose_ticks_are_not_the_next_ones_does_nothing(reason: str) -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 0), (100, 0), (100, 0), (99, 0), epoch=2))
    waiting(cell)
    meta, market = cell.cell.meta, dict(cell.cell.quotes)
    folded = cell.fold(REASONS[reason])
    assert folded == ([], None, None, IgnoredFrame(reason))
    assert cell.cell.quotes == market
    assert cell.cell.meta.ticks_end == meta.ticks_end == 4
    assert kinds(cell.fold(staircase(4, (94, 0), epoch=2)).events) == [OrderFilled, PositionOpened]


def test_a_frame_that_is_dropped_still_says_who_owns_the_ticks() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 0), epoch=1))
    assert cell.fold(staircase(9, (100, 0), epoch=7)).ignored is IgnoredFrame.GAP
    assert cell.fold(staircase(1, (100, 0), epoch=6)).ignored is IgnoredFrame.OLD_EPOCH
    assert cell.cell.meta.framer_epoch == 7


def test_an_owner_without_an_epoch_is_heard_until_one_comes_that_has_one() -> None:
    cell = a_cell()
    waiting(cell)
    assert cell.fold(frame(quote(99, 99, 1))).ignored is None
    assert cell.cell.quotes[SOL].bid == 99
    cell.fold(staircase(0, (98, 0)))
    assert cell.fold(frame(quote(94, 94, 9))) == ([], None, None, IgnoredFrame.OLD_EPOCH)


def test_of_a_raw_frame_the_ticks_that_were_seen_are_skipped() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 0), (94, 0), (100, 0)))
    waiting(cell)
    assert not cell.fold(raw(0, (100, 0), (94, 0), (100, 0), (96, 0), epoch=2)).events
    assert cell.cell.meta.ticks_end == 4
    assert kinds(cell.fold(raw(2, (90, 0), (90, 0), (95, 0), epoch=3)).events) == [OrderFilled, PositionOpened]


def test_trimmed_ticks_are_left_when_a_frame_says_that_they_are_gone() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 0)))
    waiting(cell)
    assert cell.fold(raw(1, (94, 0), gap_to=50)).ignored is None
    assert cell.cell.meta.ticks_end == 51


def test_in_a_topic_begun_anew_offsets_are_from_0_again() -> None:
    cell = a_cell()
    cell.fold(staircase(0, *[(100, 0)] * 50))
    waiting(cell)
    anew = staircase(0, (99, 0), (98, 0), epoch=2, restarts=1)
    assert cell.fold(anew).ignored is None
    assert cell.fold(anew).ignored is IgnoredFrame.REPEATED
    assert (cell.cell.meta.ticks_end, cell.cell.meta.ticks_restarts) == (2, 1)
    assert cell.fold(staircase(2, (94, 0), epoch=3)).ignored is IgnoredFrame.OLD_TOPIC
    assert cell.fold(staircase(2, (94, 0), epoch=3, restarts=1)).events


@pytest.mark.parametrize("by_rules", [1, 2])
def test_what_the_frame_tells_is_known(by_rules: int) -> None:
    cell = a_cell(by_rules=by_rules)
    cell.fold(staircase(0, (100, 0)))
    assert (cell.cell.source, cell.cell.settings) == ("simulated", "abcd")


@pytest.mark.parametrize("numbered", [False, True])
def test_by_the_first_rules_numbers_change_nothing(numbered: bool) -> None:
    """The same state, byte for byte, of frames with and without them; the entries say nothing of numbers either."""
    cell = a_cell(by_rules=1)
    waiting(cell, NOW_MS + 10_000)
    records = [staircase(0, (99, 1), (97, 2), (98, 3), end_ms=4, by_offset=False), staircase(3, (94, 9), end_ms=20_000)]
    told = []
    for record in records:
        plain = PriceFrame(record.time_ms, record.symbols, record.source, 10**18)
        told += cell.fold(record if numbered else plain).events
    assert kinds(told) == [OrderExpired]
    assert cell.cell.meta == Meta(0, 3, 1, 3)
    assert b"framer" not in encode(cell.cell.meta)
    assert cell.cell.pending[quote_key(SOL)] == b"[4,1790000000000,150,94,94,null]"


def test_by_the_first_rules_there_are_no_raw_frames() -> None:
    with pytest.raises(ValueError, match="rules 1 have no raw frames"):
        a_cell(by_rules=1).fold(raw(0, (1, 1)))


def test_the_rules_may_change_between_any_two_frames() -> None:
    """Wherever it happens the same orders fill: the first numbered frame is told from those before it by sequence."""
    records = [
        staircase(0, (99, 1), (97, 2), by_offset=False),
        staircase(0, (99, 1), (97, 2), by_offset=False),
        staircase(2, (96, 3), (95, 4), (97, 5), by_offset=False),
        staircase(5, (94, 6), by_offset=False),
    ]
    outcomes = []
    for change_at in range(len(records) + 1):
        cell = a_cell(by_rules=1)
        waiting(cell)
        told: list[Event] = []
        for nth, record in enumerate(records):
            if nth == change_at:
                cell.fold(RulesChanged(NOW_MS, 2))
            told += cell.fold(record).events
        outcomes.append([(type(event), getattr(event, "fill_price", None)) for event in told])
    assert outcomes == [[(OrderFilled, Decimal(95)), (PositionOpened, None)]] * len(outcomes)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [partial(staircase, by_offset=False), raw], ids=["staircases", "raw"])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_seen_by_sequence_is_not_taken_again_in_however_many_frames_it_comes(
    make: Callable[..., PriceFrame | RawFrame], size: int, is_restarted: bool
) -> None:
    """The ticks' owner of now begins as far back as the promise of the one before allows."""
    seen = [(99, 1), (94, 2), (99, 3), (98, 4)]
    cell = a_cell(by_rules=1)
    cell.fold(staircase(0, *seen, by_offset=False))
    cell.fold(RulesChanged(NOW_MS, 2))
    waiting(cell)  # at 95, which the market has touched before
    if is_restarted:
        cell.restart()
    for begin in range(0, len(seen), size):
        part = seen[begin : begin + size]
        assert kinds(cell.fold(make(begin, *part, epoch=2)).events) == []
        assert cell.cell.meta.ticks_end == begin + len(part)
    assert kinds(cell.fold(make(4, (96, 5), epoch=2)).events) == []
    assert kinds(cell.fold(make(5, (95, 6), epoch=2)).events) == [OrderFilled, PositionOpened]


@pytest.mark.parametrize("make", [partial(staircase, by_offset=False), raw], ids=["staircases", "raw"])
@pytest.mark.parametrize("told_again", [False, True])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_former_owners_last_frame_after_the_change_of_rules_is_not_heard(
    make: Callable[..., PriceFrame | RawFrame], told_again: bool, is_restarted: bool
) -> None:
    """By the first rules nobody keeps epochs: the change itself says whose frames go on."""
    cell = a_cell(by_rules=1)
    cell.fold(staircase(0, (99, 1), (97, 2), (98, 3), by_offset=False))
    if told_again:
        cell.fold(RulesChanged(NOW_MS, 2, epoch=4))
    cell.fold(RulesChanged(NOW_MS, 2, epoch=5))
    if is_restarted:
        cell.restart()
    assert cell.fold(make(0, (99, 1), epoch=4)).ignored is IgnoredFrame.OLD_EPOCH
    assert (cell.cell.meta.ticks_end, cell.cell.meta.framer_epoch) == (-1, 5)
    assert cell.fold(make(7, (96, 8), epoch=5)).ignored is None
    assert cell.cell.meta.ticks_end == 8


def test_a_restarted_cell_knows_how_far_its_market_had_come() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 1), end_ms=7, epoch=3))
    known = cell.cell.meta
    cell.commit()
    again = StoredCell()
    again.cell.load(1, [], [], meta=known)
    assert again.cell.meta == known == Meta(0, 1, rules=2, now_ms=NOW_MS + 7, framer_epoch=3, ticks_end=1)


def test_an_order_refused_for_its_market_says_so_by_receipt() -> None:
    cell = a_cell()
    cell.fold(staircase(0, (100, 60_000)))
    assert isinstance(cell.outcome(open_command(time_ms=NOW_MS)), Rejection)
