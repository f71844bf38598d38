"""What clients send: the fields of each route's body, how each is read, and how the OpenAPI document shows it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from exness_streams.api.errors import invalid_request
from exness_streams.api.requests import TIME_MS_MAX, Body
from exness_streams.domain.emails import EMAIL_MAX
from exness_streams.domain.money import AMOUNT_MAX, HUNDRED, MONEY_PLACES, QUANTITY_MAX, ZERO
from exness_streams.domain.plain_numbers import plain
from exness_streams.domain.ticks import is_price
from exness_streams.identity.tokens import TOKEN_MAX

if TYPE_CHECKING:
    from typing_extensions import Self

Side = Literal["long", "short"]
Reader = Callable[[Body, str], Any]

NONCE_MIN, NONCE_MAX = 16, 128

_ABOVE_ZERO = r"^(?=[0-9.]*[1-9])[0-9]{1,12}"
_FROM_ONE = r"^[1-9][0-9]{0,11}"


def _read_by(read: Reader, **schema: Any) -> Meta:
    """How a value is read: msgspec reads no number exactly that may be a string, too. schema: for the document."""
    return Meta(extra_json_schema=schema or None, extra={"read": read})


def _number(pattern: str, minimum: float, maximum: float = int(AMOUNT_MAX), **limits: Any) -> Meta:
    """A number. pattern: of one in a string. Without limits the fold has them, in its own words."""
    read = partial(Body.required_number, **limits) if limits else Body.number
    return _read_by(read, minimum=minimum, maximum=maximum, pattern=pattern)


Amount = Annotated[Decimal, _number(_ABOVE_ZERO + r"(\.[0-9]{1,18})?$", 1e-18, above=ZERO)]
Money = Annotated[Decimal, _number(_ABOVE_ZERO + r"(\.[0-9]{1,8})?$", 1e-8, above=ZERO, places_max=MONEY_PLACES)]
Quantity = Annotated[
    Decimal,
    _number(
        r"^(?=[0-9.]*[1-9])[0-9]{1,28}(\.[0-9]{1,8})?$",
        1e-8,
        1e28,
        above=ZERO,
        at_most=QUANTITY_MAX,
        places_max=MONEY_PLACES,
    ),
]
Margin = Annotated[Decimal, _number(_FROM_ONE + r"(\.[0-9]{1,8})?$", 1, places_max=MONEY_PLACES)]
Leverage = Annotated[Decimal, _number(_FROM_ONE + r"(\.[0-9]{1,18})?$", 1)]
Slippage = Annotated[Decimal, _number(r"^(100|[0-9]{1,2}(\.[0-9]{1,18})?)$", 0, 100, at_least=ZERO, at_most=HUNDRED)]
Percentage = Annotated[
    Decimal,
    _number(r"^(100|(?=[0-9.]*[1-9])[0-9]{1,2}(\.[0-9]{1,18})?)$", 1e-18, 100, above=ZERO, at_most=HUNDRED),
]
Asset = Annotated[str, Meta(min_length=1, max_length=64, extra={"read": partial(Body.text, length_max=64)})]
Email = Annotated[
    str, Meta(min_length=3, max_length=EMAIL_MAX, extra={"read": partial(Body.text, length_max=EMAIL_MAX)})
]
LinkToken = Annotated[
    str, Meta(min_length=1, max_length=TOKEN_MAX, extra={"read": partial(Body.text, length_max=TOKEN_MAX)})
]
Nonce = Annotated[str, Meta(min_length=NONCE_MIN, max_length=NONCE_MAX, extra={"read": Body.text})]
KeyName = Annotated[str, Meta(min_length=1, max_length=64, extra={"read": partial(Body.text, length_max=64)})]
Scopes = Annotated[
    list[Literal["read", "trade"]],
    Meta(
        min_length=1,
        max_length=2,
        extra_json_schema={"uniqueItems": True},
        extra={"read": partial(Body.texts, allowed=("read", "trade"))},
    ),
]
Identifier = Annotated[str, Meta(min_length=1, max_length=128, extra={"read": Body.text})]
TimeMs = Annotated[
    Decimal, _read_by(Body.time_ms, multipleOf=1, minimum=1, maximum=TIME_MS_MAX, pattern="^[1-9][0-9]{0,13}$")
]


class _Field(NamedTuple):
    """A field of a body. sent_as: its name in JSON. default: NODEFAULT when it is required."""

    name: str
    sent_as: str
    read: Reader
    default: Any


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a POST. Numbers may also be sent as strings. null is as if a field were left out, unless it says."""

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """As clients spell them."""
        return cls.__struct_encode_fields__

    @classmethod
    def read(cls, body: Body) -> Self:
        """The body's fields. 400 for the first wrong one: an unknown one, or in the order they are declared in."""
        body.only(cls.field_names())
        values: dict[str, Any] = {}
        for field in _fields_of(cls):
            if field.default is msgspec.NODEFAULT or body.has(field.sent_as):
                values[field.name] = field.read(body, field.sent_as)
            elif field.default is UNSET and body.mentions(field.sent_as):
                values[field.name] = None  # clears it
        asked = cls(**values)
        asked.check()
        return asked

    def check(self) -> None:
        """400 for fields that are right each by itself, and not together."""


