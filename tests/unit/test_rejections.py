"""Every rejection the domain can give, for every command, and which of two comes first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import msgspec
import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    cancel_command,
    close_all_command,
    close_command,
    dec,
    deposit_command,
    flat,
    frame,
    modify_command,
    open_command,
    place_command,
    quote,
    reset_command,
    terms,
)

from exness_streams.domain import rules
from exness_streams.domain.codec import PositionsClosed
from exness_streams.domain.commands import ClosePosition, Command
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.instruments import Limits
from exness_streams.domain.rejections import OF_ACCESS, Rejection, RejectionCode

Code = RejectionCode


class Case:
    """An account with a position, a pending order and a used key, and a command at which nothing is wrong yet."""

    def __init__(self, command: Command, by_rules: int = rules.FIRST) -> None:
        self.cell = StoredCell(by_rules=by_rules)
        self.cell.fold(frame(quote("99.9", "100", price="100")))
        self.cell.opened(open_command("long", 1000, 2, key="used", fingerprint="another body"))  # pos_0_1
        self.cell.placed(place_command("long", "limit", 90, 500))  # ord_0_2
        self.command = command

    def change(self, **fields: object) -> None:
        self.command = msgspec.structs.replace(self.command, **fields)


def conflict(case: Case) -> None:
    case.change(idempotency=open_command(key="used").idempotency)


def over_by_now(case: Case) -> None:
    """The clock has reached the expiry."""
    case.change(expires_ms=NOW_MS)


def wrong_leverage(case: Case) -> None:
    case.change(leverage=dec(101))


def wrong_margin(case: Case) -> None:
    case.change(margin=dec("0.5"))


def unknown_position(case: Case) -> None:
    case.change(position_id="pos_0_99")


def position_of_another(case: Case) -> None:
    case.change(account_id="eve")


def unknown_order(case: Case) -> None:
    case.change(order_id="ord_0_99")


def no_ask_no_bid(case: Case) -> None:
    case.cell.fold(frame(quote(None, None, 2)))


def stale(case: Case) -> None:
    case.change(time_ms=NOW_MS + 5001)


def wide_spread(case: Case) -> None:
    """Bought at 100, worth 90: at leverage 50 that is beyond the liquidation price of 98."""
    case.cell.fold(frame(quote("90.1", "100", 2)))
    case.change(leverage=dec(50))


def dear(case: Case) -> None:
    """1 USD buys less than 0.00000001 at this price."""
    case.cell.fold(frame(quote("999999999.9", "1000000000", 2, price="1000000000")))
    case.change(margin=dec(1), leverage=dec(1))


def dear_order(case: Case) -> None:
    """The same at the order's price, which as a limit of a buyer is above the market, too."""
    case.change(price=dec(10**9), margin=dec(1), leverage=dec(1))


def dear_at_market(case: Case) -> None:
    """The same at the market of a limit order that takes any price."""
    dear(case)
    case.change(price=dec(2 * 10**9))


def there_already(case: Case) -> None:
    case.change(price=dec(100))


def stop_in_the_money(case: Case) -> None:
    case.change(stop_loss=dec(10**6))


def profit_in_the_money(case: Case) -> None:
    case.change(take_profit=dec("0.01"))


def too_large_a_part(case: Case) -> None:
    case.change(quantity=dec("20.00000001"))


def too_small_a_part(case: Case) -> None:
    """20 × 0.00000001 % is less than 0.00000001."""
    case.change(percentage=dec("0.00000001"))


def too_much(case: Case) -> None:
    case.change(margin=dec(8501))


def slipped(case: Case) -> None:
    closing = isinstance(case.command, ClosePosition)
    case.change(reference_price=dec(10**6 if closing else "0.01"), slippage_percent=dec(1))


def full(case: Case) -> None:
    case.change(limits=Limits(open_max=2))


def exposed(case: Case) -> None:
    case.change(limits=Limits(exposure_max=dec(3001)))


def too_rich(case: Case) -> None:
    case.change(amount=dec(10**12 - 9999))


Wrong = Callable[[Case], None]


