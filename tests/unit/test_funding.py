"""Deposit, reset, close-all, the exposure limit and the margin call. Figures by hand."""

from __future__ import annotations

import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    close_all_command,
    close_command,
    dec,
    deposit_command,
    flat,
    frame,
    open_command,
    place_command,
    quote,
    reset_command,
    terms,
)

from exness_streams.api.presenter import account_message
from exness_streams.domain.codec import PositionsClosed
from exness_streams.domain.events import AccountReset, Deposited, PositionClosed
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits
from exness_streams.domain.outcomes import is_transient
from exness_streams.domain.rejections import Rejection, RejectionCode

BTC = "BTC_USDC"


def test_a_deposit_is_free_cash_and_counted() -> None:
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", 1000))
    event = cell.outcome(deposit_command("0.00000001"))
    assert isinstance(event, Deposited)
    assert (event.amount, event.balance, event.sequence) == (dec("0.00000001"), dec("10000.00000001"), 2)
    row = cell.row()
    assert (row.cash, row.deposited, row.realized_pnl) == (dec("9000.00000001"), dec("0.00000001"), dec(0))
    assert row.is_conserved


def test_a_deposit_makes_an_account_that_nobody_knew() -> None:
    cell = StoredCell()
    cell.events(deposit_command(250, account="new"))
    assert (cell.row("new").cash, cell.row("new").starting_balance) == (dec(10_250), dec(10_000))


@pytest.mark.parametrize(("amount", "fits"), [("999999990000", True), ("999999990000.00000001", False)])
def test_a_balance_has_an_end(amount: str, fits: bool) -> None:
    outcome = StoredCell().outcome(deposit_command(amount))
    assert isinstance(outcome, Deposited if fits else Rejection)


def test_a_reset_begins_anew_and_the_order_of_events_goes_on() -> None:
    cell = StoredCell(flat(100))
    opened = cell.opened(open_command("long", 1000, 10, stop="95", key="first"))
    placed = cell.placed(place_command(expires_ms=NOW_MS + 5))
    lost = cell.opened(open_command("short", 100))
    cell.events(frame(flat(99, 2)))
    cell.closed(close_command(lost.position_id))
    cell.events(deposit_command(777))
    event = cell.outcome(reset_command(key="reset"))
    assert isinstance(event, AccountReset)
    assert (event.sequence, event.balance) == (6, dec(10_000))
    assert (event.positions_dropped, event.orders_dropped) == ([opened.position_id], [placed.order_id])
    row = cell.row()
    assert (row.cash, row.starting_balance, row.deposited) == (dec(10_000), dec(10_000), dec(0))
    assert row.realized_pnl == row.fees == 0
    assert not row.positions
    assert not row.orders
    assert (row.sequence, row.outcomes) == (6, 2)
    assert len(cell.cell.triggers) == len(cell.cell.expiries) == 0
    # what was dropped never comes back: neither its stop nor its expiry, nor by a repeat of the order that opened it
    assert cell.events(PriceFrame(NOW_MS + 9, (SymbolFrame(SOL, flat(10, 3)),))) == []
    assert cell.outcome(open_command("long", 1000, 10, stop="95", key="first")) == opened
    assert cell.outcome(reset_command(key="reset")) == event
    assert cell.row().positions == {}


def test_a_reset_gives_the_starting_balance_of_today() -> None:
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", 1000))
    command = reset_command()
    cell.events(type(command)(**{name: getattr(command, name) for name in command.__struct_fields__}
                              | {"starting_balance": dec(500)}))  # fmt: skip
    assert (cell.row().cash, cell.row().starting_balance) == (dec(500), dec(500))


