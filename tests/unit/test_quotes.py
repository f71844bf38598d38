from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exness_streams.market_data.backpack import BookTicker, StreamMessage, Ticker, Trade
from exness_streams.market_data.quotes import QuoteMerger
from exness_streams.messages import MarketDataMessage

T0 = 1_790_134_357_267_074


def ticker(last: str = "150", after_us: int = 0, *, symbol: str = "SOL_USDC", volume: str | None = "10") -> Ticker:
    return Ticker(symbol, Decimal(last), T0 + after_us, volume=Decimal(volume) if volume else None)


def book(
    bid: str | None,
    ask: str | None,
    after_us: int = 0,
    update_id: int | None = None,
    symbol: str = "SOL_USDC",
) -> BookTicker:
    return BookTicker(symbol, Decimal(bid) if bid else None, Decimal(ask) if ask else None, T0 + after_us, update_id)


def last_of(merger: QuoteMerger, *messages: StreamMessage) -> MarketDataMessage | None:
    """What the last of the messages published."""
    return [merger.merge(message) for message in messages][-1]


def test_the_ticker_gives_price_and_volume_and_the_book_bid_and_ask() -> None:
    expected = MarketDataMessage(
        symbol="SOL_USDC",
        price=Decimal("150"),
        timestamp=(T0 + 7) // 1000,
        sequence=T0 + 7,
        volume=Decimal("10"),
        bid=Decimal("149.9"),
        ask=Decimal("150.1"),
    )
    assert last_of(QuoteMerger(), ticker(), book("149.9", "150.1", 7)) == expected
    assert last_of(QuoteMerger(), book("149.9", "150.1"), ticker(after_us=7)) == expected


def test_nothing_is_published_without_a_price() -> None:
    merger = QuoteMerger()
    assert merger.merge(book("149.9", "150.1")) is None
    assert merger.late == 0


def test_other_streams_publish_nothing() -> None:
    merger = QuoteMerger()
    merger.merge(ticker())
    assert merger.merge(Trade("SOL_USDC", Decimal("1"), T0 + 1)) is None


def test_symbols_do_not_mix() -> None:
    merger = QuoteMerger()
    merger.merge(ticker("150"))
    assert merger.merge(book("64999", "65001", symbol="BTC_USDC")) is None
    update = merger.merge(ticker("65000", symbol="BTC_USDC", volume=None))
    assert update is not None
    assert (update.price, update.bid, update.volume) == (Decimal("65000"), Decimal("64999"), None)


def test_an_empty_side_is_absent() -> None:
    update = last_of(QuoteMerger(), ticker(), book("149.9", "150.1", 1, 1), book(None, "150.1", 2, 2))
    assert update is not None
    assert (update.bid, update.ask) == (None, Decimal("150.1"))


def test_a_ticker_without_a_volume_keeps_the_known_one() -> None:
    update = last_of(QuoteMerger(), ticker(volume="10"), ticker(after_us=1, volume=None))
    assert update is not None
    assert update.volume == Decimal("10")


