"""What a record costs that sets off 8 000 items of a cell at once: everybody's stop loss, or a rush of fills.

Items that share one price (a round number), or one moment, beside as many with one each; and 200 items of an account
beside one. The ratios are of one run, its rounds taking turns.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median

import msgspec
from figures import Figure, report
from sample_accounts import MARKET, SYMBOL, TIME_MS

from exness_streams.domain import codec
from exness_streams.domain.account import AccountRow, PendingOrder, Position
from exness_streams.domain.cell import Cell
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.money import ZERO
from exness_streams.domain.quotes import Quote

ITEMS = 8_000
ROUNDS = 3
CROWD = 200
"""Items that an account may have."""

BELOW = Decimal(50)
"""Where what they share is; what each has alone lies within a few dollars above."""

Item = Position | PendingOrder


def _position(nth: int) -> Position:
    return Position(
        position_id=f"pos_0_{nth}",
        symbol=SYMBOL,
        asset="SOL",
        side="long",
        margin=Decimal(100),
        leverage=Decimal(2),
        quantity=Decimal("1.33333333"),
        entry_price=MARKET,
        liquidation_price=ZERO,
        fee_rate=ZERO,
        maintenance_margin_rate=ZERO,
        fee=ZERO,
        opened_ms=TIME_MS,
    )


def _order(nth: int) -> PendingOrder:
    return PendingOrder(
        order_id=f"ord_0_{nth}",
        symbol=SYMBOL,
        asset="SOL",
        side="long",
        kind="limit",
        price=BELOW,
        margin=Decimal(100),
        leverage=Decimal(2),
        quantity=Decimal(4),
        reserved_fee=ZERO,
        fee_rate=ZERO,
        maintenance_margin_rate=ZERO,
        placed_ms=TIME_MS,
    )


def _price(step: int) -> Decimal:
    return BELOW + Decimal(step) / 1000


STORMS: dict[str, Callable[[int, int], Item]] = {
    "stop losses": lambda nth, step: msgspec.structs.replace(_position(nth), stop_loss=_price(step)),
    "liquidations": lambda nth, step: msgspec.structs.replace(_position(nth), liquidation_price=_price(step)),
    "entries": lambda nth, step: msgspec.structs.replace(_order(nth), price=_price(step)),
    "orders' ends": lambda nth, step: msgspec.structs.replace(
        _order(nth), price=BELOW / 2, expires_ms=TIME_MS + 1 + step
    ),
}


def rows_of(storm: str, each: int, *, shared: bool) -> list[AccountRow]:
    """ITEMS of a kind, `each` to an account, in accounts whose names do not follow their age."""
    rows = []
    for first in range(0, ITEMS, each):
        items = [STORMS[storm](nth, 0 if shared else nth) for nth in range(first, first + each)]
        held = sum((item.margin for item in items), ZERO)
        rows.append(
            AccountRow(
                account_id=f"account-{first * 7919 % 1_000_003:07d}",
                cash=Decimal(10_000),
                starting_balance=held + 10_000,
                positions={item.position_id: item for item in items if isinstance(item, Position)},
                orders={item.order_id: item for item in items if isinstance(item, PendingOrder)},
            )
        )
    return sorted(rows, key=lambda row: row.account_id)


def fold_s(rows: list[AccountRow]) -> float:
    """Seconds of the event loop for the record that sets all of them off."""
    entries = {codec.row_key(row.account_id): codec.encode(row) for row in rows}
    cell = Cell(0, entries.get)
    cell.load(0, rows, [(SYMBOL, Quote(1, TIME_MS, MARKET, MARKET, MARKET))])
    low = BELOW - 1
    frame = PriceFrame(TIME_MS + 1 + ITEMS, (SymbolFrame(SYMBOL, Quote(2, TIME_MS + 1, low, low, low)),))
    gc.collect()
    begun_ns = time.perf_counter_ns()
    folded = cell.fold(0, frame)
    taken_s = (time.perf_counter_ns() - begun_ns) / 1e9
    if len(folded.events) < ITEMS:
        raise RuntimeError(f"only {len(folded.events)} events: some items were not set off")
    return taken_s


def measure() -> list[Figure]:
    """All figures of this benchmark."""
    found = []
    for storm in STORMS:
        ways = {
            "shared": rows_of(storm, 1, shared=True),
            "own": rows_of(storm, 1, shared=False),
            "crowd": rows_of(storm, CROWD, shared=True),
        }
        costs: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, rows in ways.items():
                costs[way].append(fold_s(rows))
        middle = {way: median(taken) for way, taken in costs.items()}
        found.append(Figure(f"8 000 {storm} at one place, each", middle["shared"] / ITEMS * 1e6, "µs"))
        found.append(Figure("as many at one place / at one each", middle["shared"] / middle["own"], "×", at_most=1.5))
        found.append(Figure("200 to an account / one to each", middle["crowd"] / middle["shared"], "×", at_most=3))
    return found


if __name__ == "__main__":
    report(measure())