class TestCloseAll:
    @pytest.fixture
    def cell(self) -> StoredCell:
        """Two positions in SOL and one in BTC, whose market is gone now."""
        cell = StoredCell(flat(100))
        cell.fold(PriceFrame(NOW_MS, (SymbolFrame(BTC, flat(50_000)),)))
        cell.opened(open_command("long", 1000, 2))  # pos_0_2, 20 SOL
        cell.opened(open_command("long", 1000, 2, on=terms(BTC)))  # pos_0_3
        cell.opened(open_command("short", 500, 1, on=terms(fee_rate="0.001")))  # pos_0_4, 5 SOL, fee 0.5
        cell.placed(place_command())
        cell.fold(PriceFrame(NOW_MS, (SymbolFrame(BTC, quote(None, None, 2)),)))
        cell.events(frame(quote("104", "105", 2)))
        return cell

    def test_each_is_closed_by_itself_and_one_without_a_market_stays(self, cell: StoredCell) -> None:
        """Longs get 104: 4 × 20 = 80. Shorts pay 105: −5 × 5 = −25, fee 5 × 105 × 0.001 = 0.525."""
        folded = cell.fold(close_all_command())
        assert folded.reply is not None
        outcome = folded.reply.outcome
        assert isinstance(outcome, PositionsClosed)
        sol, btc, short = outcome.results
        assert [each.position_id for each in outcome.results] == ["pos_0_2", "pos_0_3", "pos_0_4"]
        assert isinstance(sol.outcome, PositionClosed)
        assert isinstance(btc.outcome, Rejection)
        assert isinstance(short.outcome, PositionClosed)
        assert (sol.outcome.realized_pnl, short.outcome.realized_pnl) == (dec(80), dec(-25))
        assert btc.outcome.code is RejectionCode.PRICE_UNAVAILABLE
        assert folded.events == [sol.outcome, short.outcome]
        assert [event.event_id for event in folded.events] == ["0-8-0", "0-8-1"]
        assert [event.sequence for event in folded.events] == [5, 6]
        row = cell.row()
        assert list(row.positions) == ["pos_0_3"]
        assert list(row.orders) == ["ord_0_5"]  # it closes positions, it cancels nothing
        # 10000 − 0.5 + 80 − 25 − 0.525 − 1000 (BTC) − 1000 (order)
        assert row.cash == dec("8053.975")
        assert row.is_conserved

    def test_its_results_are_remembered(self, cell: StoredCell) -> None:
        first = cell.outcome(close_all_command(key="k"))
        cell.restart()
        cell.fold(PriceFrame(NOW_MS, (SymbolFrame(BTC, flat(50_000, 3)),)))
        again = cell.fold(close_all_command(key="k"))
        assert again.reply is not None
        assert (again.reply.outcome, again.reply.repeated, again.events) == (first, True, [])
        assert list(cell.row().positions) == ["pos_0_3"]

    def test_when_nothing_had_a_market_the_key_is_free(self, cell: StoredCell) -> None:
        cell.events(frame(quote(None, None, 3)))
        refused = cell.outcome(close_all_command(key="k"))
        assert is_transient(refused)
        assert cell.cell.remembered("demo", "k") is None
        cell.events(frame(flat(100, 4)))
        outcome = cell.outcome(close_all_command(key="k"))
        assert not is_transient(outcome)
        assert list(cell.row().positions) == ["pos_0_3"]

    def test_of_nothing_is_nothing_and_remembered(self) -> None:
        cell = StoredCell()
        assert cell.outcome(close_all_command(key="k", account="new")) == PositionsClosed([])
        assert cell.cell.remembered("new", "k") is not None

    def test_a_fresh_market_is_needed(self, cell: StoredCell) -> None:
        cell.events(close_all_command(time_ms=NOW_MS + 5001))
        assert len(cell.row().positions) == 3


class TestExposure:
    def test_positions_and_orders_of_the_instrument_count_with_their_leverage(self) -> None:
        """1000 × 10 + 500 × 4 = 12000; 3000 more are the limit."""
        cell = StoredCell(flat(100))
        limits = Limits(exposure_max=dec(15_000))
        cell.opened(open_command("long", 1000, 10, limits=limits))
        cell.placed(place_command("short", "limit", 110, 500, 4, limits=limits))
        over = cell.rejected(open_command("short", "1500.00000001", 2, limits=limits))
        assert over.details == {"limit": "exposure", "max": "15000", "required": "15000.00000002"}
        assert cell.rejected(place_command(margin=1501, limits=limits)).code is RejectionCode.LIMIT_REACHED
        cell.opened(open_command("short", 1500, 2, limits=limits))
        assert cell.rejected(open_command("long", 1, 1, limits=limits)).code is RejectionCode.LIMIT_REACHED

    def test_another_instrument_is_another_matter_and_a_partial_close_makes_room(self) -> None:
        cell = StoredCell(flat(100))
        limits = Limits(exposure_max=dec(10_000))
        cell.fold(PriceFrame(NOW_MS, (SymbolFrame(BTC, flat(50_000)),)))
        opened = cell.opened(open_command("long", 1000, 10, limits=limits))
        cell.opened(open_command("long", 1000, 10, limits=limits, on=terms(BTC)))
        assert cell.rejected(open_command("long", 10, 1, limits=limits)).code is RejectionCode.LIMIT_REACHED
        cell.closed(close_command(opened.position_id, percentage="50"))
        cell.opened(open_command("long", 500, 10, limits=limits))
        assert cell.row().exposure(SOL) == cell.row().exposure(BTC) == dec(10_000)


@pytest.mark.parametrize(
    ("bid", "level", "is_called"), [("96.01", "60.1", False), ("96", "60", True), ("95", "50", True)]
)
def test_the_margin_call_comes_at_its_level(bid: str, level: str, is_called: bool) -> None:
    """10000 × 10 / 100 = 1000 SOL: at 96 it is −4000, and 6000 of the margin of 10000 are left."""
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", 10_000, 10))
    message = account_message(cell.row(), {SOL: flat(bid, 2)}, dec(60))
    assert (message.margin_level, message.margin_call) == (dec(level), is_called)


def test_there_is_no_margin_call_without_margin_and_orders_hold_margin_too() -> None:
    cell = StoredCell(flat(100))
    cell.events(deposit_command(500))
    assert not account_message(cell.row(), {}, dec(1000)).margin_call
    cell.placed(place_command(margin=1000))
    message = account_message(cell.row(), {}, dec(60))
    assert (message.used_margin, message.margin_level, message.free_margin) == (dec(1000), dec(1050), dec(9500))
    assert (message.balance, message.deposited, message.starting_balance) == (dec(10_500), dec(500), dec(10_000))