def test_sequences_rise_strictly_where_event_times_do_not() -> None:
    merger = QuoteMerger()
    messages: list[StreamMessage] = [
        ticker(after_us=5),
        book("1", "2", 3, 1),
        book("1", "3", 4, 2),
        book("1", "2", 9, 3),
    ]
    updates = [merger.merge(message) for message in messages]
    assert [update.sequence - T0 for update in updates if update] == [5, 6, 7, 9]
    # The event's own time is told all the same.
    assert [update.timestamp for update in updates if update] == [(T0 + us) // 1000 for us in (5, 3, 4, 9)]


def test_sequences_go_on_above_those_of_the_log() -> None:
    merger = QuoteMerger({"SOL_USDC": T0 + 1_000_000, "ETH_USDC": 5})
    update = merger.merge(ticker())
    assert update is not None
    assert update.sequence == T0 + 1_000_001
    assert merger.last_sequences == {"SOL_USDC": T0 + 1_000_001, "ETH_USDC": 5}


def test_duplicate_and_older_books_are_put_aside() -> None:
    merger = QuoteMerger()
    merger.merge(ticker())
    newest = book("149", "150", 100, 7)
    assert merger.merge(newest) is not None
    late: list[StreamMessage] = [
        newest,  # a duplicate
        book("140", "141", 99, 6),  # older in time
        book("140", "141", 100, 6),  # of the same microsecond, but an older update
        book("140", "141", 200, 7),  # the same update id
    ]
    assert [merger.merge(message) for message in late] == [None] * 4
    assert merger.late == 4
    update = merger.merge(ticker(after_us=1_000))
    assert update is not None
    assert (update.bid, update.ask) == (Decimal("149"), Decimal("150"))


def test_a_newer_update_of_the_same_microsecond_counts() -> None:
    update = last_of(QuoteMerger(), ticker(), book("1", "2", 1, 7), book("1", "3", 1, 8))
    assert update is not None
    assert update.ask == Decimal("3")


def test_duplicate_and_older_tickers_are_put_aside() -> None:
    merger = QuoteMerger()
    assert merger.merge(ticker("150", 100)) is not None
    assert merger.merge(ticker("140", 99)) is None
    assert merger.merge(ticker("140", 100)) is None
    assert merger.late == 2


def test_after_a_lost_connection_nothing_old_is_published() -> None:
    merger = QuoteMerger()
    merger.merge(ticker("150"))
    merger.merge(book("149", "151", 10, 7))
    merger.forget_quotes()
    assert merger.merge(book("100", "101", 20, 8)) is None
    merger.forget_quotes()
    update = merger.merge(ticker("100", 1_000))
    assert update is not None
    assert (update.bid, update.ask) == (None, None)
    assert update.sequence == T0 + 1_000


def test_the_newest_book_may_be_sent_again_on_a_new_connection_but_not_an_older_one() -> None:
    merger = QuoteMerger()
    merger.merge(ticker("150"))
    merger.merge(book("149", "151", 10, 7))
    merger.forget_quotes()
    merger.merge(ticker("150"))
    assert merger.merge(book("140", "141", 9, 6)) is None
    update = merger.merge(book("149", "151", 10, 7))
    assert update is not None
    assert update.bid == Decimal("149")


@st.composite
def books(draw: st.DrawFn) -> BookTicker:
    """Books as an exchange numbers them: update ids rise with time, several may share a microsecond."""
    after_us, nth = draw(st.integers(0, 20)), draw(st.integers(0, 2))
    bid, ask = draw(st.sampled_from(["1", "2", None])), draw(st.sampled_from(["3", "4", None]))
    return book(bid, ask, after_us, 10 * after_us + nth)


tickers = st.builds(ticker, st.integers(1, 99).map(str), st.integers(0, 20))


@settings(deadline=None)
@given(st.lists(tickers | books(), max_size=40), st.integers(0, 2 * T0))
def test_whatever_the_order_sequences_rise_and_the_book_is_the_newest(
    history: list[Ticker | BookTicker], last_sequence: int
) -> None:
    merger = QuoteMerger({"SOL_USDC": last_sequence})
    arrived: dict[int, tuple[Decimal | None, Decimal | None]] = {}
    for message in history:
        update = merger.merge(message)
        if isinstance(message, BookTicker) and message.update_id is not None:
            arrived.setdefault(message.update_id, (message.bid, message.ask))
        if update is None:
            continue
        assert update.sequence > last_sequence
        assert update.sequence >= message.event_us
        last_sequence = update.sequence
        assert (update.bid, update.ask) == (arrived[max(arrived)] if arrived else (None, None))


NOW_US = T0 + 5_000_000


@pytest.mark.parametrize("ahead_us", [2_000_001, 15_000_000, 73 * 365 * 86_400 * 1_000_000])
def test_an_event_of_the_future_counts_as_of_now_and_makes_nothing_late(ahead_us: int) -> None:
    merger = QuoteMerger(clock_us=lambda: NOW_US)
    published = [
        merger.merge(Ticker("SOL_USDC", Decimal(150), NOW_US + ahead_us)),
        merger.merge(BookTicker("SOL_USDC", Decimal(149), Decimal(151), NOW_US + ahead_us, 10**17)),
        merger.merge(Ticker("SOL_USDC", Decimal(152), NOW_US - 300_000)),
        merger.merge(BookTicker("SOL_USDC", Decimal(151), Decimal(153), NOW_US - 200_000, 7)),
    ]
    quotes = [message for message in published if message is not None]
    assert [(quote.price, quote.bid) for quote in quotes] == [(150, None), (150, 149), (152, 149), (152, 151)]
    assert all(quote.timestamp <= NOW_US // 1000 for quote in quotes)
    sequences = [quote.sequence for quote in quotes]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] <= NOW_US + len(sequences)
    assert (merger.ahead, merger.late) == (2, 0)


class Clock:
    """Of this machine, µs."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


@pytest.mark.parametrize(("silent_s", "is_known"), [(0.0, True), (4.9, True), (5.0, True), (5.1, False), (-6.0, False)])
def test_a_book_that_nobody_tells_of_any_more_is_not_carried_on_by_the_ticker(silent_s: float, is_known: bool) -> None:
    """Else orders fill at what the book was, while the ticker says that the market is elsewhere."""
    clock = Clock()
    merger = QuoteMerger(clock_us=clock)
    merger.merge(book("149", "151", 1, 1))
    clock.now_us += int(silent_s * 1_000_000)
    update = merger.merge(ticker("75", 2))
    assert update is not None
    assert (update.price, update.bid is not None, update.ask is not None) == (Decimal(75), is_known, is_known)
    again = merger.merge(book("74", "76", 3, 2))
    assert again is not None
    assert (again.bid, again.ask) == (Decimal(74), Decimal(76))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(("ticker", "book", "wait")), st.integers(0, 4_000_000)), max_size=40))
def test_what_is_published_was_told_within_the_age_that_is_allowed(happening: list[tuple[str, int]]) -> None:
    clock, told_us = Clock(), None
    merger = QuoteMerger(clock_us=clock, book_ms_max=3_000)
    for after_us, (kind, us) in enumerate(happening, 1):
        if kind == "wait":
            clock.now_us += us
        elif kind == "book":
            merger.merge(book("149", "151", after_us, after_us))
            told_us = clock.now_us
        else:
            update = merger.merge(ticker("150", after_us))
            assert update is not None
            is_young = told_us is not None and clock.now_us - told_us <= 3_000_000
            assert (update.bid is not None) == is_young


def test_a_little_ahead_is_the_difference_of_clocks() -> None:
    merger = QuoteMerger(clock_us=lambda: NOW_US)
    message = merger.merge(Ticker("SOL_USDC", Decimal(150), NOW_US + 2_000_000))
    assert message is not None
    assert (message.sequence, merger.ahead) == (NOW_US + 2_000_000, 0)


def test_a_sequence_of_the_future_is_gone_on_from_with_the_present_time() -> None:
    future = 4_000_000_000_000_000
    merger = QuoteMerger({"SOL_USDC": future}, clock_us=lambda: NOW_US)
    for n in range(1, 4):
        message = merger.merge(Ticker("SOL_USDC", Decimal(150), NOW_US + n))
        assert message is not None
        assert (message.sequence, message.timestamp) == (future + n, (NOW_US + n) // 1000)


def test_the_tickers_day_comes_with_it_and_not_with_the_books_between() -> None:
    merger = QuoteMerger()
    first, high, low = Decimal(149), Decimal(152), Decimal(148)
    day = Ticker("SOL_USDC", Decimal(150), T0, first, high, low, Decimal(10), Decimal(1_500), 7)
    told = merger.merge(day)
    assert told is not None
    assert (told.open24h, told.high24h, told.low24h, told.quote_volume24h) == (first, high, low, 1_500)
    between = merger.merge(book("149.9", "150.1", 7))
    assert between is not None
    assert (between.open24h, between.high24h, between.low24h, between.quote_volume24h) == (None, None, None, None)
    assert between.volume == 10


@pytest.mark.parametrize("wrong", ["0", "-1", "1e30", "1e-19", "0." + "1" * 40])
def test_a_figure_of_the_day_that_is_no_price_is_left_out(wrong: str) -> None:
    odd = Decimal(wrong)
    told = QuoteMerger().merge(Ticker("SOL_USDC", Decimal(150), T0, odd, odd, Decimal(148)))
    assert told is not None
    assert (told.open24h, told.high24h, told.low24h) == (None, None, 148)


def test_a_mark_that_a_clock_ahead_let_in_holds_nothing_up_once_the_clock_is_right() -> None:
    now_us = T0 + 3_600_000_000  # our clock is an hour ahead
    merger = QuoteMerger(clock_us=lambda: now_us)
    ahead_us = 3_500_000_000
    assert last_of(merger, ticker("150", ahead_us), book("149", "151", ahead_us)) is not None
    assert merger.ahead == 0, "to that clock it is no time of the future"
    assert merger.merge(ticker("149", 1)) is None
    now_us = T0 + 2
    update = last_of(merger, ticker("140", 2), book("139", "141", 2))
    assert update is not None
    assert (update.price, update.bid, update.ask) == (Decimal(140), Decimal(139), Decimal(141))
    assert merger.late == 1
