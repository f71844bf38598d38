"""States of markets in a cell: what they forbid, what a settlement does, and that a cell keeps them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    close_all_command,
    close_command,
    dec,
    modify_command,
    open_command,
    place_command,
    quote,
    settled,
    states,
    told,
)

from exness_streams.domain import rules
from exness_streams.domain.codec import Meta, decode_meta, decode_record, encode, encode_meta
from exness_streams.domain.commands import Command
from exness_streams.domain.events import OrderCancelled, OrderFilled, PositionClosed, PositionOpened
from exness_streams.domain.frames import FrameBuilder, OldBook, PriceFrame
from exness_streams.domain.market_states import MarketState
from exness_streams.domain.quotes import ReceivedQuote
from exness_streams.domain.raw_frames import RawFrame, RawFrameBuilder
from exness_streams.domain.rejections import Rejection, RejectionCode

OPENS: list[Callable[[], Command]] = [open_command, lambda: place_command(price=95)]
CLOSES: list[Callable[[str], Command]] = [
    lambda position: modify_command(position, stop="90"),
    lambda position: close_command(position, percentage="50"),
    close_command,
]


def a_cell(*, by_rules: int = rules.MARKET_STATES) -> StoredCell:
    cell = StoredCell()
    cell.cell.load(0, [], [(SOL, quote(100, 100, 0))], meta=Meta(0, 0, rules=by_rules))
    return cell


def ticks(*prices: int | None, begin: int = 0) -> PriceFrame:
    builder = FrameBuilder(begin, epoch=1, by_offset=True)
    for offset, price in enumerate(prices, begin):
        builder.add(SOL, quote(price, price, offset + 1), offset=offset, received_ms=NOW_MS)
    made = builder.cut(NOW_MS, always=True)
    assert made is not None
    return made


@pytest.mark.parametrize("state", MarketState)
def test_which_commands_a_state_refuses(state: MarketState) -> None:
    cell = a_cell()
    position = cell.opened(open_command()).position_id
    cell.fold(states() if state is MarketState.OPEN else states(told(SOL, state)))
    sequence = cell.row().sequence
    for make in OPENS:
        refused = cell.fold(make()).reply
        assert refused is not None
        if state is MarketState.OPEN:
            assert not isinstance(refused.outcome, Rejection)
        else:
            assert isinstance(refused.outcome, Rejection)
            assert refused.outcome.code is RejectionCode.PRICE_UNAVAILABLE
            assert refused.outcome.details == {"symbol": SOL, "reason": state.value}
    for close in CLOSES:
        refused = cell.fold(close(position)).reply
        assert refused is not None
        assert isinstance(refused.outcome, Rejection) == (state not in (MarketState.OPEN, MarketState.CLOSE_ONLY))
    if state not in (MarketState.OPEN, MarketState.CLOSE_ONLY):
        assert cell.row().sequence == sequence
        cell.fold(close_all_command())
        assert (cell.row().sequence, list(cell.row().positions)) == (sequence, [position])


def test_what_is_wrong_with_the_order_itself_is_told_first() -> None:
    cell = a_cell()
    cell.fold(states(told(SOL, MarketState.HALTED)))
    assert cell.rejected(open_command(leverage=1000)).code is RejectionCode.INVALID_LEVERAGE
    assert cell.rejected(open_command(margin=20_000)).code is RejectionCode.PRICE_UNAVAILABLE


def test_a_list_is_whole_and_a_market_that_is_not_in_it_is_open() -> None:
    cell = a_cell()
    cell.fold(states(told(SOL, MarketState.HALTED), told("BTC_USDC", MarketState.CLOSE_ONLY)))
    cell.fold(ticks(100))
    assert set(cell.cell.markets) == {SOL, "BTC_USDC"}, "a frame that tells none changes none"
    cell.fold(states(told("BTC_USDC", MarketState.CLOSE_ONLY)))
    assert set(cell.cell.markets) == {"BTC_USDC"}
    assert cell.opened(open_command())


def test_a_former_owner_of_the_ticks_changes_no_state() -> None:
    cell = a_cell()
    cell.fold(msgspec.structs.replace(states(told(SOL, MarketState.HALTED)), epoch=2))
    cell.fold(states())
    assert set(cell.cell.markets) == {SOL}


def test_a_cell_keeps_the_states_over_a_restart() -> None:
    cell = a_cell()
    cell.fold(states(told(SOL, MarketState.SETTLED, "12.5")))
    kept = decode_meta(encode_meta(cell.cell.meta))
    other = StoredCell()
    other.cell.load(kept.next_offset, [], [], meta=kept)
    assert other.cell.markets == cell.cell.markets
    assert other.cell.markets[SOL].price == dec("12.5")


def test_an_order_that_is_reached_in_a_market_that_only_closes_is_cancelled() -> None:
    cell = a_cell()
    cell.placed(place_command(price=95))
    cell.fold(states(told(SOL, MarketState.CLOSE_ONLY)))
    (cancelled,) = cell.events(ticks(94))
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.reason, cell.row().cash, cell.row().positions) == ("close_only", dec(10_000), {})


def test_exits_work_in_a_market_that_only_closes() -> None:
    cell = a_cell()
    cell.opened(open_command(stop="95"))
    cell.fold(states(told(SOL, MarketState.CLOSE_ONLY)))
    (closed,) = cell.events(ticks(94))
    assert isinstance(closed, PositionClosed)
    assert closed.reason == "stop_loss"


@pytest.mark.parametrize("state", [MarketState.SUSPENDED, MarketState.HALTED])
def test_orders_wait_while_nothing_is_told_and_are_filled_when_the_market_is_back(state: MarketState) -> None:
    cell = a_cell()
    cell.placed(place_command(price=95))
    assert cell.events(msgspec.structs.replace(ticks(None), markets=(told(SOL, state),))) == []
    again = msgspec.structs.replace(ticks(94, begin=1), markets=())
    assert [type(event) for event in cell.events(again)] == [OrderFilled, PositionOpened]


def test_a_settlement_closes_all_at_one_price_and_cancels_orders() -> None:
    cell = a_cell()
    for account, side in (("ann", "long"), ("bob", "short"), ("ann", "short")):
        cell.opened(msgspec.structs.replace(open_command(side=side), account_id=account))
    cell.placed(msgspec.structs.replace(place_command(price=95), account_id="bob"))
    events = cell.events(settled(SOL, 110))
    assert [(type(event), event.account_id) for event in events] == [
        (OrderCancelled, "bob"),
        (PositionClosed, "ann"),
        (PositionClosed, "bob"),
        (PositionClosed, "ann"),
    ]
    for event in events:
        assert isinstance(event, PositionClosed | OrderCancelled)
        assert event.reason == "settlement"
        if isinstance(event, PositionClosed):
            assert event.close_price == 110
            assert (event.realized_pnl > 0) == (event.side == "long")
    assert not cell.cell.standing.symbols
    assert cell.events(settled(SOL, 120)) == []
    assert cell.row("ann").positions == cell.row("bob").orders == {}


def test_a_settlement_takes_what_its_own_frame_has_opened() -> None:
    cell = a_cell()
    cell.placed(place_command(price=95))
    frame = msgspec.structs.replace(ticks(94), markets=(told(SOL, MarketState.SETTLED, 100),))
    assert [type(event) for event in cell.events(frame)] == [OrderFilled, PositionOpened, PositionClosed]


def test_a_loss_at_a_settlement_is_capped_at_the_margin() -> None:
    cell = a_cell()
    cell.opened(open_command(leverage=10))
    (closed,) = cell.events(settled(SOL, 1))
    assert isinstance(closed, PositionClosed)
    assert (closed.realized_pnl, cell.row().balance) == (-closed.margin, dec(10_000) - closed.margin)


@pytest.mark.parametrize("by_rules", range(rules.FIRST, rules.MARKET_STATES))
@pytest.mark.parametrize("news", [{"markets": ()}, {"books": (OldBook(0, 5),)}])
def test_by_older_rules_no_frame_says_so(by_rules: int, news: dict[str, object]) -> None:
    cell = a_cell(by_rules=by_rules)
    with pytest.raises(ValueError, match=f"rules {by_rules} have no states of markets"):
        cell.fold(msgspec.structs.replace(ticks(100), **news))


@pytest.mark.parametrize("make", ["staircase", "raw"])
@pytest.mark.parametrize(("age_ms", "fills"), [(0, True), (4_000, True), (4_001, False), (60_000, False)])
def test_a_quote_is_as_old_as_its_book(make: str, age_ms: int, fills: bool) -> None:
    builder: FrameBuilder | RawFrameBuilder
    builder = FrameBuilder(0, epoch=1, by_offset=True) if make == "staircase" else RawFrameBuilder(0, epoch=1)
    builder.tells_books = True
    builder.add(SOL, quote(101, 101, 1), offset=0, received_ms=NOW_MS - 2_000)
    builder.add(SOL, quote(100, 100, 2), offset=1, received_ms=NOW_MS - 1_000, book_age_ms=age_ms)
    made = builder.cut(NOW_MS)
    assert made is not None
    assert made.books == ((OldBook(1, age_ms),) if age_ms else ())
    cell = a_cell()
    record = decode_record(encode(made))
    assert isinstance(record, PriceFrame | RawFrame)
    cell.fold(record)
    known = cell.cell.quotes[SOL]
    assert isinstance(known, ReceivedQuote)
    assert known.received_ms == NOW_MS - 1_000 - age_ms
    outcome = cell.outcome(open_command())
    assert isinstance(outcome, PositionOpened) == fills
    if isinstance(outcome, Rejection):
        assert outcome.details["ageMs"] == age_ms + 1_000


def test_decimals_of_a_settlement_are_kept_to_the_digit() -> None:
    price = Decimal("0.000000000000000001")
    record = decode_record(encode(states(told(SOL, MarketState.SETTLED, str(price)))))
    assert isinstance(record, PriceFrame)
    assert record.markets is not None
    assert record.markets[0].price == price
