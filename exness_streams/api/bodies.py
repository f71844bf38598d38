"""What clients send: the fields of each route's body, for the checks and for the OpenAPI document.

The values are read field by field in requests.py, which knows how to complain.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exness_streams.domain.money import AMOUNT_MAX

Side = Literal["long", "short"]

_MAX = int(AMOUNT_MAX)
_ABOVE_ZERO = r"^(?=[0-9.]*[1-9])[0-9]{1,12}"
_FROM_ONE = r"^[1-9][0-9]{0,11}(\.[0-9]{1,18})?$"

# msgspec has no limits of its own for Decimal: these are for the document (patterns: of numbers in strings), while
# requests.py enforces them.
Amount = Annotated[
    Decimal, Meta(extra_json_schema={"minimum": 1e-18, "maximum": _MAX, "pattern": _ABOVE_ZERO + r"(\.[0-9]{1,18})?$"})
]
Money = Annotated[
    Decimal, Meta(extra_json_schema={"minimum": 1e-8, "maximum": _MAX, "pattern": _ABOVE_ZERO + r"(\.[0-9]{1,8})?$"})
]
Margin = Annotated[Decimal, Meta(extra_json_schema={"minimum": 1, "maximum": _MAX, "pattern": _FROM_ONE})]
Leverage = Annotated[Decimal, Meta(extra_json_schema={"minimum": 1, "maximum": _MAX, "pattern": _FROM_ONE})]
Slippage = Annotated[
    Decimal,
    Meta(extra_json_schema={"minimum": 0, "maximum": 100, "pattern": r"^(100|[0-9]{1,2}(\.[0-9]{1,18})?)$"}),
]
Percentage = Annotated[
    Decimal,
    Meta(
        extra_json_schema={
            "minimum": 1e-18,
            "maximum": 100,
            "pattern": r"^(100|(?=[0-9.]*[1-9])[0-9]{1,2}(\.[0-9]{1,18})?)$",
        }
    ),
]
Asset = Annotated[str, Meta(min_length=1, max_length=64)]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
TimeMs = Annotated[
    Decimal,
    Meta(
        extra_json_schema={
            "multipleOf": 1,
            "minimum": 1,
            "maximum": 253_402_300_799_999,
            "pattern": "^[1-9][0-9]{0,13}$",
        }
    ),
]


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a POST. Numbers may also be sent as strings."""

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """As clients spell them."""
        return cls.__struct_encode_fields__


class OpenRequest(Request, frozen=True, kw_only=True):
    """Open a position at the market.

    margin: USD. asset: base asset or symbol. currentPrice: reference for `slippage` (percent), never the fill.
    """

    margin: Margin
    asset: Asset
    type: Side
    leverage: Leverage | None = Decimal(1)
    current_price: Amount | None = None
    slippage: Slippage | None = None
    stop_loss: Amount | None = None
    take_profit: Amount | None = None


class CloseRequest(Request, frozen=True, kw_only=True):
    """Close a position, a quantity of it (base asset), or a percentage; at most one of the two."""

    position_id: Identifier
    current_price: Amount | None = None
    slippage: Slippage | None = None
    quantity: Money | None = None
    percentage: Percentage | None = None


class CloseAllRequest(Request, frozen=True, kw_only=True):
    """Close every open position. Takes no fields."""


class ModifyRequest(Request, frozen=True, kw_only=True):
    """Set stop loss, take profit, or both; null clears, a field that is left out stays."""

    position_id: Identifier
    stop_loss: Amount | msgspec.UnsetType | None = msgspec.UNSET
    take_profit: Amount | msgspec.UnsetType | None = msgspec.UNSET


class PlaceRequest(Request, frozen=True, kw_only=True):
    """Place a limit or stop order. expiresAt: ms since the epoch."""

    margin: Margin
    asset: Asset
    type: Side
    leverage: Leverage | None = Decimal(1)
    kind: Literal["limit", "stop"]
    price: Amount
    stop_loss: Amount | None = None
    take_profit: Amount | None = None
    expires_at: TimeMs | None = None


class CancelRequest(Request, frozen=True, kw_only=True):
    """Take a pending order back."""

    order_id: Identifier


class DepositRequest(Request, frozen=True, kw_only=True):
    """Add USD to the account."""

    amount: Money


class ResetRequest(Request, frozen=True, kw_only=True):
    """Begin anew: drops positions and orders. confirm: "RESET"."""

    confirm: Literal["RESET"]
