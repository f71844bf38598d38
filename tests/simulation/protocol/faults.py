"""Faults put in by hand: does the simulation find anything? Each takes the place of one rule of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from exness_streams.domain import cell, codec, rules
from exness_streams.domain.frame_fold import FrameFold
from exness_streams.engine import cells, framer, framer_state, gateway
from exness_streams.engine.ahead import Ahead
from exness_streams.engine.fresh_cells import FreshCells
from exness_streams.engine.owned_cell import OwnedCell
from exness_streams.transport import leases
from exness_streams.transport.interfaces import LogRecord
from exness_streams.transport.leases import Lease
from protocol import worker
from protocol.command import Floor
from protocol.logs import GROUP, SimCellLog, Transactions
from protocol.loop import process
from protocol.world import live

Patch = tuple[Any, str, Any]


def commit_before_fence() -> list[Patch]:
    """A worker reads how far its cells are committed, and fences their former owner only when it commits itself."""

    class Late(Transactions):
        async def __call__(self, *args: Any) -> Sequence[int]:
            if not self.epoch:
                broker = self.connection.broker
                self.epoch = await self.connection.ask(self.name, lambda: broker.start_producer(self.name))
            return await super().__call__(*args)

    async def take(self: SimCellLog, partition: int) -> Lease:
        place, broker = (GROUP, self.topic, partition), self.connection.broker
        committed = await self.connection.ask(f"{self.topic}-{partition}", lambda: broker.offsets.get(place))
        return self.lease_of(partition, committed, Late(self.connection, self.topic, partition, 0))

    return [(SimCellLog, "_take", take)]


def offset_before_rows() -> list[Patch]:
    """The input's offset is one transaction, and what came of the input another."""
    whole = Transactions.__call__

    async def commit(self: Transactions, records: Sequence[LogRecord], next_offset: int) -> Sequence[int]:
        await whole(self, [], next_offset)
        return await whole(self, records, next_offset)

    return [(Transactions, "__call__", commit)]


def gap_check_off() -> list[Patch]:
    """A consumer goes on where it had read to, not where the cell is committed; and the cell does not look."""
    whole = cell.Cell.fold
    read: dict[tuple[int, Any], int] = {}

    def fold(self: cell.Cell, offset: int, record: Any) -> Any:
        self.next_offset = offset
        return whole(self, offset, record)

    fetched = worker.Engine._fetched

    def fetch(self: worker.Engine, tp: Any, position: int) -> Any:
        place = (id(self), tp)
        if tp.topic == "trading-journal":
            position = max(position, read.get(place, 0))
            found, after = self.world.broker.logs[tp].read(position, self.world.knobs.batch)
            if found:
                read[place] = after
                return found, after
        return fetched(self, tp, position)

    return [
        (cell.Cell, "fold", fold),
        (cells, "check_next", lambda *_: None),
        (worker.Engine, "_fetched", fetch),
    ]


def lease_check_off() -> list[Patch]:
    """A lease is a number: whoever holds the partition now may commit, whatever it has folded."""
    by_number: dict[tuple[int, str, int], Lease] = {}

    def lease_of(self: SimCellLog, partition: int, committed: int | None, transactions: Transactions) -> Lease:
        lease = by_number.setdefault(
            (id(self), self.topic, partition), Lease(partition, transactions.name, committed, transactions)
        )
        lease._transact, lease.committed = transactions, committed
        lease._state = leases._State.HELD
        return lease

    return [
        (SimCellLog, "lease_of", lease_of),
        (Lease, "end", lambda self: None),
        (cells.CellHost, "_goes_on", lambda self, owned, lease: True),
    ]


def raw_range_skipped() -> list[Patch]:
    """Ticks that may have been framed by a former framer are framed as any others."""
    whole = framer_state.take_over

    def take_over(*args: Any) -> Any:
        taken = whole(*args)
        return taken._replace(state=msgspec.structs.replace(taken.state, promised=taken.state.framed))

    return [(framer, "take_over", take_over)]


def promise_not_awaited() -> list[Patch]:
    """Frames are written without a promise that was committed before."""

    async def promise(self: framer.Framer, session: Any, end: int) -> bool:
        return self._session is session

    return [(framer.Framer, "_promise", promise)]


def epoch_not_raised() -> list[Patch]:
    """A framer goes on in the epoch of the one before it: nobody can tell their frames apart."""
    whole = framer_state.take_over

    def take_over(found: Any, *args: Any) -> Any:
        taken = whole(found, *args)
        before = taken.state.epoch if found.state is None else found.state.epoch
        return taken._replace(state=msgspec.structs.replace(taken.state, epoch=before))

    return [(framer, "take_over", take_over)]


def epoch_not_compared() -> list[Patch]:
    """A cell takes what a former framer sends when it has heard of its successor."""
    whole = FrameFold.fold

    def fold(self: FrameFold, folding: Any, frame: Any, active: int) -> Any:
        return whole(self, folding, msgspec.structs.replace(frame, epoch=max(frame.epoch, self.epoch)), active)

    return [(FrameFold, "fold", fold)]


def rules_by_code() -> list[Patch]:
    """One worker's release folds by the rules it knows best, whatever the journal says."""
    change, load = rules.after_change, cell.Cell.load

    def is_old() -> bool:
        here = process.get()
        return here is not None and here.name.startswith("w1")

    def after_change(partition: int, current: int, wanted: int) -> int:
        return rules.FIRST if is_old() else change(partition, current, wanted)

    def load_cell(self: cell.Cell, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)
        self.rules = rules.FIRST if is_old() else self.rules

    return [(rules, "after_change", after_change), (cell.Cell, "load", load_cell)]