class Table(NamedTuple):
    """What can be wrong with a command, in the order in which it is refused. late: known only with the price."""

    command: Command
    wrongs: list[tuple[Wrong, RejectionCode]]
    late: tuple[Wrong, ...] = ()
    by_rules: int = rules.FIRST


TABLES = {
    "open": Table(
        open_command(),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (wrong_leverage, Code.INVALID_LEVERAGE),
            (wrong_margin, Code.INVALID_MARGIN),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (wide_spread, Code.INVALID_LEVERAGE),
            (dear, Code.INVALID_MARGIN),
            (stop_in_the_money, Code.INVALID_TRIGGER),
            (profit_in_the_money, Code.INVALID_TRIGGER),
            (too_much, Code.INSUFFICIENT_MARGIN),
            (slipped, Code.SLIPPAGE_EXCEEDED),
            (full, Code.LIMIT_REACHED),
            (exposed, Code.LIMIT_REACHED),
        ],
        (wide_spread, dear),
    ),
    "place": Table(
        place_command("long", "limit", 95),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (over_by_now, Code.INVALID_REQUEST),
            (wrong_leverage, Code.INVALID_LEVERAGE),
            (wrong_margin, Code.INVALID_MARGIN),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (dear_order, Code.INVALID_MARGIN),
            (there_already, Code.INVALID_TRIGGER),
            (stop_in_the_money, Code.INVALID_TRIGGER),
            (profit_in_the_money, Code.INVALID_TRIGGER),
            (too_much, Code.INSUFFICIENT_MARGIN),
            (full, Code.LIMIT_REACHED),
            (exposed, Code.LIMIT_REACHED),
        ],
        (over_by_now, dear_order),
    ),
    "place, by the rules of orders at the market": Table(
        place_command("long", "stop", 105),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (over_by_now, Code.INVALID_REQUEST),
            (wrong_leverage, Code.INVALID_LEVERAGE),
            (wrong_margin, Code.INVALID_MARGIN),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (wide_spread, Code.INVALID_LEVERAGE),
            (dear_order, Code.INVALID_MARGIN),
            (there_already, Code.INVALID_TRIGGER),
            (stop_in_the_money, Code.INVALID_TRIGGER),
            (profit_in_the_money, Code.INVALID_TRIGGER),
            (too_much, Code.INSUFFICIENT_MARGIN),
            (full, Code.LIMIT_REACHED),
            (exposed, Code.LIMIT_REACHED),
        ],
        (over_by_now, wide_spread, dear_order),
        rules.ORDERS_AT_MARKET,
    ),
    "place at the market": Table(
        place_command("long", "limit", 100),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (over_by_now, Code.INVALID_REQUEST),
            (wrong_leverage, Code.INVALID_LEVERAGE),
            (wrong_margin, Code.INVALID_MARGIN),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (wide_spread, Code.INVALID_LEVERAGE),
            (dear_at_market, Code.INVALID_MARGIN),
            (stop_in_the_money, Code.INVALID_TRIGGER),
            (profit_in_the_money, Code.INVALID_TRIGGER),
            (too_much, Code.INSUFFICIENT_MARGIN),
            (full, Code.LIMIT_REACHED),
            (exposed, Code.LIMIT_REACHED),
        ],
        (over_by_now, wide_spread, dear_at_market),
        rules.ORDERS_AT_MARKET,
    ),
    "close": Table(
        close_command("pos_0_1"),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (unknown_position, Code.POSITION_NOT_FOUND),
            (position_of_another, Code.POSITION_NOT_FOUND),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (too_large_a_part, Code.INVALID_REQUEST),
            (too_small_a_part, Code.INVALID_REQUEST),
            (slipped, Code.SLIPPAGE_EXCEEDED),
        ],
        (too_large_a_part, too_small_a_part),
    ),
    "modify": Table(
        modify_command("pos_0_1", stop="60", take="200"),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (unknown_position, Code.POSITION_NOT_FOUND),
            (position_of_another, Code.POSITION_NOT_FOUND),
            (stale, Code.PRICE_UNAVAILABLE),
            (no_ask_no_bid, Code.PRICE_UNAVAILABLE),
            (stop_in_the_money, Code.INVALID_TRIGGER),
            (profit_in_the_money, Code.INVALID_TRIGGER),
        ],
    ),
    "cancel": Table(
        cancel_command("ord_0_2"),
        [
            (conflict, Code.IDEMPOTENCY_CONFLICT),
            (unknown_order, Code.ORDER_NOT_FOUND),
            (position_of_another, Code.ORDER_NOT_FOUND),
        ],
    ),
    "deposit": Table(
        deposit_command(), [(conflict, Code.IDEMPOTENCY_CONFLICT), (too_rich, Code.LIMIT_REACHED)]
    ),
    "close all": Table(close_all_command(), [(conflict, Code.IDEMPOTENCY_CONFLICT)]),
    "reset": Table(reset_command(), [(conflict, Code.IDEMPOTENCY_CONFLICT)]),
}  # fmt: skip

