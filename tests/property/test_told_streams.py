"""Whatever workers fold, commit, lose, take over and fold again: a client of the live stream, which connects again when
it is sent away, is told each event once and in order, and what it was told is what the journal says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
from cell_worker import CHANGELOG, Log, Read, deposit, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from log_table import LogTable
from websocket_frames import payloads

from exness_streams.api.stream.hub import StreamHub
from exness_streams.api.stream.messages import text_frame
from exness_streams.api.stream.reader import Reader
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import decode_record
from exness_streams.engine.cells import CellHost
from exness_streams.transport.faults import LogFault
from exness_streams.transport.interfaces import LogRecord

ACCOUNT = "ann"
TURNS = 5


class Socket:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_over = False

    def get_extra_info(self, name: str) -> None:
        return None

    def get_protocol(self) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.is_over = True


class FencingLog(Log):
    """A transaction takes as long as the test wants, and comes to nothing when its lease is over by then."""

    async def commit(self, partition: int, written: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        mine = self.leases[partition]
        assert self.gate is not None
        await self.gate.wait()
        if self.leases.get(partition) is not mine:
            raise LogFault("fenced", written=False)
        return await super().commit(partition, written, next_offset)


class Client:
    """Knows the sequence of the newest event that it was told of, by a snapshot or by itself."""

    def __init__(self) -> None:
        self.sequence = 0
        self.told: dict[int, str] = {}
        self.reader: Reader | None = None
        self.socket = Socket()

    def connect(self, worker: Worker) -> None:
        """As the view does it: only a cell that has caught up serves."""
        if self.reader is not None and not self.reader.closing:
            return
        cell = worker.host.cell(0)
        if cell is None or not worker.host.is_caught_up(0):
            return
        row = cell.account(ACCOUNT)
        sequence = 0 if row is None else row.sequence
        assert sequence >= self.sequence, "a snapshot never goes back"
        self.sequence = sequence
        socket: Any = Socket()
        self.socket, self.reader = socket, Reader(socket, ACCOUNT, 0, "number")
        worker.hub.follow(self.reader, text_frame(b'{"type":"state"}'), sequence)

    def read(self) -> None:
        written, self.socket.written = self.socket.written, []
        for data in written:
            for payload in payloads(data) if data[:1] == b"\x81" else ():
                event = msgspec.json.decode(payload)
                if "eventId" not in event:
                    continue
                assert event["sequence"] == self.sequence + 1, "each once, and in order"
                self.sequence += 1
                self.told[self.sequence] = event["eventId"]


class Worker:
    """One process: a cell host and its streams."""

    def __init__(self, log: Log, journal: list[Read]) -> None:
        self.log, self.journal = log, journal
        self.table: Any = LogTable(CHANGELOG)
        cell_log: Any = log
        self.host = CellHost(self.table, cell_log, lambda reply: None)
        ending: Any = SimpleNamespace(should_stop=False)
        market: Any = SimpleNamespace(quotes={}, days={}, markets={})
        feed: Any = SimpleNamespace(feed_status=lambda: {"status": "connected", "reason": ""})
        freshness: Any = SimpleNamespace(is_fresh=lambda: True)
        self.hub = StreamHub(market, feed, ending, freshness)
        self.host.tell(self.hub)

    def take_over(self) -> None:
        """After a fence and recovery: the cell is kept if nobody has committed meanwhile."""
        self.log.fence_now(0)
        self.host.take_leases()
        self.table.recover(self.log.changelog)
        self.host.load(0, journal_start=0, journal_end=len(self.journal))

    async def fold(self, count: int, again: int) -> None:
        """The next records, and some of those before that are brought again."""
        cell = self.host.cell(0)
        if cell is None:
            return
        lease = self.log.lease(0)
        first = max(lease.committed or 0, cell.next_offset - again)
        await self.host.fold(0, self.journal[first : cell.next_offset + count])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 6)),
        st.tuples(st.just("fold"), st.integers(1, 8)),
        st.tuples(st.just("fold again"), st.integers(1, 8)),
        st.tuples(st.just("commits wait"), st.booleans().map(int)),
        st.tuples(st.just("dealt out again"), st.just(0)),
        st.tuples(st.just("killed"), st.just(0)),
        st.tuples(st.just("another"), st.just(0)),
        st.tuples(st.just("connect"), st.just(0)),
    ),
    min_size=30,
    max_size=60,
)


async def play(steps: list[tuple[str, int]]) -> None:
    log, journal = FencingLog(), []
    log.gate = asyncio.Event()
    log.gate.set()
    client, worker = Client(), Worker(log, journal)
    worker.take_over()
    for what, number in [*steps, ("commits wait", 0), ("connect", 0), ("fold", 1_000), ("connect", 0)]:
        if what == "write":
            journal += [quiet(n) if n % 4 == 0 else deposit(n) for n in range(len(journal), len(journal) + number)]
        elif what.startswith("fold"):
            await asyncio.wait_for(worker.fold(number, number if what == "fold again" else 0), 30.0)
        elif what == "commits wait":
            log.gate.clear() if number else log.gate.set()
        elif what == "dealt out again":
            log.gate.set()
            await log.quiesce([0])
            worker.take_over()
        elif what in ("killed", "another"):
            if what == "another":
                log.gate.set()
                await log.quiesce([0])
            worker.hub.dropped(0)  # its connections are gone
            worker = Worker(log, journal)
            worker.take_over()
            log.gate.set()
        else:
            client.connect(worker)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        client.read()
    await worker.host.settle()
    reference = Cell(0, {}.get)
    events = [
        event for read in journal for event in reference.fold(read.offset, decode_record(read.value or b"")).events
    ]
    assert client.sequence == len(events)
    assert all(events[sequence - 1].event_id == told for sequence, told in client.told.items())


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_client_is_told_each_event_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    asyncio.run(play(steps))
