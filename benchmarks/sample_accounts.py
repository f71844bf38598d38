"""Accounts and frames for the benchmarks: positions far from the market, so that only what should fire does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

from exness_streams.domain.account import AccountRow, Position, new_account
from exness_streams.domain.formulas import liquidation_price, opening_quantity
from exness_streams.domain.frames import FrameBuilder, PriceFrame
from exness_streams.domain.money import ZERO, money_arithmetic
from exness_streams.domain.quotes import Quote

SYMBOL = "SOL_USDC"
MARKET = Decimal(150)
SPREAD = Decimal("0.02")
TIME_MS = 1_700_000_000_000


def rows_of(count: int, seed: int = 1, *, with_limits: bool = True) -> Iterator[AccountRow]:
    """`count` positions of SYMBOL, ten to an account, long and short, none to fire within 10 % of the market.

    with_limits: with a stop loss and a take profit beside the liquidation price.
    """
    draw = random.Random(seed)
    with money_arithmetic():
        for first in range(0, count, 10):
            account_id = f"account-{first // 10}"
            positions = [_position(draw, first + nth, with_limits) for nth in range(min(10, count - first))]
            yield _row(account_id, positions)


def _row(account_id: str, positions: list[Position]) -> AccountRow:
    empty = new_account(account_id, Decimal(1_000_000))
    held = sum((position.margin for position in positions), ZERO)
    return AccountRow(
        account_id=account_id,
        cash=empty.cash - held,
        starting_balance=empty.cash,
        sequence=len(positions),
        positions={position.position_id: position for position in positions},
    )


def _position(draw: random.Random, number: int, with_limits: bool) -> Position:
    entry = MARKET + Decimal(draw.randint(-100, 100)) / 100
    leverage = Decimal(draw.randint(2, 8))
    # Distances in steps of a cent: many triggers share a price, as people's do.
    below, above = (entry - Decimal(draw.randint(1600, 6000)) / 100, entry + Decimal(draw.randint(1600, 6000)) / 100)
    is_long = draw.random() < 0.5
    return Position(
        position_id=f"pos_0_{number}",
        symbol=SYMBOL,
        asset="SOL",
        side="long" if is_long else "short",
        margin=Decimal(100),
        leverage=leverage,
        quantity=opening_quantity(Decimal(100), leverage, entry),
        entry_price=entry,
        liquidation_price=liquidation_price("long" if is_long else "short", entry, leverage, ZERO),
        fee_rate=ZERO,
        maintenance_margin_rate=ZERO,
        fee=ZERO,
        opened_ms=TIME_MS,
        stop_loss=(below if is_long else above) if with_limits else None,
        take_profit=(above if is_long else below) if with_limits else None,
    )


def firing_rows(rungs: int, each: int) -> Iterator[AccountRow]:
    """Longs in a ladder above the others' triggers: on each cent below the market `each` stop losses wait."""
    with money_arithmetic():
        for rung in range(rungs):
            for nth in range(each):
                name = f"{rung}_{nth}"
                position = _position(random.Random(rung), 0, True)
                fields = {field: getattr(position, field) for field in position.__struct_fields__}
                fields.update(
                    position_id=f"pos_1_{name}",
                    side="long",
                    entry_price=MARKET,
                    quantity=opening_quantity(Decimal(100), Decimal(2), MARKET),
                    leverage=Decimal(2),
                    liquidation_price=MARKET / 2,
                    stop_loss=rung_price(rung),
                    take_profit=None,
                )
                yield _row(f"ladder-{name}", [Position(**fields)])


def rung_price(rung: int) -> Decimal:
    """Where a rung of the ladder stands: below all quotes of `walk`."""
    return MARKET - 2 - Decimal(rung) / 100


class FrameMaker:
    """Frames from ticks, as the market agent makes them for cells that go by the newest rules."""

    def __init__(self) -> None:
        self._builder = FrameBuilder(0, epoch=1, by_offset=True)
        self._sequence = 0

    def frame(self, middles: list[Decimal]) -> PriceFrame:
        """One frame of ticks around these prices."""
        for middle in middles:
            self._sequence += 1
            time_ms = TIME_MS + self._sequence
            quote = Quote(self._sequence, time_ms, middle, middle - SPREAD / 2, middle + SPREAD / 2)
            self._builder.add(SYMBOL, quote, offset=self._sequence - 1, received_ms=time_ms)
        frame = self._builder.cut(TIME_MS + self._sequence)
        assert frame is not None, "a frame needs a quote that moved"
        return frame


def walk(draw: random.Random, ticks: int) -> list[Decimal]:
    """`ticks` prices within a dollar of the market, the first always another than the market's."""
    return [MARKET + Decimal(draw.randint(1, 99)) / 100 + Decimal(nth) / 1000 for nth in range(ticks)]
