"""The market: ticks by seed, in tenths, so that many of them touch a trigger; mostly calm, with spikes and gaps."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from exness_streams.domain.instruments import Terms, mark_up
from exness_streams.domain.quotes import Quote
from exness_streams.messages import MARKET_UPDATES_TOPIC, MarketDataMessage, json_encoder, public_record
from protocol.clocks import EPOCH_S

if TYPE_CHECKING:
    from protocol.world import World

CATALOGUE = tuple(
    Terms(
        symbol=symbol,
        leverage_max=Decimal(100),
        margin_min=Decimal(1),
        fee_rate=Decimal(fee),
        maintenance_margin_rate=Decimal(maintenance),
        spread_rate=Decimal(spread),
        step_size=None if step is None else Decimal(step),
    )
    for symbol, fee, maintenance, spread, step in (
        ("BTC_USDC", "0", "0", "0", None),
        ("ETH_USDC", "0.001", "0.005", "0", "0.1"),
        ("SOL_USDC", "0.0007", "0", "0.002", "0.001"),
    )
)


class Told(NamedTuple):
    """A tick as the house quotes it, and where it stands in its topic. topic: the how manieth it is, from 0."""

    topic: int
    offset: int
    symbol: str
    quote: Quote


class Market:
    """Writes the ticks' topic, and keeps what it wrote."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._terms = CATALOGUE[: world.rng.randint(1, 3)]
        self._middles = {terms.symbol: 1000 for terms in self._terms}
        self.ticks: list[Told] = []
        self.ticks_of: dict[str, list[Told]] = {terms.symbol: [] for terms in self._terms}
        self.is_paused = False
        self._topic = 0
        self._trimmed: dict[int, int] = {}
        self._topics: dict[int, int] = {}

    def trimmed_to(self, offset: int) -> None:
        """The ticks before it are gone."""
        self._trimmed[self._topic] = offset

    def trimmed(self, topic: int) -> int:
        """Those before were, of this topic or a later one."""
        return max((offset for number, offset in self._trimmed.items() if number >= topic), default=0)

    def made_anew(self) -> None:
        """There is another topic, which begins with some ticks; the feed goes on later."""
        self._topic += 1
        self.is_paused = True
        for _ in range(self._world.rng.randint(0, 4)):
            terms = self._world.rng.choice(self._terms)
            self.tick(terms, self._next_middle(terms.symbol), 1)

    def topic_of(self, sequence: int) -> int:
        """Of the tick with this sequence."""
        return self._topics[sequence]

    @property
    def terms(self) -> tuple[Terms, ...]:
        return self._terms

    async def run(self) -> None:
        rng = self._world.rng
        for terms in self._terms:
            self.tick(terms, 1000, 1)
        while not self._world.is_over:
            burst = 0 if self.is_paused else rng.choice((1, 1, 2, 4, 8))
            for _ in range(burst):
                terms = rng.choice(self._terms)
                self.tick(terms, self._next_middle(terms.symbol), rng.choice((0, 1, 1, 2)))
            await asyncio.sleep(rng.choice((0.02, 0.05, 0.1, 0.3)))

    def _next_middle(self, symbol: str) -> int:
        rng = self._world.rng
        middle = self._middles[symbol]
        if rng.random() < 0.08:  # a spike, which the next tick may take back
            return middle + rng.choice((-1, 1)) * rng.randint(8, 40)
        pull = 1 if middle < 1000 else -1
        self._middles[symbol] = middle = max(
            700, middle + rng.choice((-4, -2, -1, 0, 1, 2, 4)) + (pull if rng.random() < 0.3 else 0)
        )
        return middle

    def tick(self, terms: Terms, middle: int, spread: int) -> None:
        """One more, now."""
        now_s = EPOCH_S + self._world.loop.time()
        sequence = max(int(now_s * 1e6), self.ticks[-1].quote.sequence + 1 if self.ticks else 0)
        price = Decimal(middle) / 10
        bid, ask = Decimal(middle - spread) / 10, Decimal(middle + spread) / 10
        message = MarketDataMessage(terms.symbol, price, int(now_s * 1000), sequence, None, bid, ask)
        log = self._world.broker.logs[MARKET_UPDATES_TOPIC, 0]
        offset = log.append(terms.symbol.encode(), public_record(json_encoder.encode(message)), None)
        quote = Quote(sequence, message.timestamp, price, bid, ask)
        self._topics[sequence] = self._topic
        told = Told(self._topic, offset, terms.symbol, mark_up(quote, terms.spread_rate))
        self.ticks.append(told)
        self.ticks_of[terms.symbol].append(told)
