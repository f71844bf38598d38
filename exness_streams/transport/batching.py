"""Batches through Faust: one Message for all that a partition's fetch brought. Shared by both transports.

Faust spends 70 to 85 µs on each message; a batch pays that once. Apps say which topics are read so:
`app.batched_topics`, and of those `app.self_committed_topics`, whose agents commit the offset themselves, in
one transaction with their effects (CellLog, FrameLog). A batched topic is declared with
`value_serializer="raw"` and no value type: the event's value is the list of the driver's records.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from faust.transport.consumer import Consumer
from faust.types import TP, ConsumerMessage

from exness_streams.transport.faults import LogFault

SINGLES_AT_ONCE = 200
"""Single records given out before the sources are looked at again: some 20 ms of Faust's time."""

AHEAD_BYTES_MAX = 1 << 20
"""Of a partition's records that were fetched and not given out: with so many it is not fetched any further."""

AHEAD_BYTES_LOW = AHEAD_BYTES_MAX // 2
"""With so few it is fetched again: a fetch that is under way for others must end first."""

CRASHED_ROUND_S = 1.0


class Wakeup:
    """Ends one waiter's wait; a call of `set` before the wait is kept. For one event loop."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float) -> None:
        """Return when set, or after `timeout_s`; either way it is then not set."""
        if not self._is_set:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self.set)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._is_set = False


class BatchMessage(ConsumerMessage):  # type: ignore[misc]  # faust is untyped here
    """A Message whose value is the list of a partition's records, and whose offset is the last one's.

    Faust's stream iterators acknowledge in more than one place, some of them compiled, but all of them set
    `acked`: so that is where the consumer learns of it.
    """

    def __init__(self, last: ConsumerMessage, records: list[Any], on_acked: Callable[[BatchMessage], None]) -> None:
        self._acked = False
        self._on_acked = on_acked
        super().__init__(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp,
            last.timestamp_type,
            last.headers,
            None,
            records,
            None,
            tp=last.tp,
            generation_id=last.generation_id,
        )

    @property
    def acked(self) -> bool:
        return self._acked

    @acked.setter
    def acked(self, acked: bool) -> None:
        self._acked = acked
        if acked:
            self._on_acked(self)


class BatchingConsumer(Consumer):  # type: ignore[misc]
    """A mixin to go before the driver's Consumer.

    At most one batch of a partition is in flight: the next is given out once that Message is acknowledged, and is
    whatever has arrived meanwhile. A driver that `reads_ahead` fetches it meanwhile, too, changelogs as well, up to a
    mark, and has what is beyond it not fetched at all. (aiokafka has one consumer for all partitions, and holds back
    every fetch from a broker, for up to 100 ms, while one partition has records that nobody took: a frame's pace or a
    cell's transaction would make all other cells wait.)

    Source partitions are held back until recovery has sought them and let the flow go on. (Faust resumes them before
    it seeks, and clears its queues after: what is read in between is read twice, or lost.)

    A changelog comes record by record, and is given out a little at a time: a worker that has just become a standby
    has thousands to read, in a fetch that may begin before its sources are released, and its cells would stand
    still for seconds.

    A driver's `_getmany` should return early when `wakeup` is set: a batch was acknowledged, or a partition
    resumed.
    """

    reads_ahead = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.wakeup = Wakeup()
        # Weak: Faust waits for messages taken and not acknowledged, until the garbage collector has them.
        self._in_flight: dict[TP, weakref.ref[BatchMessage]] = {}
        self._waiting: dict[TP, list[Any]] = {}  # records that were fetched and not given out yet
        self._ahead_bytes: dict[TP, int] = {}  # how large those are
        self._full: set[TP] = set()
        self._seeks: Counter[TP] = Counter()
        self._fetched_to: dict[TP, int] = {}  # behind the last record that was fetched since the newest seek
        self._sought = False
        self._sources_released = False
        super().__init__(*args, **kwargs)

    async def sleep(self, n: float) -> None:
        # From a crash until the consumer is stopped Faust's fetching goes round and fetches nothing, and pauses by
        # sleep(0) alone: it would take the core that whatever stops the worker needs.
        await super().sleep(CRASHED_ROUND_S if self.crashed else n)

    # -- what may be fetched

    def _is_batched(self, tp: TP) -> bool:
        return tp.topic in getattr(self.app, "batched_topics", ())

    def _fetchable(self, active: set[TP]) -> set[TP]:
        """The active partitions that are not held back and have no batch in flight, or not too much read ahead.

        All that the driver may fetch: what it is not asked for must not lie in wait there.
        """
        if self.reads_ahead:
            self._full = busy = {
                tp
                for tp, size in self._ahead_bytes.items()
                if size >= (AHEAD_BYTES_LOW if tp in self._full else AHEAD_BYTES_MAX)
            }
        else:
            busy = self._in_flight.keys() | self._waiting.keys()
        return {tp for tp in active if tp not in busy and (self._sources_released or self._is_changelog_tp(tp))}

    def _givable(self, active: set[TP] | None) -> dict[TP, list[Any]]:
        """What waits, and may be given out now."""
        return {
            tp: found
            for tp, found in self._waiting.items()
            if tp not in self._in_flight and (active is None or tp in active)
        }

    async def _wait_next_records(self, timeout: float) -> tuple[Mapping[TP, list[Any]] | None, set[TP] | None]:
        # Faust's own sleeps a whole second when no partition is active.
        if self.app.client_only:
            found: tuple[Mapping[TP, list[Any]] | None, set[TP] | None]
            found = await super()._wait_next_records(timeout)
            return found
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active: set[TP] = self._get_active_partitions()
        fetchable = self._fetchable(active)
        if self._givable(active):
            timeout = 0.0
        if fetchable:
            return await self._getmany(fetchable, timeout), active
        if timeout:
            await self.wakeup.wait(timeout)
        return {}, active

    def resume_partitions(self, tps: Any) -> None:
        super().resume_partitions(tps)
        self.wakeup.set()

    def resume_flow(self) -> None:
        # Recovery calls this last, after the seek and after clearing the queues.
        self._sources_released = self._sought
        super().resume_flow()
        self.wakeup.set()

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self.wakeup.set()

    # -- from records to messages

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        records, active = await self._wait_next_records(timeout)
        # Only what comes between here and the last record makes the rest stale: the fetch itself may have
        # waited through a whole rebalance, and brought the first records after it.
        generation = self.app.consumer_generation_id
        seeks = self._seeks.copy()
        for tp, found in (records or {}).items():
            if self._begins_again(tp, found):
                await self.app.crash(_begun_again(tp, found[0].offset, self._fetched_to[tp]))
                return
        if not (records or self._waiting) or self.should_stop:
            return
        if not self.flow_active:
            await self._give_back()
            return
        for tp in records or ():
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        for tp, found in self._in_turn(records or {}, active):
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return
            wanted = active is None or tp in active or tp in self._buffered_partitions
            if wanted and self._seeks[tp] == seeks[tp]:
                yield tp, self._deliver(tp, found)

    def _begins_again(self, tp: TP, found: list[Any]) -> bool:
        """Whether a batched partition goes back without a seek: its topic was made anew, and clients go on at its
        beginning without a word. Faust would drop all up to where the former one was, and this partition would wait for
        ever to hear that its batch was worked on."""
        if not found or not self._is_batched(tp):
            return False
        if found[0].offset < self._fetched_to.get(tp, 0):
            return True
        self._fetched_to[tp] = found[-1].offset + 1
        return False

    def _in_turn(self, records: Mapping[TP, list[Any]], active: set[TP] | None) -> Any:
        """Batches first, since they cost least; then single records, from each partition in turn."""
        fresh = {tp: found for tp, found in records.items() if found}
        for tp in [tp for tp in fresh if tp in self._in_flight or tp in self._waiting]:
            self._keep(tp, fresh.pop(tp))
        found_now = {**self._givable(active), **fresh}
        batches = {tp: found for tp, found in found_now.items() if self._is_batched(tp)}
        for tp in batches:
            self._give_all(tp)
        yield from batches.items()
        singles = {tp: found for tp, found in found_now.items() if tp not in batches}
        share = max(1, SINGLES_AT_ONCE // max(1, len(singles)))
        yield from self.scheduler.iterate({tp: self._share(tp, found, share) for tp, found in singles.items()})

    def _share(self, tp: TP, found: list[Any], most: int) -> list[Any]:
        """The first of the records that are to be given out; the rest waits."""
        if len(found) <= most:
            self._give_all(tp)
        elif tp in self._waiting:
            self._waiting[tp] = found[most:]
            self._ahead_bytes[tp] -= _size(found[:most])
        else:
            self._keep(tp, found[most:])
        return found[:most]

    def _keep(self, tp: TP, found: list[Any]) -> None:
        """For later, behind what waits already."""
        self._waiting.setdefault(tp, []).extend(found)
        self._ahead_bytes[tp] = self._ahead_bytes.get(tp, 0) + _size(found)

    def _give_all(self, tp: TP) -> None:
        self._waiting.pop(tp, None)
        self._ahead_bytes.pop(tp, None)

    def _deliver(self, tp: TP, found: Any) -> ConsumerMessage:
        """The Message for a batched partition's records, or for another one's single record."""
        if not self._is_batched(tp):
            return self._to_message(tp, found)
        batch = BatchMessage(self._to_message(tp, found[-1]), found, self._on_batch_acked)
        self._in_flight[tp] = weakref.ref(batch)
        return batch

    async def _give_back(self) -> None:
        """The flow was stopped while records were being fetched: have them fetched again later.

        Dropping them instead loses them for good, since the driver's position is behind them.
        """
        await super().perform_seek()
        self._forget_batches()

    # -- in flight

    def _on_batch_acked(self, batch: BatchMessage) -> None:
        current = self._in_flight.get(batch.tp)
        if current is not None and current() is batch:  # not one from before a seek or a rebalance
            del self._in_flight[batch.tp]
            # Read ahead, it is in the fetch under way: to end that one would win nothing.
            if not self.reads_ahead or batch.tp in self._waiting:
                self.wakeup.set()

    def _forget_batches(self, tps: Sequence[TP] | None = None) -> None:
        """After a seek or a revocation: what was fetched before it no longer counts. None: all partitions."""
        for tp in [*self._in_flight, *self._waiting] if tps is None else tps:
            self._in_flight.pop(tp, None)
            self._give_all(tp)
        for tp in self.assignment() if tps is None else tps:
            self._seeks[tp] += 1
            self._fetched_to.pop(tp, None)
        self.wakeup.set()

    async def perform_seek(self) -> None:
        await super().perform_seek()
        # Changelogs stay where they are, and standbys may be under way already: nobody would read those again.
        self._forget_batches([tp for tp in self.assignment() if not self._is_changelog_tp(tp)])
        self._sought = True

    async def seek(self, partition: TP, offset: int) -> None:
        await super().seek(partition, offset)
        self._forget_batches([partition])

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        await super().seek_wait(partitions)
        self._forget_batches(list(partitions))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        self._forget_batches(list(revoked))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._sought = self._sources_released = False
        self._forget_batches(list(assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    def is_waiting(self, tp: TP) -> bool:
        """Whether records of a batched partition wait: some that are being worked on, or some that nobody has taken."""
        return tp in self._in_flight or tp in self._waiting or self._is_behind(tp)

    def _is_behind(self, tp: TP) -> bool:
        """The driver's: whether the partition has records that were not fetched. What it knows; nobody is asked."""
        raise NotImplementedError

    # -- acknowledged offsets

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_batched(tp):
            offset: int | None = super()._new_offset(tp)
            return offset
        acked = self._acked[tp]
        if not acked:
            return None
        next_offset: int = max(acked) + 1  # one batch at a time: everything before it is done
        acked.clear()
        self._acked_index[tp].clear()
        if tp.topic in getattr(self.app, "self_committed_topics", ()):
            return None
        return next_offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # To Faust the offsets inside a batch look like a gap; its tree of gaps grows with every batch.
        if not self._is_batched(tp):
            await super()._add_gap(tp, offset_from, offset_to)

    async def _wait_for_ack(self, timeout: float) -> None:
        # An acknowledgement that came while the offsets were being committed is not announced again: without
        # this look, stopping waits a second for it.
        self._clean_unacked_messages()
        if self._unacked_messages:
            await super()._wait_for_ack(timeout)


def _begun_again(tp: TP, offset: int, fetched_to: int) -> LogFault:
    return LogFault(
        f"partition {tp.partition} of {tp.topic} begins again at record {offset}, but was read up to {fetched_to}: the "
        "topic was made anew. This worker must start again (docs/operations.md, Lost state)"
    )


def _size(records: list[Any]) -> int:
    return sum(len(record.value or b"") for record in records)
