"""Every rejection the domain can give, and which of two comes first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import msgspec
import pytest
from trading_samples import NOW_MS, SOL, StoredCell, close_command, dec, flat, frame, open_command, quote, terms

from exness_streams.domain.commands import ClosePosition, Command
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits
from exness_streams.domain.rejections import Rejection, RejectionCode

Code = RejectionCode


class Case:
    """An account with one position and one used key, and a command at which nothing is wrong yet."""

    def __init__(self, command: Command) -> None:
        self.cell = StoredCell(quote("99.9", "100", price="100"))
        self.cell.opened(open_command("long", 1000, 2, key="used", fingerprint="another body"))
        self.command = command

    def change(self, **fields: object) -> None:
        self.command = msgspec.structs.replace(self.command, **fields)


def conflict(case: Case) -> None:
    case.change(idempotency=open_command(key="used").idempotency)


def wrong_leverage(case: Case) -> None:
    case.change(leverage=dec(101))


def wrong_margin(case: Case) -> None:
    case.change(margin=dec("0.5"))


def unknown_position(case: Case) -> None:
    case.change(position_id="pos_0_99")


def no_ask_no_bid(case: Case) -> None:
    case.cell.fold(frame(quote(None, None, 2)))


def stale(case: Case) -> None:
    case.change(time_ms=NOW_MS + 5001)


def wide_spread(case: Case) -> None:
    """Bought at 100, worth 90: at leverage 50 that is beyond the liquidation price of 98."""
    case.cell.fold(frame(quote("90", "100", 2)))
    case.change(leverage=dec(50))


def dear(case: Case) -> None:
    """1 USD buys less than 0.00000001 at this price."""
    case.cell.fold(frame(quote("999999999.9", "1000000000", 2, price="1000000000")))
    case.change(margin=dec(1), leverage=dec(1))


def too_much(case: Case) -> None:
    case.change(margin=dec(9001))


def slipped(case: Case) -> None:
    closing = isinstance(case.command, ClosePosition)
    case.change(reference_price=dec(10**6 if closing else "0.01"), slippage_percent=dec(1))


def full(case: Case) -> None:
    case.change(limits=Limits(open_positions_max=1))


Wrong = Callable[[Case], None]

OPENING: list[tuple[Wrong, RejectionCode]] = [
    (conflict, Code.IDEMPOTENCY_CONFLICT),
    (wrong_leverage, Code.INVALID_LEVERAGE),
    (wrong_margin, Code.INVALID_MARGIN),
    (stale, Code.PRICE_UNAVAILABLE),
    (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
    (wide_spread, Code.INVALID_LEVERAGE),  # needs the price
    (dear, Code.INVALID_MARGIN),  # needs the price
    (too_much, Code.INSUFFICIENT_MARGIN),
    (slipped, Code.SLIPPAGE_EXCEEDED),
    (full, Code.LIMIT_REACHED),
]
"""What can be wrong with an order to open, in the order in which it is refused."""

CLOSING: list[tuple[Wrong, RejectionCode]] = [
    (conflict, Code.IDEMPOTENCY_CONFLICT),
    (unknown_position, Code.POSITION_NOT_FOUND),
    (stale, Code.PRICE_UNAVAILABLE),
    (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
    (slipped, Code.SLIPPAGE_EXCEEDED),
]

TOGETHER_IMPOSSIBLE = {
    (no_ask_no_bid, wide_spread),  # one quote is the newest
    (no_ask_no_bid, dear),
    (wide_spread, dear),
    (wrong_leverage, wide_spread),  # one field, two values
    (wrong_leverage, dear),
    (wrong_margin, dear),
    (wrong_margin, too_much),
    (dear, too_much),
}


def refusal(command: Command, *wrongs: Wrong) -> Rejection:
    case = Case(command)
    for wrong in wrongs:
        wrong(case)
    before = case.cell.row()
    rejection = case.cell.rejected(case.command)
    assert case.cell.row() == before
    return rejection


@pytest.mark.parametrize(("wrong", "code"), OPENING)
def test_each_refusal_of_an_opening(wrong: Wrong, code: RejectionCode) -> None:
    assert refusal(open_command(), wrong).code is code


@pytest.mark.parametrize(("wrong", "code"), CLOSING)
def test_each_refusal_of_a_close(wrong: Wrong, code: RejectionCode) -> None:
    assert refusal(close_command("pos_0_1"), wrong).code is code


def pairs(table: list[tuple[Wrong, RejectionCode]]) -> list[tuple[Wrong, Wrong, RejectionCode]]:
    return [
        (first, second, code)
        for (first, code), (second, _) in combinations(table, 2)
        if (first, second) not in TOGETHER_IMPOSSIBLE
    ]


@pytest.mark.parametrize(("first", "second", "code"), pairs(OPENING))
def test_of_two_reasons_against_an_opening_the_earlier_is_told(
    first: Wrong, second: Wrong, code: RejectionCode
) -> None:
    assert refusal(open_command(), first, second).code is code
    assert refusal(open_command(), second, first).code is code


@pytest.mark.parametrize(("first", "second", "code"), pairs(CLOSING))
def test_of_two_reasons_against_a_close_the_earlier_is_told(first: Wrong, second: Wrong, code: RejectionCode) -> None:
    assert refusal(close_command("pos_0_1"), first, second).code is code
    assert refusal(close_command("pos_0_1"), second, first).code is code


def test_nothing_wrong_is_not_refused() -> None:
    cell = Case(open_command()).cell
    cell.opened(open_command())
    cell.closed(close_command("pos_0_1"))


@pytest.mark.parametrize("table", [OPENING, CLOSING], ids=["opening", "closing"])
def test_the_codes_are_listed_in_their_order(table: list[tuple[Wrong, RejectionCode]]) -> None:
    order = list(RejectionCode)
    ranks = [order.index(code) for wrong, code in table if wrong not in (wide_spread, dear)]
    assert ranks == sorted(ranks)


def test_a_market_without_any_quote_or_with_the_wrong_side_only() -> None:
    assert StoredCell().rejected(open_command()).code is Code.PRICE_UNAVAILABLE
    only_bid = StoredCell(quote("100", None, price="100"))
    assert only_bid.rejected(open_command("long")).code is Code.PRICE_UNAVAILABLE
    short = only_bid.opened(open_command("short"))
    refused = only_bid.rejected(close_command(short.position_id))
    assert (refused.code, refused.details) == (Code.PRICE_UNAVAILABLE, {"symbol": SOL})


def test_a_quote_fills_until_it_is_older_than_allowed() -> None:
    cell = StoredCell(flat(100))
    cell.opened(open_command(time_ms=NOW_MS + 5000))
    assert cell.rejected(open_command(time_ms=NOW_MS + 5001)).code is Code.PRICE_UNAVAILABLE


def test_another_symbols_price_is_no_price() -> None:
    cell = StoredCell()
    cell.fold(PriceFrame(NOW_MS, (SymbolFrame("BTC_USDC", flat(100)),)))
    assert cell.rejected(open_command(on=terms(SOL))).code is Code.PRICE_UNAVAILABLE


def test_details_are_for_programs() -> None:
    assert refusal(open_command(), wrong_leverage).details == {"field": "leverage", "min": "1", "max": "100"}
    assert refusal(open_command(), too_much).details == {"required": "9001", "available": "9000"}
    assert refusal(open_command(), full).details == {"max": 1}
    assert refusal(close_command("pos_0_1"), unknown_position).details == {"positionId": "pos_0_99"}


def test_limits_count_positions_that_are_open_now() -> None:
    cell = StoredCell(flat(100))
    one = Limits(open_positions_max=1)
    first = cell.opened(open_command(limits=one))
    assert cell.rejected(open_command(limits=one)).code is Code.LIMIT_REACHED
    cell.closed(close_command(first.position_id))
    cell.opened(open_command(limits=one))
