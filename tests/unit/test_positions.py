"""What orders and forced closes do to an account: the original program's defects, and examples worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import localcontext
from typing import NamedTuple

import msgspec
import pytest
from trading_samples import NOW_MS, StoredCell, close_command, dec, flat, frame, open_command, quote, terms

from exness_streams.domain.account import Valuation, new_account, value_account
from exness_streams.domain.checks import check_terms, leverage_ceiling
from exness_streams.domain.events import PositionClosed
from exness_streams.domain.instruments import Terms
from exness_streams.domain.money import AMOUNT_MAX, money_arithmetic
from exness_streams.domain.positions import close_position
from exness_streams.domain.quotes import Side
from exness_streams.domain.rejections import RejectionCode
from exness_streams.domain.transition import JournalPlace, Transition


class TestDefectsOfTheOriginal:
    """Each of these moved money wrongly in the program this one re-implements."""

    def test_the_liquidation_of_a_short_pays_nobody(self) -> None:
        cell = StoredCell(flat(100))
        cell.opened(open_command("short", 1000, 10))
        event = cell.liquidated(flat(110, 2))
        assert (event.reason, event.realized_pnl) == ("liquidation", dec(-1000))
        assert cell.row().cash == dec(9000)

    @pytest.mark.parametrize(("side", "gap"), [("long", "100"), ("short", "300")])
    def test_a_gap_never_makes_a_balance_negative(self, side: Side, gap: str) -> None:
        cell = StoredCell(flat(150))
        cell.opened(open_command(side, 10_000, 100))
        event = cell.liquidated(flat(gap, 2))
        # Uncapped, the long would lose 6666.66666666 × 50 = 333,333.33.
        assert event.realized_pnl == dec(-10_000)
        assert event.close_price == dec(gap)
        assert cell.row().cash == cell.row().balance == 0
        assert cell.row().is_conserved

    def test_a_manual_close_through_the_liquidation_price_loses_the_margin_only(self) -> None:
        """No frame does this, for the frame liquidates first; the rule holds on any path all the same."""
        cell = StoredCell(flat(150))
        opened = cell.opened(open_command("long", 1000, 10))
        change = close_position(
            cell.row(), opened.position, close_command(opened.position_id), flat(100, 2), JournalPlace(0, 2, 0, NOW_MS)
        )
        assert isinstance(change, Transition)
        assert isinstance(change.event, PositionClosed)
        assert (change.event.realized_pnl, change.row.cash) == (dec(-1000), dec(9000))
        assert cell.row().positions[opened.position_id].unrealized_pnl(dec(100)) == dec(-1000)

    def test_a_side_without_a_price_changes_nothing(self) -> None:
        cell = StoredCell(flat(150))
        opened = cell.opened(open_command("long", 1000, 100))
        before = cell.row()
        # The ask and the last trade fall far below 148.5, but nobody bids: nothing to sell at, nothing happens.
        assert not cell.fold(frame(quote(None, "10", 2, price="9"))).events
        assert cell.row() == before
        assert cell.rejected(close_command(opened.position_id)).code is RejectionCode.PRICE_UNAVAILABLE
        assert cell.rejected(open_command("short")).code is RejectionCode.PRICE_UNAVAILABLE
        assert cell.liquidated(quote("148.5", None, 3)).close_price == dec("148.5")

    @pytest.mark.parametrize(
        ("margin", "leverage", "code"),
        [
            ("-5000", "2", RejectionCode.INVALID_MARGIN),
            ("0", "2", RejectionCode.INVALID_MARGIN),
            ("-0", "2", RejectionCode.INVALID_MARGIN),
            ("0.99999999", "2", RejectionCode.INVALID_MARGIN),
            ("1000000000001", "2", RejectionCode.INVALID_MARGIN),
            ("Infinity", "2", RejectionCode.INVALID_MARGIN),
            ("NaN", "2", RejectionCode.INVALID_MARGIN),
            ("1000", "1e9", RejectionCode.INVALID_LEVERAGE),
            ("1000", "100.00000001", RejectionCode.INVALID_LEVERAGE),
            ("1000", "0.99", RejectionCode.INVALID_LEVERAGE),
            ("1000", "0", RejectionCode.INVALID_LEVERAGE),
            ("1000", "-2", RejectionCode.INVALID_LEVERAGE),
            ("1000", "Infinity", RejectionCode.INVALID_LEVERAGE),
            ("1000", "NaN", RejectionCode.INVALID_LEVERAGE),
        ],
    )
    def test_a_margin_or_leverage_out_of_range_is_refused_at_the_edge_and_in_the_fold(
        self, margin: str, leverage: str, code: RejectionCode
    ) -> None:
        command = open_command("long", margin, leverage)
        refused = check_terms(command)
        assert refused is not None
        assert refused.code is code
        cell = StoredCell(flat(150))
        before = cell.entries()
        assert cell.rejected(command).code is code
        assert cell.entries() == before

    @pytest.mark.parametrize("leverage", ["1", "100"])
    @pytest.mark.parametrize("margin", ["1", str(AMOUNT_MAX)])
    def test_the_limits_themselves_are_within_range(self, margin: str, leverage: str) -> None:
        assert check_terms(open_command("long", margin, leverage)) is None

    def test_the_clients_price_never_fills(self) -> None:
        cell = StoredCell(quote("149", "151"))
        opened = cell.opened(open_command("long", 1000, 2, reference="1"))
        assert opened.entry_price == dec(151)
        closed = cell.closed(close_command(opened.position_id, reference="1000000"))
        assert closed.close_price == dec(149)

    def test_accounts_are_separate(self) -> None:
        cell = StoredCell(flat(150))
        cell.opened(open_command("long", 10_000, 100, account="ann"))
        bob = cell.opened(open_command("short", 1000, 2, account="bob"))
        assert cell.rejected(close_command(bob.position_id, account="ann")).code is RejectionCode.POSITION_NOT_FOUND
        assert cell.liquidated(flat(148, 2)).account_id == "ann"
        assert (cell.row("ann").balance, cell.row("bob").balance) == (dec(0), dec(10_000))
        assert list(cell.row("bob").positions) == [bob.position_id]
        assert cell.cell.account("eve") is None

    def test_free_margin_is_equity_minus_used_margin(self) -> None:
        cell = StoredCell(flat(150))
        cell.opened(open_command("long", 1000, 2))
        # 2000 USD / 150 = 13.33333333; × 15 = 199.99999995
        at_165 = value_account(cell.row(), {"SOL_USDC": flat(165, 2)})
        assert at_165.unrealized_pnl == dec("199.99999995")
        assert at_165.balance == dec(10_000)
        assert at_165.equity == dec("10199.99999995")
        assert at_165.used_margin == dec(1000)
        assert at_165.free_margin == dec("9199.99999995")
        assert at_165.margin_level == dec("1019.999999995").quantize(dec("1e-8"))

    def test_an_account_without_positions_has_no_margin_level(self) -> None:
        valuation = value_account(new_account("demo", dec(10_000)), {})
        assert valuation.margin_level is None
        assert valuation.free_margin == valuation.equity == dec(10_000)


def test_a_valuation_is_exact_whatever_decimal_context_the_page_runs_in() -> None:
    cell = StoredCell(quote("1.00000001", "1.00000001"))
    cell.opened(open_command("long", "999999999.99999999", 100, starting_balance="1000000000"))
    # 99999998999.99999999 × 0.12345678 has 29 digits
    at_market = {"SOL_USDC": quote("1.12345679", "1.12345679", 2)}
    with localcontext() as context:
        context.prec = 9
        assert value_account(cell.row(), at_market) == in_money_context(lambda: value_account(cell.row(), at_market))


def in_money_context(value: Callable[[], Valuation]) -> Valuation:
    with money_arithmetic():
        return value()


class Example(NamedTuple):
    """One life of a position. The figures of the right half are computed by hand."""

    side: Side
    margin: str
    leverage: str
    on: Terms
    entry: tuple[str, str]  # bid, ask at the opening
    exit: tuple[str, str]  # bid, ask at the end
    quantity: str
    liquidation: str
    reason: str
    realized: str
    fees: tuple[str, str]
    cash: str


FEE = terms(fee_rate="0.001")
KEPT = terms(maintenance="0.005")

EXAMPLES = {
    # 1000 × 2 / 151 = 13.245033112…; at 160: 9 × 13.24503311 = 119.20529799. 151 × (1 − 1/2) = 75.5
    "long, profit": Example(
        "long", "1000", "2", terms(), ("149", "151"), ("160", "162"),
        "13.24503311", "75.5", "manual", "119.20529799", ("0", "0"), "10119.20529799",
    ),
    # at 140: −11 × 13.24503311 = −145.69536421
    "long, loss": Example(
        "long", "1000", "2", terms(), ("149", "151"), ("140", "142"),
        "13.24503311", "75.5", "manual", "-145.69536421", ("0", "0"), "9854.30463579",
    ),
    # 1000 × 4 / 160 = 25; bought back at the ask 150: 10 × 25 = 250. 160 × (1 + 1/4) = 200
    "short, profit": Example(
        "short", "1000", "4", terms(), ("160", "161"), ("149", "150"),
        "25", "200", "manual", "250", ("0", "0"), "10250",
    ),
    # bought back at 170: −10 × 25
    "short, loss": Example(
        "short", "1000", "4", terms(), ("160", "161"), ("169", "170"),
        "25", "200", "manual", "-250", ("0", "0"), "9750",
    ),
    # 500 × 10 / 100 = 50; liquidation at 90, the gap goes to 60: −40 × 50 = −2000, capped at −500
    "long, gap": Example(
        "long", "500", "10", terms(), ("100", "100"), ("60", "61"),
        "50", "90", "liquidation", "-500", ("0", "0"), "9500",
    ),
    # the touch itself: (90 − 100) × 50 = −500, exactly the margin
    "long, touch": Example(
        "long", "500", "10", terms(), ("100", "100"), ("90", "91"),
        "50", "90", "liquidation", "-500", ("0", "0"), "9500",
    ),
    # liquidation at 110 against the ask; 140: −40 × 50, capped
    "short, gap": Example(
        "short", "500", "10", terms(), ("100", "100"), ("139", "140"),
        "50", "110", "liquidation", "-500", ("0", "0"), "9500",
    ),
    # 1000 × 2 / 100 = 20; fees 20 × 100 × 0.001 = 2 and 20 × 110 × 0.001 = 2.2; + 200
    "fees at open and close": Example(
        "long", "1000", "2", FEE, ("100", "100"), ("110", "111"),
        "20", "50", "manual", "200", ("2", "2.2"), "10195.8",
    ),
    # 100 × (1 − 0.1 + 0.005) = 90.5; at 90.5: −9.5 × 100 = −950, so 50 (0.5 % of the notional at entry) is left
    "maintenance margin, long": Example(
        "long", "1000", "10", KEPT, ("100", "100"), ("90.5", "91"),
        "100", "90.5", "liquidation", "-950", ("0", "0"), "9050",
    ),
    # 100 × (1 + 0.1 − 0.005) = 109.5
    "maintenance margin, short": Example(
        "short", "1000", "10", KEPT, ("100", "100"), ("109", "109.5"),
        "100", "109.5", "liquidation", "-950", ("0", "0"), "9050",
    ),
    # liquidation price 100 × (1 − 1) = 0: even at 0.01 it lives. 10 × −99.99 = −999.9
    "leverage 1, long": Example(
        "long", "1000", "1", terms(), ("100", "100"), ("0.01", "0.02"),
        "10", "0", "manual", "-999.9", ("0", "0"), "9000.1",
    ),
    # a short without leverage has lost its margin when the price has doubled
    "leverage 1, short": Example(
        "short", "1000", "1", terms(), ("100", "100"), ("199", "200"),
        "10", "200", "liquidation", "-1000", ("0", "0"), "9000",
    ),
    # open fee 100 × 100 × 0.001 = 10; nothing is left at 90, so the fee of 100 × 90 × 0.001 = 9 is not taken
    "fee capped at liquidation, nothing left": Example(
        "long", "1000", "10", FEE, ("100", "100"), ("90", "91"),
        "100", "90", "liquidation", "-1000", ("10", "0"), "8990",
    ),
    # at 90.04 by hand: −9.96 × 100 = −996 leaves 4; the fee of 9.004 is capped at 4
    "fee capped at a manual close": Example(
        "long", "1000", "10", FEE, ("100", "100"), ("90.04", "91"),
        "100", "90", "manual", "-996", ("10", "4"), "8990",
    ),
    # 10 × 3 / 0.00002345 = 1279317.697228…; × (0.00002445 − 0.00002345) = 1.27931769(7…); 2/3 of the entry
    "a price far below 1": Example(
        "long", "10", "3", terms(), ("0.00002345", "0.00002345"), ("0.00002445", "0.00002446"),
        "1279317.69722814", "0.000015633333", "manual", "1.2793177", ("0", "0"), "10001.2793177",
    ),
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_worked_examples(example: Example) -> None:
    cell = StoredCell(quote(*example.entry))
    opened = cell.opened(open_command(example.side, example.margin, example.leverage, on=example.on))
    fee_at_open = dec(example.fees[0])
    assert opened.quantity == dec(example.quantity)
    assert opened.liquidation_price == dec(example.liquidation)
    assert opened.fee == fee_at_open
    assert cell.row().cash == 10_000 - dec(example.margin) - fee_at_open
    assert opened.balance == 10_000 - fee_at_open

    if example.reason == "liquidation":
        closed = cell.liquidated(quote(*example.exit, sequence=2))
    else:
        assert not cell.fold(frame(quote(*example.exit, sequence=2))).events
        closed = cell.closed(close_command(opened.position_id))
    bid, ask = example.exit
    assert closed.reason == example.reason
    assert closed.close_price == dec(bid if example.side == "long" else ask)
    assert closed.realized_pnl == dec(example.realized)
    assert closed.fee == dec(example.fees[1])
    row = cell.row()
    assert row.cash == row.balance == closed.balance == dec(example.cash)
    assert row.realized_pnl == closed.realized_pnl
    assert row.fees == opened.fee + closed.fee
    assert not row.positions
    assert row.is_conserved
    assert len(cell.cell.triggers) == 0


def test_the_event_of_an_opening_says_what_the_position_is() -> None:
    cell = StoredCell(quote("149", "151"))
    opened = cell.opened(open_command("long", 1000, 2))
    assert opened.position_id == "pos_0_1"
    assert opened.event_id == "0-1-0"
    assert (opened.sequence, opened.timestamp) == (1, NOW_MS)
    assert (opened.asset, opened.symbol, opened.mark_price) == ("SOL", "SOL_USDC", dec(149))
    assert cell.row().positions == {"pos_0_1": opened.position}
    assert cell.row().applied_offset == 1


def test_a_margin_finer_than_money_never_overdraws_the_account() -> None:
    """Half-even: 4000.000001015 rounds up, the same with an odd fee down; the account went to −0.00000001."""
    command = open_command("long", "4000.000001015", 7, on=terms(fee_rate="0.001"), starting_balance="4028.00000102")
    # 4000.00000102 × 7 / 150 = 186.66666671; fee 186.66666671 × 150 × 0.001 = 28.00000001
    assert StoredCell(flat(150)).rejected(command).details["required"] == "4028.00000103"
    exact = msgspec.structs.replace(command, starting_balance=dec("4028.00000103"))
    cell = StoredCell(flat(150))
    opened = cell.opened(exact)
    assert (opened.margin, opened.quantity, opened.fee) == (
        dec("4000.00000102"),
        dec("186.66666671"),
        dec("28.00000001"),
    )
    assert cell.row().cash == 0
    assert cell.row().is_conserved


def test_all_of_the_cash_can_be_used() -> None:
    cell = StoredCell(flat(100))
    cell.opened(open_command("long", "9999", 1, on=terms(fee_rate="0.0001"), starting_balance="9999.9999"))
    assert cell.row().cash == 0


@pytest.mark.parametrize(
    ("rate", "ceiling"),
    [("0", "100"), ("0.005", "100"), ("0.01", "99"), ("0.02", "49"), ("0.03", "33"), ("0.5", "1"), ("1", "1")],
)
def test_no_leverage_is_on_offer_at_which_a_position_is_born_in_liquidation(rate: str, ceiling: str) -> None:
    on = terms(maintenance=rate)
    assert leverage_ceiling(on) == dec(ceiling)
    refused = check_terms(open_command("long", 1000, str(dec(ceiling) + 1), on=on))
    assert refused is not None
    assert refused.details["max"] == ceiling


@pytest.mark.parametrize(
    ("side", "reference", "slippage", "fills"),
    [
        ("long", "150", "1", True),  # ask 151 ≤ 151.5
        ("long", "149.50495050", "1", True),  # × 1.01 = 151.000000005
        ("long", "149.50495049", "1", False),  # × 1.01 = 150.9999999949
        ("long", "149", "1", False),  # 150.49
        ("long", "151", "0", True),
        ("long", "150.99", "0", False),
        ("short", "150", "1", True),  # bid 149 ≥ 148.5
        ("short", "151", "1", False),  # 149.49
        ("short", "149", "0", True),
        ("long", "200", "0", True),  # better than asked for is no slippage
        ("short", "100", "0", True),
        ("long", "1", None, True),  # no tolerance given: no check
        ("long", None, "1", True),
    ],
)
def test_slippage_guards_the_fill_of_an_opening(
    side: Side, reference: str | None, slippage: str | None, fills: bool
) -> None:
    cell = StoredCell(quote("149", "151"))
    command = open_command(side, reference=reference, slippage=slippage)
    if fills:
        cell.opened(command)
    else:
        assert cell.rejected(command).code is RejectionCode.SLIPPAGE_EXCEEDED


@pytest.mark.parametrize(
    ("side", "reference", "fills"),
    [("long", "150", True), ("long", "151", False), ("short", "150", True), ("short", "149", False)],
)
def test_slippage_guards_the_fill_of_a_close(side: Side, reference: str, fills: bool) -> None:
    """A long sells at 149, a short buys at 151; 1 % is allowed."""
    cell = StoredCell(quote("149", "151"))
    opened = cell.opened(open_command(side))
    command = close_command(opened.position_id, reference=reference, slippage="1")
    if fills:
        cell.closed(command)
    else:
        assert cell.rejected(command).code is RejectionCode.SLIPPAGE_EXCEEDED
        assert opened.position_id in cell.row().positions
