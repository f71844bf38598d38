"""Clients: each trades on one account, remembers what it was told, and repeats what it does not know."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.cell import Reply
from exness_streams.domain.commands import (
    CancelOrder,
    CloseAllPositions,
    ClosePosition,
    Command,
    Deposit,
    IdempotencyKey,
    ModifyPosition,
    OpenPosition,
    PlaceOrder,
)
from exness_streams.domain.events import OrderFilled, OrderPlaced, PositionOpened
from exness_streams.domain.instruments import Limits
from exness_streams.domain.outcomes import is_transient, without_cause
from protocol.clocks import EPOCH_S

if TYPE_CHECKING:
    from protocol.world import World

STARTING_BALANCE = Decimal(10_000)
LIMITS = Limits(open_max=8, exposure_max=Decimal(100_000))
AGELESS_MS = 10**15
TRIES_MAX = 8
PATIENCE_S = (1.0, 4.0, 15.0)


class Attempt(NamedTuple):
    """One command sent. status: "answered", "refused" (nothing happened, nothing will), "unknown"."""

    command: Command
    partition: int
    status: str
    reply: Reply | None


class Client:
    def __init__(self, world: World, account_id: str, partition: int) -> None:
        self._world = world
        self._rng = world.rng
        self.account_id = account_id
        self.partition = partition
        self.attempts: list[Attempt] = []
        self._items: list[tuple[str, str]] = []
        self._orders: list[str] = []
        self._sent = self._keys = 0
        self._told = 0

    async def run(self) -> None:
        while not self._world.is_over:
            await self.act(self._command())
            await asyncio.sleep(self._rng.choice((0.01, 0.05, 0.2, 0.6)))

    async def watch(self) -> None:
        """Read the account again and again: what is told is never older than what was told before it was asked."""
        world, rng = self._world, self._rng
        while not world.is_over:
            await asyncio.sleep(rng.choice((0.02, 0.1, 0.3)))
            known = self._told
            status, sequence = await world.read(self.partition, self.account_id, rng.choice(PATIENCE_S))
            if status != "answered":
                continue
            if sequence < known:
                world.violation(f"a read of {self.account_id} told {sequence} events when {known} had been told before")
            self._told = max(self._told, sequence)

    async def act(self, command: Command) -> Reply | None:
        """Send it until it is known what became of it, if it has a key; else once."""
        told = None
        for _ in range(TRIES_MAX):
            told = await self._try(command)
            if told is not None or command.idempotency is None:
                break
            command = msgspec.structs.replace(command, command_id=self._name())
            await asyncio.sleep(self._rng.choice((0.1, 0.5, 2.0)))
        if told is not None and command.idempotency is not None and self._rng.random() < 0.2:
            await self._repeat(command, told)
        return told

    async def _try(self, command: Command) -> Reply | None:
        status, told = await self._world.request(self.partition, command, self._rng.choice(PATIENCE_S))
        reply = told if isinstance(told, Reply) else None
        self.attempts.append(Attempt(command, self.partition, status, reply))
        self._world.note(f"{self.account_id} {_words(command)}: {status} {'' if reply is None else _result(reply)}")
        if reply is not None:
            if reply.command_id != command.command_id:
                self._world.violation(f"{command.command_id} was answered with the outcome of {reply.command_id}")
            self._learn(reply)
        return reply

    async def _repeat(self, command: Command, told: Reply) -> None:
        """The same request again: it is answered as before, except one that was refused for the moment."""
        again = await self._try(msgspec.structs.replace(command, command_id=self._name()))
        if again is None or is_transient(told.outcome):
            return
        if outcome_bytes(again) != outcome_bytes(told):
            self._world.violation(f"{command.command_id} of {self.account_id} was told another outcome when repeated")
        if not again.repeated:
            self._world.violation(f"{command.command_id} of {self.account_id} was done once more when repeated")

    def _learn(self, reply: Reply) -> None:
        outcome = reply.outcome
        parts = outcome.results if isinstance(outcome, codec.PositionsClosed) else ()
        told = [outcome, *(one.outcome for one in parts)]
        self._told = max(self._told, *(getattr(one, "sequence", 0) for one in told))
        if isinstance(outcome, PositionOpened | OrderFilled):
            self._items.append((outcome.position_id, outcome.side))
        elif isinstance(outcome, OrderPlaced):
            self._orders.append(outcome.order_id)
            self._items.append((outcome.order_id.replace("ord_", "pos_", 1), outcome.side))

    def last_word(self) -> Command:
        """A request that nothing stands against, with a key."""
        base = {**self._base(), "idempotency": IdempotencyKey("last", "last")}
        return Deposit(**base, amount=Decimal(1))

    def _name(self) -> str:
        self._sent += 1
        return f"{self.account_id}-{self._sent}"

    # What it asks for

    def _command(self) -> Command:
        rng = self._rng
        kind = rng.choices(("open", "place", "close", "modify", "cancel", "deposit", "all"), (30, 22, 14, 16, 5, 6, 3))[
            0
        ]
        if kind == "open":
            return OpenPosition(**self._base(), **self._opening())
        if kind == "place":
            return self._place()
        if kind == "deposit":
            return Deposit(**self._base(), amount=Decimal(rng.randint(1, 50)))
        if kind == "all":
            return CloseAllPositions(**self._base())
        if kind == "cancel" and self._orders:
            return CancelOrder(**self._base(), order_id=rng.choice(self._orders[-5:]))
        if not self._items:
            return OpenPosition(**self._base(), **self._opening())
        name, side = rng.choice(self._items[-6:])
        if kind == "close":
            part = rng.choice(({}, {}, {"percentage": Decimal(50)}, {"quantity": Decimal("0.5")}))
            return ClosePosition(**self._base(), position_id=name, **part)
        sign = 1 if side == "long" else -1
        middle = self._middle()
        stop, take = middle - sign * self._away(), middle + sign * self._away()
        chosen: dict[str, Any] = rng.choice(
            ({"stop_loss": stop}, {"take_profit": take}, {"stop_loss": stop, "take_profit": take}, {"stop_loss": None})
        )
        return ModifyPosition(**self._base(), position_id=name, **chosen)

    def _middle(self) -> Decimal:
        """About where the market is, as a client sees it."""
        return self._world.market.ticks[-1].quote.price if self._world.market.ticks else Decimal(100)

    def _away(self) -> Decimal:
        return Decimal(self._rng.choice((3, 4, 6, 10, 25))) / 10

    def _place(self) -> PlaceOrder:
        rng = self._rng
        fields = self._opening()
        is_limit = rng.random() < 0.5
        below = (fields["side"] == "long") == is_limit
        price = self._middle() + (-1 if below else 1) * self._away()
        sign = 1 if fields["side"] == "long" else -1
        for name, way in (("stop_loss", -1), ("take_profit", 1)):
            if fields[name] is not None:
                fields[name] = price + sign * way * self._away()
        expires = None
        if rng.random() < 0.5:
            expires = int((EPOCH_S + self._world.loop.time() + rng.choice((0.05, 0.3, 1.0, 4.0))) * 1000)
        return PlaceOrder(
            **self._base(), **fields, kind="limit" if is_limit else "stop", price=price, expires_ms=expires
        )

    def _opening(self) -> dict[str, Any]:
        rng = self._rng
        terms = rng.choice(self._world.market.terms)
        side = rng.choice(("long", "short"))
        sign, middle = (1 if side == "long" else -1), self._middle()
        return {
            "asset": terms.symbol,
            "terms": terms,
            "side": side,
            "margin": Decimal(rng.choice(("20", "60.5", "250"))),
            "leverage": Decimal(rng.choice(("3", "20", "50", "100"))),
            "stop_loss": middle - sign * self._away() if rng.random() < 0.6 else None,
            "take_profit": middle + sign * self._away() if rng.random() < 0.5 else None,
        }

    def _base(self) -> dict[str, Any]:
        key = None
        if self._rng.random() < 0.6:
            self._keys += 1
            key = IdempotencyKey(f"k{self._keys}", f"body-{self._keys}")
        return {
            "command_id": self._name(),
            "account_id": self.account_id,
            "time_ms": 0,  # by the worker that takes it
            "starting_balance": STARTING_BALANCE,
            "quote_age_ms_max": AGELESS_MS,
            "limits": LIMITS,
            "idempotency": key,
        }


def outcome_bytes(reply: Reply) -> bytes:
    """What an answer says, apart from whose request it was."""
    return codec.encode(without_cause(reply.outcome))


def _words(command: Command) -> str:
    key = "" if command.idempotency is None else f" ({command.idempotency.key})"
    return f"{type(command).__name__} {command.command_id}{key}"


def _result(reply: Reply) -> str:
    name = getattr(reply.outcome, "code", None)
    return ("again: " if reply.repeated else "") + (type(reply.outcome).__name__ if name is None else name.value)