@cache
def _fields_of(kind: type[Request]) -> tuple[_Field, ...]:
    return tuple(
        _Field(field.name, field.encode_name, _reader_of(field.type), field.default)
        for field in msgspec.structs.fields(kind)
    )


def _reader_of(kind: Any) -> Reader:
    if get_origin(kind) is Literal:
        return partial(Body.choice, allowed=get_args(kind))
    if get_origin(kind) is Annotated:
        read: Reader = next(meta.extra["read"] for meta in kind.__metadata__)
        return read
    return next(_reader_of(option) for option in get_args(kind) if option not in (type(None), UnsetType))


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
    quantity: Quantity | None = None
    percentage: Percentage | None = None

    def check(self) -> None:
        """At most one of quantity and percentage."""
        if self.quantity is not None and self.percentage is not None:
            raise invalid_request(
                "quantity",
                '"quantity" and "percentage" are both given; send one of them, or neither to close all of it',
            )


class CloseAllRequest(Request, frozen=True, kw_only=True):
    """Close every open position. Takes no fields."""


class ModifyRequest(Request, frozen=True, kw_only=True):
    """Set stop loss, take profit, or both; null clears, a field that is left out stays."""

    position_id: Identifier
    stop_loss: Amount | UnsetType | None = UNSET
    take_profit: Amount | UnsetType | None = UNSET

    def check(self) -> None:
        """At least one of the two."""
        if self.stop_loss is UNSET and self.take_profit is UNSET:
            raise invalid_request(
                "stopLoss",
                'nothing to change; send "stopLoss", "takeProfit" or both, each a price, or null to clear it',
            )


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
    """Cancel a pending order."""

    order_id: Identifier


class DepositRequest(Request, frozen=True, kw_only=True):
    """Add USD to the account."""

    amount: Money


class ResetRequest(Request, frozen=True, kw_only=True):
    """Begin anew: drops positions and orders. confirm: "RESET"."""

    confirm: Literal["RESET"]


class MarketRequest(Request, frozen=True, kw_only=True):
    """Decide what may be done in a market. price: of a settlement, if another than the last one; quote currency."""

    symbol: Asset
    state: Literal["open", "close_only", "halted", "settled"]
    price: Amount | None = None

    def check(self) -> None:
        """A price only to settle at, and one that can be traded on."""
        if self.price is not None and self.state != "settled":
            raise invalid_request(
                "price", '"price" is given; it is of a settlement alone: send it with state "settled"'
            )
        if self.price is not None and not is_price(self.price):
            raise invalid_request("price", f'"price" is out of range; send a number from 1e-18 to {plain(AMOUNT_MAX)}')


class EmailRequest(Request, frozen=True, kw_only=True):
    """An e-mail address."""

    email: Email


class VerifyRequest(Request, frozen=True, kw_only=True):
    """A mailed link. email: whom it was mailed to. nonce: made by the client; again with the same it is the same."""

    token: LinkToken
    email: Email | None = None
    nonce: Nonce | None = None

    def check(self) -> None:
        """A nonce that is hard to guess."""
        if self.nonce is not None and len(self.nonce) < NONCE_MIN:
            raise invalid_request("nonce", f'"nonce" is too short; send {NONCE_MIN} to {NONCE_MAX} characters')


class KeyRequest(Request, frozen=True, kw_only=True):
    """Make an API key: "read" may look, "trade" may look and act. expiresAt: ms since the epoch."""

    name: KeyName
    scopes: Scopes
    expires_at: TimeMs | None = None

    def check(self) -> None:
        """A name that can be shown."""
        if not self.name.isprintable() or not self.name.strip():
            raise invalid_request("name", '"name" is not a name; send 1 to 64 printable characters')
