"""Events of one account as the platform makes them, in fewer words."""

from __future__ import annotations

from decimal import Decimal

from exness_streams.domain.events import AccountReset, Deposited, PositionClosed

ACCOUNT = "demo"


def closed(sequence: int, balance: str = "10000", **changed: object) -> PositionClosed:
    fields: dict[str, object] = {
        "event_id": f"0-{sequence}-0",
        "account_id": ACCOUNT,
        "sequence": sequence,
        "timestamp": 2_000 + sequence,
        "position_id": "pos_0_1",
        "symbol": "SOL_USDC",
        "asset": "SOL",
        "side": "short",
        "margin": Decimal(100),
        "leverage": Decimal(3),
        "quantity": Decimal("1.5"),
        "entry_price": Decimal(150),
        "close_price": Decimal(151),
        "realized_pnl": Decimal("-1.5"),
        "fee": Decimal("0.2"),
        "entry_fee": Decimal("0.1"),
        "reason": "stop_loss",
        "opened_at": 1_000,
        "balance": Decimal(balance),
    }
    return PositionClosed(**(fields | changed))  # type: ignore[arg-type]


def deposited(sequence: int, balance: str) -> Deposited:
    return Deposited(
        event_id=f"0-{sequence}-0",
        account_id=ACCOUNT,
        sequence=sequence,
        timestamp=2_000 + sequence,
        amount=Decimal(1),
        balance=Decimal(balance),
    )


def reset(sequence: int, balance: str = "10000") -> AccountReset:
    return AccountReset(
        event_id=f"0-{sequence}-0",
        account_id=ACCOUNT,
        sequence=sequence,
        timestamp=2_000 + sequence,
        balance=Decimal(balance),
        positions_dropped=[],
        orders_dropped=[],
    )