TOGETHER_IMPOSSIBLE = {
    (conflict, position_of_another),  # keys belong to accounts
    (unknown_position, position_of_another),
    (unknown_order, position_of_another),
    (no_ask_no_bid, wide_spread),  # one quote is the newest
    (no_ask_no_bid, dear),
    (wide_spread, dear),
    (wrong_leverage, wide_spread),  # one field, two values
    (wrong_leverage, dear),
    (wrong_leverage, dear_order),
    (wrong_margin, dear),
    (wrong_margin, dear_order),
    (wrong_margin, too_much),
    (dear, too_much),
    (dear_order, too_much),
    (dear_order, there_already),
    (dear_order, exposed),  # so little a margin keeps within the limit
    (dear, exposed),
    (dear, stop_in_the_money),  # 10^6 is below this market
    (wide_spread, dear_order),
    (no_ask_no_bid, dear_at_market),
    (wide_spread, dear_at_market),
    (wrong_leverage, dear_at_market),
    (wrong_margin, dear_at_market),
    (dear_at_market, too_much),
    (dear_at_market, exposed),
    (dear_at_market, stop_in_the_money),
}

CASES = [pytest.param(table, wrong, code, id=f"{name}: {wrong.__name__}")
         for name, table in TABLES.items() for wrong, code in table.wrongs]  # fmt: skip
PAIRS = [
    pytest.param(table, first, second, code, id=f"{name}: {first.__name__}, {second.__name__}")
    for name, table in TABLES.items()
    for (first, code), (second, _) in combinations(table.wrongs, 2)
    if (first, second) not in TOGETHER_IMPOSSIBLE
]


def refusal(command: Command, *wrongs: Wrong, by_rules: int = rules.FIRST) -> Rejection:
    case = Case(command, by_rules)
    for wrong in wrongs:
        wrong(case)
    before = case.cell.entries()
    rejection = case.cell.rejected(case.command)
    assert case.cell.entries() == before
    return rejection


@pytest.mark.parametrize(("table", "wrong", "code"), CASES)
def test_each_refusal(table: Table, wrong: Wrong, code: RejectionCode) -> None:
    assert refusal(table.command, wrong, by_rules=table.by_rules).code is code


@pytest.mark.parametrize(("table", "first", "second", "code"), PAIRS)
def test_of_two_reasons_the_earlier_is_told(table: Table, first: Wrong, second: Wrong, code: RejectionCode) -> None:
    assert refusal(table.command, first, second, by_rules=table.by_rules).code is code
    assert refusal(table.command, second, first, by_rules=table.by_rules).code is code


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_nothing_wrong_is_not_refused(table: Table) -> None:
    assert not isinstance(Case(table.command, table.by_rules).cell.outcome(table.command), Rejection)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_codes_are_listed_in_their_order(table: Table) -> None:
    order = list(RejectionCode)
    ranks = [order.index(code) for wrong, code in table.wrongs if wrong not in table.late]
    assert ranks == sorted(ranks)


def test_every_code_of_the_fold_is_in_a_table() -> None:
    told = {code for table in TABLES.values() for _, code in table.wrongs}
    assert told == set(RejectionCode) - {Code.UNKNOWN_ASSET} - OF_ACCESS  # those: tests/unit/test_identity.py


