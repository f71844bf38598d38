"""Prices of commands on their instrument's grid. Asked at the edge, which knows the exchange's tick sizes.

A command that is in the journal is folded whatever the tick size is then: a stop loss that was allowed stays one.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from exness_streams.api.errors import ApiError
from exness_streams.domain.commands import Command, ModifyPosition, OpenPosition, PlaceOrder
from exness_streams.domain.instruments import Terms
from exness_streams.domain.money import canonical
from exness_streams.domain.plain_numbers import plain
from exness_streams.domain.price_grid import nearest_on_grid


def check_grid(command: Command, terms: Terms | None) -> None:
    """400 INVALID_PRICE for the first price that is not a multiple of the tick size, with the nearest ones that are.

    terms: as they are now, of the command's instrument; None when there is none.
    """
    if terms is None or terms.tick_size is None:
        return
    for field, price in _prices_of(command):
        nearest = nearest_on_grid(price, terms.tick_size)
        if not nearest:
            continue
        allowed, tick = [plain(one) for one in nearest], plain(canonical(terms.tick_size))
        raise ApiError(
            400,
            "INVALID_PRICE",
            f"{field} must be a multiple of {tick}, the tick size of {terms.symbol}: the nearest "
            f"{'is' if len(allowed) == 1 else 'are'} {' and '.join(allowed)}",
            {"field": field, "symbol": terms.symbol, "tickSize": tick, "nearest": allowed},
        )


def _prices_of(command: Command) -> Iterator[tuple[str, Decimal]]:
    if not isinstance(command, OpenPosition | PlaceOrder | ModifyPosition):
        return
    if isinstance(command, PlaceOrder):
        yield "price", command.price
    for field, price in (("stopLoss", command.stop_loss), ("takeProfit", command.take_profit)):
        if isinstance(price, Decimal):  # neither cleared nor left as it is
            yield field, price
