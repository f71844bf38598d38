"""Examples of the platform's arithmetic, computed by the platform itself, for the page to agree with.

`python tests/page/make_vectors.py` writes vectors.json anew; tests/unit/test_page_vectors.py says when that is due.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

from exness_streams.domain import formulas
from exness_streams.domain.account import AccountRow, Position, value_account
from exness_streams.domain.money import HUNDRED, ONE, can_be_step, money_arithmetic, to_money, to_price, to_quantity
from exness_streams.domain.quotes import Quote, Side

FILE = Path(__file__).with_name("vectors.json")
SEED = 20
COUNT = 250

SIDES: tuple[Side, Side] = ("long", "short")
TIES = ("0.000000005", "0.000000015", "-0.000000005", "-0.000000015", "2.500000005", "0.0000000050000000001", "0")
# The last three are none: not above 0, finer than 8 places, not told.
STEPS = ("0.01", "0.00001", "1000", "0.00000003", "2.5", "0", "0.000000015", None)

Vector = dict[str, str | None]


def number(rng: random.Random, digits: int, places: int) -> Decimal:
    """A positive number of at most so many digits and places."""
    return Decimal(rng.randint(1, 10 ** rng.randint(1, digits))).scaleb(-rng.randint(0, places))


def a_step(rng: random.Random) -> Decimal | None:
    """Of an instrument's quantities."""
    text = rng.choice(STEPS)
    return None if text is None else Decimal(text)


def enforced(step: Decimal | None) -> Decimal | None:
    """A step as an instrument's terms have it."""
    return step if step is not None and can_be_step(step) else None


def written(step: Decimal | None) -> str | None:
    """As the API writes it."""
    return None if step is None else f"{step:f}"


def a_position(rng: random.Random, symbol: str = "SOL_USDC", step: Decimal | None = None) -> Position:
    """A position such as a market order makes."""
    entry, leverage = number(rng, 9, 6), Decimal(rng.randint(1, 100))
    margin = to_money(number(rng, 9, 4)) + ONE
    rate = Decimal(rng.choice(["0", "0.005", "0.0025"]))
    side = rng.choice(SIDES)
    return Position(
        position_id=f"pos_0_{rng.randint(0, 10**9)}",
        symbol=symbol,
        asset="SOL",
        side=side,
        margin=margin,
        leverage=leverage,
        quantity=formulas.opening_quantity(margin, leverage, entry, enforced(step)),
        entry_price=entry,
        liquidation_price=formulas.liquidation_price(side, entry, leverage, rate),
        fee_rate=Decimal(rng.choice(["0", "0.0005", "0.00075"])),
        maintenance_margin_rate=rate,
        fee=Decimal(0),
        opened_ms=0,
    )


def _rounding(rng: random.Random) -> Iterator[Vector]:
    values = [Decimal(text) for text in TIES]
    values += [number(rng, 20, 18) * rng.choice((1, -1)) for _ in range(COUNT)]
    for value in values:
        step = a_step(rng)
        yield {
            "value": f"{value:f}",
            "money": str(to_money(value)),
            "quantity": str(to_quantity(value)),
            "step": written(step),
            "stepped": str(to_quantity(value, enforced(step))),
            "price": str(to_price(value)),
        }


def _quotients(rng: random.Random) -> Iterator[Vector]:
    for _ in range(COUNT):
        one, other = number(rng, 20, 18), number(rng, 12, 10)
        yield {"one": f"{one:f}", "other": f"{other:f}", "quotient": f"{one / other:f}"}


def _positions(rng: random.Random) -> Iterator[Vector]:
    for _ in range(COUNT):
        step = a_step(rng)
        position, rate = a_position(rng, step=step), Decimal(rng.choice(["0", "0.005"]))
        # Mostly nearby, so that the loss is not always capped.
        price = position.entry_price * Decimal(rng.randint(900, 1100)) / 1000
        percent = Decimal(rng.randint(1, 9999)).scaleb(-2)
        yield {
            "side": position.side,
            "margin": str(position.margin),
            "leverage": str(position.leverage),
            "entry": f"{position.entry_price:f}",
            "maintenanceRate": str(rate),
            "price": f"{price:f}",
            "feeRate": str(position.fee_rate),
            "step": written(step),
            "quantity": str(position.quantity),
            "percent": f"{percent:f}",
            "part": str(to_quantity(position.quantity * percent / HUNDRED, enforced(step))),
            "liquidation": str(
                formulas.liquidation_price(position.side, position.entry_price, position.leverage, rate)
            ),
            "fee": str(formulas.fill_fee(position.quantity, price, position.fee_rate)),
            "profit": str(position.unrealized_pnl(price)),
        }


def _accounts(rng: random.Random) -> Iterator[dict[str, object]]:
    for count in (0, 1, 2, 5, 20):
        positions = [a_position(rng, f"M{index}_USDC") for index in range(count)]
        quotes = {
            position.symbol: Quote(1, 0, position.entry_price, *_sides(rng, position.entry_price))
            for position in positions
            if rng.random() > 0.1
        }
        cash = to_money(number(rng, 9, 4))
        row = AccountRow(
            account_id="demo",
            cash=cash,
            starting_balance=cash,
            positions={position.position_id: position for position in positions},
        )
        value = value_account(row, quotes)
        yield {
            "balance": str(value.balance),
            "positions": [
                {
                    "side": position.side,
                    "symbol": position.symbol,
                    "entryPrice": f"{position.entry_price:f}",
                    "quantity": str(position.quantity),
                    "margin": str(position.margin),
                }
                for position in positions
            ],
            "quotes": {symbol: _quote_message(quote) for symbol, quote in quotes.items()},
            "equity": str(value.equity),
            "usedMargin": str(value.used_margin),
            "freeMargin": str(value.free_margin),
            "marginLevel": None if value.margin_level is None else str(value.margin_level),
            "unrealizedPnL": str(value.unrealized_pnl),
        }


def _sides(rng: random.Random, price: Decimal) -> tuple[Decimal | None, Decimal | None]:
    bid = price * Decimal(rng.randint(950, 1000)) / 1000
    ask = price * Decimal(rng.randint(1000, 1050)) / 1000
    return (None if rng.random() < 0.1 else bid, None if rng.random() < 0.1 else ask)


def _quote_message(quote: Quote) -> Vector:
    prices = {"price": quote.price, "bid": quote.bid, "ask": quote.ask}
    return {name: None if price is None else f"{price:f}" for name, price in prices.items()}


def vectors() -> str:
    """The file's contents."""
    parts: dict[str, Callable[[random.Random], Iterator[object]]] = {
        "rounding": _rounding,
        "quotients": _quotients,
        "positions": _positions,
        "accounts": _accounts,
    }
    with money_arithmetic():
        made = {name: list(make(random.Random(f"{SEED} {name}"))) for name, make in parts.items()}
    return json.dumps(made, indent=0, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(vectors(), "utf-8")
