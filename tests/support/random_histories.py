"""Random histories of a cell: what clients and markets do, and the commands that it becomes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from exness_streams.domain.instruments import Terms
from exness_streams.domain.quotes import Quote

SYMBOLS = ("BTC_USDC", "ETH_USDC", "SOL_USDC")
ACCOUNTS = ("ann", "bob", "eve")

TERMS = {
    "BTC_USDC": ("0", "0", None),
    "ETH_USDC": ("0.001", "0.005", "0.25"),
    "SOL_USDC": ("0.0007", "0", "0.001"),
}
"""Fee rate, maintenance margin rate and step of quantities."""


class Move(NamedTuple):
    """One tick: prices in tenths, so that many of them touch a trigger exactly."""

    symbol: int
    middle: int
    spread: int
    has_bid: bool
    has_ask: bool


class Buy(NamedTuple):
    """An order to open, of either side. stop, take: tenths of a dollar away from 100, on the right side when > 0."""

    account: int
    symbol: int
    long: bool
    margin: str
    leverage: str
    slippage: str | None
    stop: int | None
    take: int | None


class Wait(NamedTuple):
    """A limit or stop order. price: tenths, on the side of 100 where such an order waits when > 0. expires_in: ms."""

    buy: Buy
    is_limit: bool
    price: int
    expires_in: int | None


class Sell(NamedTuple):
    """An order to close. nth: of the live positions, or (any_ever) of all there ever were; by its owner or a stranger.

    part: ("quantity" or "percentage", how much).
    """

    account: int | None
    nth: int
    any_ever: bool
    slippage: str | None
    part: tuple[str, str] | None


class Modify(NamedTuple):
    """New stop loss or take profit, tenths from 100; 0 clears, None leaves as it is."""

    account: int | None
    nth: int
    any_ever: bool
    stop: int | None
    take: int | None


class Cancel(NamedTuple):
    account: int | None
    nth: int
    any_ever: bool


class CloseAll(NamedTuple):
    account: int


class Pay(NamedTuple):
    account: int
    amount: str


class Reset(NamedTuple):
    account: int


Order = Buy | Wait | Sell | Modify | Cancel | CloseAll | Pay | Reset


class Timed(NamedTuple):
    """When: ms since the action before, or a little back; clocks of two processes are never quite the same."""

    after_ms: int
    action: list[Move] | Order


CALM, WIDE, GAP = [(995, 1005), (980, 1020)], (900, 1100), (3, 4000)

moves = st.builds(
    Move,
    symbol=st.integers(0, len(SYMBOLS) - 1),
    # Mostly near 100, so that positions live a while; sometimes a gap.
    middle=st.sampled_from([*CALM, *CALM, *CALM, *CALM, WIDE, GAP]).flatmap(lambda bounds: st.integers(*bounds)),
    spread=st.integers(0, 2),
    has_bid=st.integers(0, 14).map(bool),
    has_ask=st.integers(0, 14).map(bool),
)
batches = st.lists(moves, min_size=3, max_size=12)
exits = st.sampled_from([None, None, None, None, None, None, 3, 6, 15, 30, -4])
buys = st.builds(
    Buy,
    account=st.integers(0, len(ACCOUNTS) - 1),
    symbol=st.integers(0, len(SYMBOLS) - 1),
    long=st.booleans(),
    margin=st.sampled_from(
        ["250", "777.000000015", "250", "1", "60.5", "777.000000015", "250", "9999.99999999", "10001", "0.5"]
    ),
    leverage=st.sampled_from(["50", "99", "20", "100", "7.5", "3", "20", "1", "70", "101"]),
    slippage=st.sampled_from([None, None, "0", "1"]),
    stop=exits,
    take=exits,
)
waits = st.builds(
    Wait,
    buy=buys,
    is_limit=st.booleans(),
    price=st.sampled_from([6, 9, 12, 15, 20, 20, 40, 0, -6]),
    expires_in=st.sampled_from([None, None, None, 0, 3, 8, 20]),
)
strangers = st.sampled_from([None, None, None, None, 0])
rarely = st.integers(0, 7).map(lambda number: number == 0)
parts = st.one_of(
    st.none(),
    st.tuples(st.just("percentage"), st.sampled_from(["50", "33.3", "99.99", "100", "0.00000001", "7.125"])),
    st.tuples(st.just("quantity"), st.sampled_from(["1", "0.5", "0.00000001", "12.34567891", "1000000"])),
)
sells = st.builds(
    Sell,
    account=strangers,
    nth=st.integers(0, 30),
    any_ever=rarely,
    slippage=st.sampled_from([None, None, "1"]),
    part=parts,
)
changes = st.sampled_from([None, 0, 3, 8, 20, -3])
modifies = st.builds(Modify, strangers, st.integers(0, 30), rarely, changes, changes)
cancels = st.builds(Cancel, strangers, st.integers(0, 30), rarely)
accounts = st.integers(0, len(ACCOUNTS) - 1)
gaps_ms = st.sampled_from([0, 1, 1, 2, 5, -1])


def timed(actions: st.SearchStrategy[Any]) -> st.SearchStrategy[Timed]:
    return st.builds(Timed, gaps_ms, actions)


def first_batch(symbol: int) -> st.SearchStrategy[Timed]:
    """Gives a symbol a price, so that most orders fill."""
    calm = moves.map(lambda move: [move._replace(symbol=symbol, middle=1000, has_bid=True, has_ask=True)])
    return timed(calm)


def histories_of(**weights: int) -> st.SearchStrategy[list[Timed]]:
    """So many of each kind in a hundred actions or so."""
    chosen = st.sampled_from([name for name, weight in weights.items() for _ in range(weight)])
    action = chosen.flatmap(lambda name: timed(KINDS[name]))
    return st.tuples(st.tuples(*map(first_batch, range(len(SYMBOLS)))), st.lists(action, min_size=15, max_size=40)).map(
        lambda both: [*both[0], *both[1]]
    )


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "batches": batches,
    "buys": buys,
    "waits": waits,
    "sells": sells,
    "modifies": modifies,
    "cancels": cancels,
    "close_alls": st.builds(CloseAll, accounts),
    "pays": st.builds(Pay, accounts, st.sampled_from(["0.00000001", "100", "5000", "1000000000000"])),
    "resets": st.builds(Reset, accounts),
}
histories = histories_of(batches=30, buys=22, waits=22, sells=12, modifies=9, cancels=3, close_alls=4, pays=2, resets=1)
without_entries = histories_of(batches=34, buys=36, sells=14, modifies=12, close_alls=4, pays=1, resets=1)
"""No pending orders: what such an order becomes depends on where its frame ends."""


def quote_of(move: Move, nth: int) -> Quote:
    middle = Decimal(move.middle)
    return Quote(
        sequence=nth,
        time_ms=nth,
        price=middle / 10,
        bid=(middle - move.spread) / 10 if move.has_bid and move.middle > move.spread else None,
        ask=(middle + move.spread) / 10 if move.has_ask else None,
    )


def terms_of(symbol: str) -> Terms:
    fee_rate, maintenance, step = TERMS[symbol]
    return Terms(
        symbol=symbol,
        leverage_max=Decimal(100),
        margin_min=Decimal(1),
        fee_rate=Decimal(fee_rate),
        maintenance_margin_rate=Decimal(maintenance),
        step_size=None if step is None else Decimal(step),
    )


def price_at(tenths: int) -> Decimal:
    """So far from 100."""
    return (1000 + Decimal(tenths)) / 10


def stop_price(long: bool, tenths: int | None) -> Decimal | None:
    return None if tenths is None else price_at(-tenths if long else tenths)


def take_price(long: bool, tenths: int | None) -> Decimal | None:
    return None if tenths is None else price_at(tenths if long else -tenths)
