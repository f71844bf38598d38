"""Histories over a topic that loses and repeats events, and is trimmed and made anew, with restarts in between: what is
shown is what a naive reading gives that passes over what it lacks."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

import msgspec
from account_events import closed, deposited, reset
from event_loop import turns
from examples import examples
from history_log import Log, Read, restarted, table_of, take, trade_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from exness_streams.domain.codec import META_KEY, Meta, decode_meta, encode
from exness_streams.domain.events import AccountReset, Event, PositionClosed
from exness_streams.engine.history import HistoryHost
from exness_streams.transport.faults import LogFenced

ACCOUNTS = ("ann", "bob")


class Told(NamedTuple):
    """An event of an account. fate: what becomes of it in the topic."""

    account: str
    kind: str
    balance: int
    fate: str


class Ill(NamedTuple):
    """what: befalls the topic or the worker. reads: how many records the worker reads before. keeps: the offset is
    still known, and what was folded was committed."""

    what: str
    reads: int
    keeps: bool


TOLD = st.builds(
    Told,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["closed", "closed", "deposited", "reset"]),
    st.integers(1, 3),
    st.sampled_from(["kept", "kept", "kept", "lost", "twice", "late"]),
)
ILL = st.builds(
    Ill,
    st.sampled_from(["read", "read", "restart", "crash", "made anew", "trimmed", "table lost"]),
    st.integers(0, 6),
    st.booleans(),
)


class Naive:
    """An account as a person would write it up from the events that came."""

    def __init__(self) -> None:
        self.newest = self.missing = 0
        self.trades: list[str] = []
        self.balances: list[str] = []

    def take(self, event: Event) -> None:
        if event.sequence <= self.newest:
            return
        self.missing += event.sequence - self.newest - 1
        self.newest = event.sequence
        if isinstance(event, AccountReset):
            self.trades, self.balances = [], []
        if isinstance(event, PositionClosed):
            self.trades.insert(0, event.event_id)
        if self.balances[-1:] != [str(event.balance)]:
            self.balances.append(str(event.balance))


class Life:
    """A topic, a worker that reads it, and the naive reading of what was committed."""

    def __init__(self) -> None:
        self.log = Log()
        self.start, self.records = 0, list[Event]()
        self.sequences: defaultdict[str, int] = defaultdict(int)
        self.accounts: defaultdict[str, Naive] = defaultdict(Naive)
        self.late: list[Event] = []
        self.host: HistoryHost

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    def tell(self, told: Told) -> None:
        self.sequences[told.account] += 1
        event = made(told, self.sequences[told.account])
        copies = {"kept": [event], "twice": [event, event]}
        self.records += copies.get(told.fate, []) + self.late
        self.late = [event] if told.fate == "late" else []

    def next_batch(self, most: int) -> list[Read]:
        first = max(self.start, self.log.next_offset or 0)
        found = self.records[first - self.start :][:most]
        return [Read(first + n, encode(event)) for n, event in enumerate(found)]

    async def read(self, most: int) -> None:
        """And see it committed."""
        batch = self.next_batch(most)
        if not batch:
            return
        counted, missing = self.host.losses.missing, self.missing
        await take(self.host, batch)
        for record in batch:
            event = self.records[record.offset - self.start]
            self.accounts[event.account_id].take(event)
        assert self.host.losses.missing - counted == self.missing - missing

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.accounts.values())

    async def begin(self) -> None:
        self.host = await restarted(self.log, start=self.start, end=self.end)

    async def befall(self, ill: Ill) -> None:
        await self.read(ill.reads)
        if ill.what == "crash":
            self.log.fails = LogFenced("it died before its transaction", written=False)
            await self.host.fold(0, self.next_batch(3) or [Read(self.end, b"no event")])
            await turns(5)
            self.log.fails = None
        elif ill.what == "made anew":
            self.start, self.records = 0, self.records[: ill.reads % 2]
        elif ill.what == "trimmed":
            gone = self.records[: ill.reads]
            self.start, self.records = self.start + len(gone), self.records[len(gone) :]
        elif ill.what == "table lost":
            self.log.changelog.clear()
            self.accounts.clear()
        if not ill.keeps:
            self.log.next_offset = None
        if ill.what != "read" or not ill.keeps:
            await self.begin()

    def check(self) -> None:
        for account in ACCOUNTS:
            head = self.host.head(0, account)
            points = self.host.points(0, account, head.points_from, head.points.end)
            naive = self.accounts[account]
            assert trade_ids(self.host, account) == naive.trades
            assert [str(point.balance) for point in points] == naive.balances
            assert head.sequence == naive.newest


def made(told: Told, sequence: int) -> Event:
    balance = str(told.balance)
    if told.kind == "closed":
        return closed(sequence, balance, account_id=told.account)
    event = deposited(sequence, balance) if told.kind == "deposited" else reset(sequence, balance)
    return msgspec.structs.replace(event, account_id=told.account)


async def lived(steps: list[Told | Ill]) -> None:
    life = Life()
    await life.begin()
    for step in steps:
        if isinstance(step, Told):
            life.tell(step)
        else:
            await life.befall(step)
    await life.read(len(life.records))
    life.check()
    meta = decode_meta(table_of(life.host).entries[META_KEY]) if life.log.changelog else Meta(0, 0)
    heads = [life.host.head(0, account).sequence for account in ACCOUNTS]
    assert (meta.accounts, meta.taken, meta.rebuilt_to) == (sum(map(bool, heads)), sum(heads), 0)
    await life.begin()
    life.check()


@settings(max_examples=examples(600), deadline=None)
@given(st.lists(st.one_of(TOLD, TOLD, ILL), max_size=30))
def test_a_history_is_what_a_naive_reading_gives_that_passes_over_what_is_lost(steps: list[Told | Ill]) -> None:
    asyncio.run(lived(steps))