def key_remembered_before_the_fold() -> list[Patch]:
    """A key is kept in the table at once, and what the request did only with the commit."""
    whole = cells.CellHost._fold_slice

    def fold_slice(self: cells.CellHost, owned: OwnedCell, batch: Any) -> None:
        whole(self, owned, batch)
        folding = owned.cell
        kept = self.table.on_disk(folding.partition)  # type: ignore[attr-defined]
        folded = [item for part in owned.ahead.parts for item in part.entries.items()]
        early = {key: value for key, value in folded if key.startswith(codec.OUTCOME_PREFIX)}
        kept.put(early, kept.offset)

    return [(cells.CellHost, "_fold_slice", fold_slice)]


def lost_acknowledgement_is_a_failure() -> list[Patch]:
    """No answer in time is taken for a no."""
    whole = gateway.Gateway.submit

    async def submit(self: gateway.Gateway, *args: Any) -> Any:
        try:
            return await whole(self, *args)
        except gateway.OutcomeUnknown as unknown:
            raise gateway.NotWritten(str(unknown)) from unknown

    return [(gateway.Gateway, "submit", submit)]


def read_without_fresh_fetch() -> list[Patch]:
    """A read is answered from whatever cell is here, though the worker may have lost it unheard."""
    return [(FreshCells, "cell", lambda self, partition: self._cells.cell(partition))]


def read_before_all_is_folded() -> list[Patch]:
    """A cell answers reads as soon as it is loaded, though its journal goes on."""
    return [(cells.CellHost, "is_caught_up", lambda self, partition: self.cell(partition) is not None)]


def restart_flag_ignored() -> list[Patch]:
    """Cells do not hear that the ticks' topic was made anew: its offsets are below what they have seen."""
    return [_each_frame(lambda frame: msgspec.structs.replace(frame, restarts=0))]


def gap_flag_ignored() -> list[Patch]:
    """Cells do not hear that ticks were trimmed, and wait for them."""
    return [_each_frame(lambda frame: msgspec.structs.replace(frame, gap=False))]


def _each_frame(seen_as: Callable[[Any], Any]) -> Patch:
    whole = FrameFold.fold

    def fold(self: FrameFold, folding: Any, frame: Any, active: int) -> Any:
        return whole(self, folding, seen_as(frame), active)

    return FrameFold, "fold", fold


def expired_offset_is_none() -> list[Patch]:
    """A cell whose offset the brokers have forgotten begins with what is left of its journal, on the rows it has."""
    lease_of = SimCellLog.lease_of

    def from_the_start(self: SimCellLog, partition: int, committed: int | None, transactions: Transactions) -> Lease:
        return lease_of(self, partition, committed or 0, transactions)

    async def mend_offset(self: cells.CellHost, partition: int, *, journal_start: int) -> None:
        return None

    return [
        (SimCellLog, "lease_of", from_the_start),
        (cells.CellHost, "mend_offset", mend_offset),
    ]


def ahead_is_not_read() -> list[Patch]:
    """What is folded and not committed is not seen by the records that follow."""
    return [(Ahead, "entry", lambda self, key: self._stored(key))]


def ahead_is_forgotten() -> list[Patch]:
    """A cell that comes back drops what ran ahead, and passes over its records when they come again."""
    whole = OwnedCell.goes_on_with

    def goes_on_with(self: OwnedCell, lease: Lease) -> None:
        self.ahead.parts.clear()
        whole(self, lease)

    return [(OwnedCell, "goes_on_with", goes_on_with)]


FAULTS: dict[str, Callable[[], list[Patch]]] = {
    "commit before fence": commit_before_fence,
    "offset before rows": offset_before_rows,
    "gap check off": gap_check_off,
    "lease check off": lease_check_off,
    "promise not awaited": promise_not_awaited,
    "raw range skipped": raw_range_skipped,
    "epoch not raised at a takeover": epoch_not_raised,
    "epoch not compared": epoch_not_compared,
    "rules by code instead of by log": rules_by_code,
    "key remembered before the fold": key_remembered_before_the_fold,
    "what runs ahead is not read": ahead_is_not_read,
    "what runs ahead is forgotten": ahead_is_forgotten,
    "a lost acknowledgement taken for a failure": lost_acknowledgement_is_a_failure,
    "a read without a fresh fetch": read_without_fresh_fetch,
    "a read before all is folded": read_before_all_is_folded,
    "restart flag ignored": restart_flag_ignored,
    "gap flag ignored": gap_flag_ignored,
    "an expired offset taken as 0": expired_offset_is_none,
}


@contextmanager
def put_in(name: str | None) -> Iterator[None]:
    """The program with a fault; with none when there is no name."""
    patches = [] if name is None else FAULTS[name]()
    before = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


def first_found(name: str, seeds_max: int, first: int = 0, only: Collection[str] = ()) -> tuple[int, str] | None:
    """(how many lives it took, what was found), None when nothing was. only: see world.live."""
    for number in range(seeds_max):
        outcome = live(first + number, fault=name, only=only)
        if outcome.violations:
            return number + 1, outcome.violations[0]
    return None


FLOOR = Floor(live, FAULTS, first_found)