def test_a_market_without_any_quote_or_with_the_wrong_side_only() -> None:
    assert StoredCell().rejected(open_command()).code is Code.PRICE_UNAVAILABLE
    only_bid = StoredCell(quote("100", None, price="100"))
    assert only_bid.rejected(open_command("long")).code is Code.PRICE_UNAVAILABLE
    short = only_bid.opened(open_command("short"))
    refused = only_bid.rejected(close_command(short.position_id))
    assert (refused.code, refused.details) == (Code.PRICE_UNAVAILABLE, {"symbol": SOL})
    assert only_bid.rejected(place_command("long", "limit", 90)).code is Code.PRICE_UNAVAILABLE
    only_bid.placed(place_command("short", "limit", 110))
    assert only_bid.rejected(modify_command(short.position_id, stop="120")).code is Code.PRICE_UNAVAILABLE
    assert not isinstance(only_bid.outcome(modify_command(short.position_id, stop=None, take=None)), Rejection)


def test_a_quote_fills_until_it_is_older_than_allowed() -> None:
    cell = StoredCell(flat(100))
    cell.opened(open_command(time_ms=NOW_MS + 5000))
    assert cell.rejected(open_command(time_ms=NOW_MS + 5001)).code is Code.PRICE_UNAVAILABLE
    cell.placed(place_command(time_ms=NOW_MS + 5000))
    assert cell.rejected(place_command(time_ms=NOW_MS + 5001)).code is Code.PRICE_UNAVAILABLE


def test_another_symbols_price_is_no_price() -> None:
    cell = StoredCell()
    cell.fold(PriceFrame(NOW_MS, (SymbolFrame("BTC_USDC", flat(100)),)))
    assert cell.rejected(open_command(on=terms(SOL))).code is Code.PRICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("command", "wrong", "details"),
    [
        (open_command(), wrong_leverage, {"field": "leverage", "min": "1", "max": "100"}),
        (open_command(), wrong_margin, {"field": "margin", "min": "1", "max": "1000000000000"}),
        (open_command(), too_much, {"required": "8501", "available": "8500"}),
        (open_command(), full, {"limit": "open", "max": 2}),
        # 1000 × 2 of the position, 500 × 2 of the order, 1000 × 2 of this one
        (open_command(), exposed, {"limit": "exposure", "max": "3001", "required": "5000"}),
        (open_command(), stop_in_the_money, {"field": "stopLoss", "above": "50", "below": "99.9"}),
        (open_command(), profit_in_the_money, {"field": "takeProfit", "above": "99.9"}),
        (place_command(), over_by_now, {"field": "expiresAt", "min": str(NOW_MS + 1)}),
        (place_command(), there_already, {"field": "price", "below": "100"}),
        (place_command("long", "stop", 110), there_already, {"field": "price", "above": "100"}),
        (place_command("short", "stop", 90), there_already, {"field": "price", "below": "99.9"}),
        (close_command("pos_0_1"), unknown_position, {"positionId": "pos_0_99"}),
        (close_command("pos_0_1"), too_large_a_part, {"field": "quantity", "max": "20"}),
        (close_command("pos_0_1"), too_small_a_part, {"field": "percentage", "max": "20"}),
        (cancel_command("ord_0_2"), unknown_order, {"orderId": "ord_0_99"}),
        (deposit_command(), too_rich, {"limit": "balance", "max": "1000000000000"}),
    ],
)  # fmt: skip
def test_details_are_for_programs(command: Command, wrong: Wrong, details: dict[str, str | int]) -> None:
    assert refusal(command, wrong).details == details


def test_a_close_all_refuses_each_position_by_itself() -> None:
    case = Case(close_all_command())
    no_ask_no_bid(case)
    outcome = case.cell.outcome(case.command)
    assert isinstance(outcome, PositionsClosed)
    (result,) = outcome.results
    assert isinstance(result.outcome, Rejection)
    assert (result.position_id, result.outcome.code) == ("pos_0_1", Code.PRICE_UNAVAILABLE)
