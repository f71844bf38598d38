"""By which rules all cells go, whoever owns them; and a framer that owns none of them."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from frame_reader import FrameReader
from kept_frames import KeptFrames, KeptTicks

from exness_streams.domain.codec import Meta, encode
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rules import FRAMES_BY_OFFSET, NEWEST
from exness_streams.engine.framer import Framer
from exness_streams.engine.framer_state import FramerState, Seen
from exness_streams.engine.known_rules import AGAIN_S, KnownRules
from exness_streams.messages import MarketDataMessage, json_encoder
from exness_streams.transport.faults import LogFault

TICKS_PER_RAW_FRAME = 500


class Log:
    """The accounts' changelog of three cells. rules: of each; None for one that has no meta."""

    def __init__(self, *rules: int | None) -> None:
        self.rules = list(rules)
        self.now_s = 0.0
        self.asked = 0
        self.fault: LogFault | None = None

    async def metas(self) -> dict[int, bytes | None]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return {
            partition: encode(Meta(partition, 5, rules=rules))
            for partition, rules in enumerate(self.rules)
            if rules is not None
        }

    def known(self) -> KnownRules:
        return KnownRules(self.metas, len(self.rules), clock_s=lambda: self.now_s)


@pytest.mark.parametrize(
    ("rules", "known"),
    [((2, 2, 2), 2), ((1, 2, 2), 1), ((2, 2, None), 0), ((None, None, None), 0), ((1, 1, 1), 1), ((3, 2, 9), 2)],
)
async def test_all_cells_tell_and_the_lowest_counts(rules: tuple[int | None, ...], known: int) -> None:
    assert await Log(*rules).known().look() == known


async def test_what_all_cells_have_seen_is_told_by_the_furthest() -> None:
    metas = [
        Meta(0, 5, rules=2, framer_epoch=7, ticks_end=168),
        Meta(1, 5, rules=1, framer_epoch=9, ticks_end=12, ticks_restarts=1),
    ]

    async def told() -> dict[int, bytes | None]:
        return {0: encode(metas[0]), 1: encode(metas[1]), 2: None}

    assert await KnownRules(told, 2).seen() == Seen(9, 1, 12, 1)
    assert await KnownRules(told, 3).seen() == Seen(9, 1, 12, 0)
    assert Seen(8, 0, 200, 2).joined(Seen(9, 1, 12, 1)) == Seen(9, 1, 12, 2)
    assert Seen(8, 1, 200, 2).joined(Seen()) == Seen(8, 1, 200, 2)


async def test_the_log_is_asked_now_and_then_until_all_go_by_the_newest_rules() -> None:
    log = Log(1, 2, None)
    known = log.known()
    for _ in range(5):
        assert await known.look() == 0
    assert log.asked == 1
    log.rules = [1, 2, 2]
    log.now_s += AGAIN_S
    assert await known.look() == 1
    log.rules = [NEWEST] * 3
    assert await known.look() == 1
    log.now_s += AGAIN_S
    assert await known.look() == NEWEST
    log.now_s += AGAIN_S
    assert await known.look() == NEWEST
    assert log.asked == 3


async def test_a_log_that_cannot_tell_is_said_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(2, 2, 2)
    log.fault = LogFault("no answer")
    known = log.known()
    for _ in range(4):
        assert await known.look() == 0
        log.now_s += AGAIN_S
    assert log.asked == 4
    assert len(caplog.messages) == 1
    log.fault = None
    assert await known.look() == 2


PROMISED = 4_000


class Tick(NamedTuple):
    offset: int
    value: bytes | None


def rising(offset: int) -> Tick:
    price = Decimal(150 + offset)
    message = MarketDataMessage("SOL_USDC", price, 1_000 + offset, offset + 1, None, price, price + 1)
    return Tick(offset, json_encoder.encode(message))


def frames_and_ticks(kept: KeptFrames) -> tuple[int, int]:
    """How many frames there are; a reader that takes each frame has had each tick once, and dropped nothing."""
    reader = FrameReader()
    for frame in kept.records():
        reader.fold(frame)
    assert not reader.dropped
    assert reader.taken == [Decimal(150 + n) for n in range(len(reader.taken))]
    return len(kept.records()), len(reader.taken)


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_a_framer_without_cells_takes_raw_ranges_when_all_cells_read_them(workers: int) -> None:
    """One after the other, each with the state that the one before it left: the cells are others' all the time."""
    log = Log(2, 2, 2)
    state = FramerState(1, 0, PROMISED)
    for _ in range(workers):
        kept, ticks = KeptFrames(), KeptTicks(state)
        framer = Framer(kept, 1, 0, ticks, rules=log.known().look)
        await framer.frame(0, [rising(n) for n in range(PROMISED)])
        frames, taken = frames_and_ticks(kept)
        assert taken == PROMISED
        assert frames <= PROMISED // TICKS_PER_RAW_FRAME + 1
        assert all(isinstance(frame, RawFrame) for frame in kept.records())
        kept_state = ticks.next
        assert kept_state is not None
        assert kept_state.rules == FRAMES_BY_OFFSET, "the next one need not ask"


@pytest.mark.parametrize("rules", [(1, 1, 1), (1, 2, 2), (2, 2, None)])
async def test_while_a_cell_may_not_read_them_each_tick_has_a_frame(rules: tuple[int | None, ...]) -> None:
    kept = KeptFrames()
    framer = Framer(kept, 1, 0, KeptTicks(FramerState(1, 0, 50)), rules=Log(*rules).known().look)
    await framer.frame(0, [rising(n) for n in range(50)])
    assert frames_and_ticks(kept) == (50, 50)
    assert all(isinstance(frame, PriceFrame) for frame in kept.records())


async def test_rules_that_come_in_the_middle_of_the_promise_make_the_rest_of_it_raw() -> None:
    log = Log(1, 2, 2)
    kept, now_s = KeptFrames(), [0.0]
    framer = Framer(
        kept, 1, 0, KeptTicks(FramerState(1, 0, PROMISED)), rules=log.known().look,
        monotonic_s=lambda: now_s[0], clock_ms=lambda: 1_000_000 + int(now_s[0] * 1000),
    )  # fmt: skip
    ticks = [rising(n) for n in range(PROMISED + 100)]
    await framer.frame(0, ticks[:100])
    log.rules = [2, 2, 2]
    log.now_s += AGAIN_S
    now_s[0] += 10
    await framer.beat()
    await framer.frame(0, ticks[100:])
    frames, taken = frames_and_ticks(kept)
    assert taken >= PROMISED
    assert frames <= 100 + PROMISED // TICKS_PER_RAW_FRAME + 3
    offset = 0
    for frame in kept.records():
        assert frame.from_offset == offset
        offset = frame.to_offset
    assert offset == PROMISED + 100
