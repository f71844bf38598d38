"""Whatever strangers write between the ticks of a market, frames, cells and candles are those of the ticks alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from kept_frames import KeptTicks

from exness_streams.domain.candles import LiveMinute
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import decode_record
from exness_streams.domain.instruments import Catalogue, Terms
from exness_streams.domain.quotes import Quote
from exness_streams.engine.framer import Framer
from exness_streams.messages import MarketDataMessage, json_encoder
from exness_streams.transport.interfaces import LogRecord

SYMBOL = "SOL_USDC"
NOW_MS = 1_790_000_000_000

TERMS = Terms(
    symbol=SYMBOL,
    leverage_max=Decimal(100),
    margin_min=Decimal(1),
    fee_rate=Decimal(0),
    maintenance_margin_rate=Decimal(0),
    spread_rate=Decimal("0.001"),
)

BAD_NUMBERS = st.sampled_from(
    ['"NaN"', '"sNaN"', '"-Infinity"', "1e500000", "1e-500000", "-1", "[]", "true", "{", "1e30"]
)
FIELDS = st.sampled_from(["price", "volume", "timestamp", "sequence"])


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None


class Cells:
    """A FrameLog whose frames one cell folds at once."""

    def __init__(self) -> None:
        self.cell = Cell(0, lambda key: None)
        self.cell.load(0, [], [])

    def framed_end(self, partition: int) -> None:
        return None

    async def append(self, records: Sequence[LogRecord], partition: int, next_offset: int) -> None:
        for record in records:
            self.cell.fold(self.cell.next_offset, decode_record(record.value or b""))


def right(number: int, price: int) -> tuple[bytes, bytes]:
    price_of = Decimal(price) / 100
    message = MarketDataMessage(
        SYMBOL, price_of, NOW_MS + number * 1_000, (NOW_MS + number * 1_000) * 1_000, None, price_of, price_of + 1
    )
    return SYMBOL.encode(), json_encoder.encode(message)


@st.composite
def hostile(draw: st.DrawFn) -> tuple[bytes | None, bytes | None]:
    """A record that is no update of the market."""
    kind = draw(st.sampled_from(["bytes", "tombstone", "field", "key", "symbol"]))
    if kind == "bytes":
        return SYMBOL.encode(), draw(st.binary(max_size=50))
    if kind == "tombstone":
        return SYMBOL.encode(), None
    fields = {"symbol": f'"{SYMBOL}"', "price": "1", "timestamp": str(NOW_MS), "sequence": str(NOW_MS * 2_000)}
    if kind == "field":
        fields[draw(FIELDS)] = draw(BAD_NUMBERS)
    symbol = SYMBOL.encode()
    if kind == "key":
        symbol = draw(st.sampled_from([b"ETH_USDC", b"\xff", b""]))
    if kind == "symbol":
        symbol, fields["symbol"] = b"XYZ_USDC", '"XYZ_USDC"'
    return symbol, ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


async def framed(batches: list[list[tuple[bytes | None, bytes | None]]]) -> tuple[dict[str, Quote], LiveMinute | None]:
    cells, candles = Cells(), KeptTicks(symbols=[SYMBOL])
    framer = Framer(cells, 1, 0, candles, Catalogue([TERMS]))
    offset = 0
    for batch in batches:
        records = [Record(offset + n, key, value) for n, (key, value) in enumerate(batch)]
        offset += len(batch)
        if records:
            await framer.frame(0, records)
    return cells.cell.quotes, candles.fold.live(SYMBOL)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.lists(hostile(), max_size=3)), min_size=1, max_size=12))
def test_hostile_ticks_change_nothing(walk: list[tuple[int, list[tuple[bytes | None, bytes | None]]]]) -> None:
    ticks = [right(number, price) for number, (price, _) in enumerate(walk)]
    mixed = [[*strangers, tick, *strangers] for tick, (_, strangers) in zip(ticks, walk, strict=True)]
    assert asyncio.run(framed([*mixed])) == asyncio.run(framed([[tick] for tick in ticks]))
