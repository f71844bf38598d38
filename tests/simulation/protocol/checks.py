"""What is looked at when a life is over: every told outcome, every event, every row, against a fold of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from frame_reader import FrameReader
from naive_reference import Reference
from naive_rules import Effect, Tick
from naive_view import check_row, close_all_text, effects_of, fraction, item_of, tick_of, told

from exness_streams.domain import account_history, codec, rules
from exness_streams.domain.account_history import HistoryHead, Trade
from exness_streams.domain.cell import Cell, Reply
from exness_streams.domain.codec import PositionsClosed
from exness_streams.domain.events import Event, PositionClosed
from exness_streams.domain.frames import PriceFrame, SymbolFrame
from exness_streams.domain.outcomes import is_transient
from exness_streams.domain.quotes import AHEAD_MS_MAX
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.state_hash import state_hash
from exness_streams.engine.committer import public_event
from exness_streams.messages import JOURNAL_TOPIC
from protocol.clients import LIMITS, STARTING_BALANCE, outcome_bytes
from protocol.lossy_histories import check_lossy_history, events_of
from protocol.market import Told
from protocol.seen_ticks import Seen

if TYPE_CHECKING:
    from exness_streams.domain.commands import Command
    from protocol.clients import Client
    from protocol.world import World


LATE_FRAME = "late frames hide a trigger"
"""Of a former owner of the ticks, half of which the cell had seen: under the first rules this stays so."""

TAKEN_BACK = "frames of a slow clock take quotes back"
"""To who tells ticks late, or again, what a cell has seen is of the future: by the first rules it takes them back."""


class KnownFault(NamedTuple):
    """at: from which effect on anything may follow from it."""

    what: str
    at: int


class Replayed:
    """One partition's journal through a fresh cell, record by record."""

    def __init__(self, partition: int, values: list[tuple[int, bytes]], garbage: Collection[int]) -> None:
        """values: with their offsets. Those between are no records: marks of transactions, and what was rolled back.

        garbage: offsets of what an operator has given up.
        """
        values = [(offset, value) for offset, value in values if offset not in garbage]
        self.partition = partition
        self.records = [codec.decode_record(value) for _, value in values]
        self.entries: dict[bytes, bytes] = {}
        self.cell = Cell(partition, self.entries.get)
        self.events: list[Event] = []
        self.replies: dict[str, list[Reply]] = {}
        self.effects: list[Effect | str] = []
        self._births: dict[int, int] = {}
        self.commands = 0
        self.known_fault: KnownFault | None = None
        for (offset, _), record in zip(values, self.records, strict=True):
            if not isinstance(record, PriceFrame | RawFrame | codec.RulesChanged | codec.JournalRepaired):
                self._births[offset] = self.commands
                self.commands += 1
            if any(at in garbage for at in range(self.cell.next_offset, offset)):
                self.cell.give_up(offset)
            self.cell.pass_over(offset)
            folded = self.cell.fold(offset, record)
            self.events += folded.events
            self.effects += [self._effect(event) for event in folded.events]
            if folded.reply is not None:
                self.replies.setdefault(folded.reply.command_id, []).append(folded.reply)
                self.effects += _refusal(folded.reply)
        for key, value in self.cell.pending.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def meets(self, what: str, effects: int) -> None:
        """A fault of the first rules, after so many effects."""
        if self.known_fault is None:
            self.known_fault = KnownFault(what, effects)

    def birth(self, name: str) -> int:
        number = name.rsplit("_", 1)[1]
        return self._births.get(int(number), -1) if number.isdecimal() else -1

    def _effect(self, event: Event) -> Effect:
        name = item_of(event)
        kind, price, amount, fee, rest = told(event)
        birth = self.birth(name) if name else -1
        figures = Fraction(price), Fraction(amount), Fraction(fee), Fraction(event.balance)
        return Effect(event.account_id, event.sequence, kind, birth, *figures, tuple(map(fraction, rest)))


def _refusal(reply: Reply) -> list[Effect | str]:
    outcome = reply.outcome
    if reply.repeated:
        return []
    if isinstance(outcome, Rejection):
        return [outcome.code.value]
    return [close_all_text([one.outcome for one in outcome.results])] if isinstance(outcome, PositionsClosed) else []


def check(world: World) -> None:
    """Tells the world of each violation."""
    replayed = {}
    for partition in range(world.cells):
        log = world.broker.logs[JOURNAL_TOPIC, partition]
        records = log.read(0, log.end + 1)[0]
        values = [(record.offset, record.value) for record in records if record.value is not None]
        try:
            replayed[partition] = Replayed(partition, values, world.garbage[partition])
        except ValueError as error:
            world.violation(f"the journal of {partition} can't be folded: {error}")
            return
    for one in replayed.values():
        _count_rules(world, one)
        _check_rules(world, one)
        _check_events(world, one)
        _check_frames(world, one)
        _check_rows(world, one)
        _check_ticks(world, one)
        if world.gone_events[one.partition]:
            check_lossy_history(world, one.partition, one.events)
        else:
            _check_history(world, one)
    _check_clients(world, replayed)


def _check_events(world: World, replayed: Replayed) -> None:
    found = events_of(world, replayed.partition)
    wanted = [public_event(event).value for event in replayed.events]
    if [record.value for record in found] == wanted:
        return
    twice = [value for value, count in Counter(record.value for record in found).items() if count > 1]
    missing = len(set(wanted) - {record.value for record in found})
    world.violation(
        f"events of {replayed.partition}: {len(found)} were told, the journal gives {len(wanted)}; "
        f"{len(twice)} more than once, {missing} missing"
    )


def _check_frames(world: World, replayed: Replayed) -> None:
    """No frame ever comes that a cell which goes by offsets would have to drop, whatever framers come and go."""
    reader = FrameReader()
    for record in replayed.records:
        if isinstance(record, PriceFrame | RawFrame) and record.epoch:
            reader.fold(record)
    if reader.dropped:
        world.violation(f"frames of {replayed.partition} that a cell has to drop: {reader.dropped[:3]}")


def _check_rows(world: World, replayed: Replayed) -> None:
    partition = replayed.partition
    owner = world.owner(partition)
    assert owner is not None
    kept = world.on_disk(owner, owner.cells.table, partition)
    cell = owner.cells.cell(partition)
    assert cell is not None
    merged = {**kept, **cell.pending}
    entries = {key: value for key, value in merged.items() if key != codec.META_KEY and value is not None}
    if state_hash(entries.items()) != state_hash(replayed.entries.items()):
        differ = [key for key in sorted({*entries, *replayed.entries}) if entries.get(key) != replayed.entries.get(key)]
        world.violation(f"rows of {partition} are not those of a replay: {differ[:5]}")
    written: dict[bytes, bytes] = {}
    changes, _ = world.broker.logs[owner.cells.table.changelog_name, partition].read(0, 10**9)
    for change in changes:
        assert change.key is not None
        if change.value is None:
            written.pop(change.key, None)
        else:
            written[change.key] = change.value
    if written != kept:
        world.violation(f"the changelog of {partition} does not give its table")
    for key, value in entries.items():
        if key.startswith(codec.ROW_PREFIX):
            check_row(codec.decode_row(value))


def _check_history(world: World, replayed: Replayed) -> None:
    entries: dict[bytes, bytes | None] = {}
    heads: dict[str, HistoryHead] = {}
    course: dict[tuple[str, int], HistoryHead] = {}
    trades: dict[tuple[str, int], Trade] = {}
    for event in replayed.events:
        head = heads.get(event.account_id, HistoryHead())
        heads[event.account_id] = folded = account_history.fold_event(head, event, entries)
        course[event.account_id, folded.sequence] = folded
        if folded.trades.end > head.trades.end and isinstance(event, PositionClosed):
            trades[event.account_id, head.trades.end] = account_history.trade_of(event)
    for shown in world.shown:
        if shown.partition == replayed.partition and shown.head.sequence:
            told = [(number, trades.get((shown.account_id, number))) for number, _ in shown.trades]
            if course.get((shown.account_id, shown.head.sequence)) != shown.head or told != shown.trades:
                world.violation(f"{shown.account_id} was shown a history that is not that of its events")
    owner = world.owner(replayed.partition)
    assert owner is not None
    kept = world.on_disk(owner, owner.history.table, replayed.partition)
    found = {key: value for key, value in kept.items() if key != codec.META_KEY}
    if found != {key: value for key, value in entries.items() if value is not None}:
        world.violation(f"histories of {replayed.partition} are not those of its events")


def _check_ticks(world: World, replayed: Replayed) -> None:
    """Each tick by itself, in the order in which the journal took it, through the naive rules: the same effects."""
    effects: list[Effect | str] = []
    for effect in _naive_effects(world, replayed, effects):
        effects.append(effect)  # noqa: PERF402 - how many there are is asked meanwhile
    if effects == replayed.effects:
        return
    at = next(
        (n for n, (left, right) in enumerate(zip(effects, replayed.effects, strict=False)) if left != right),
        min(len(effects), len(replayed.effects)),
    )
    ours, theirs = effects[at : at + 1], replayed.effects[at : at + 1]
    told_of = f"cell {replayed.partition} differs from the naive rules, tick by tick: {theirs} and not {ours}"
    if replayed.known_fault is not None and replayed.known_fault.at <= at:
        world.known_fault(replayed.known_fault.what, told_of)
    else:
        world.violation(told_of)


def _naive_effects(world: World, replayed: Replayed, so_far: list[Effect | str]) -> Iterator[Effect | str]:
    """so_far: those that were taken already."""
    reference = Reference(Fraction(STARTING_BALANCE), LIMITS.open_max, Fraction(LIMITS.exposure_max))
    seen = Seen(world)
    known: set[tuple[str, str]] = set()
    births = epoch = 0
    active = rules.FIRST
    for record in replayed.records:
        if isinstance(record, codec.RulesChanged):
            active = record.rules
            reference.third_rules = active >= rules.ORDERS_AT_MARKET
            seen.epoch = max(seen.epoch, record.epoch)
        if isinstance(record, codec.RulesChanged | codec.JournalRepaired):
            continue
        if isinstance(record, PriceFrame | RawFrame) and active >= rules.FRAMES_BY_OFFSET and record.epoch:
            yield from _numbered(reference, seen, record)
            continue
        if active < rules.TIME_BY_FRAMES:
            yield from reference.expire(record.time_ms)
        if isinstance(record, PriceFrame):
            # By the first rules a cell takes what a former framer sends when its successor has begun.
            told_epoch = getattr(record, "epoch", 0)  # frames of before there were epochs have none
            is_former, epoch = told_epoch < epoch, max(epoch, told_epoch)
            counts = seen.counts
            if any(_is_late(world, one, counts[one.symbol], is_former) for one in record.symbols):
                replayed.meets(LATE_FRAME, len(so_far))
            if any(_takes_back(world, one, counts[one.symbol], record.sequence_max) for one in record.symbols):
                replayed.meets(TAKEN_BACK, len(so_far))
            yield from reference.frame(tick_of(one.symbol, one.quote) for one in _ticks_of(world, record, counts))
            continue
        birth, births = births, births + 1
        key = None if record.idempotency is None else (record.account_id, record.idempotency.key)
        if key in known:
            continue
        with _as_of(reference, seen, record.time_ms):
            told_of: list[Effect | str] = list(effects_of(replayed, reference, record, birth))  # type: ignore[arg-type]
        if key is not None and not _is_transient(told_of):
            known.add(key)
        yield from told_of


def _numbered(reference: Reference, seen: Seen, frame: PriceFrame | RawFrame) -> Iterator[Effect]:
    """A frame that says which ticks it is of; ones of a former framer count for nothing."""
    if frame.epoch < seen.epoch:
        return
    seen.epoch = frame.epoch
    if frame.restarts < seen.restarts:
        return
    seen.begins(frame)
    if frame.to_offset > seen.end:
        received = _receipts(frame)
        if isinstance(frame, RawFrame):
            for told in frame.ticks:
                at = received[frame.from_offset + told.offset]
                for tick in seen.up_to(told.symbol, frame.from_offset + told.offset):
                    seen.received[told.symbol] = at
                    now = seen.moves_to(at)
                    yield from reference.received([(tick_of(tick.symbol, tick.quote), now)], now)
        else:
            yield from reference.received(_in_order(seen, frame, received), max(seen.now_ms, frame.time_ms))
        seen.end = frame.to_offset
    yield from reference.expire(seen.moves_to(frame.time_ms))
    if frame.markets is not None:
        yield from reference.tell({one.symbol: (one.state.value, fraction(one.price)) for one in frame.markets})


def _in_order(seen: Seen, frame: PriceFrame, received: dict[int, int]) -> Iterator[tuple[Tick, int]]:
    """Ticks with the time of their receipt. One that is told of none moves no trigger, so that it may be any time."""
    ticks: list[Told] = []
    for one in frame.symbols:
        news = seen.up_to(one.symbol, frame.from_offset + one.offset)
        ticks += news
        if news:  # else the cell knows it by sequence, from before the rules changed
            seen.received[one.symbol] = frame.time_ms - one.before_ms
    for tick in sorted(ticks):
        yield tick_of(tick.symbol, tick.quote), seen.moves_to(received.get(tick.offset, 0))


def _receipts(frame: PriceFrame | RawFrame) -> dict[int, int]:
    """When ticks were received, by their offset, as far as a frame tells."""
    if isinstance(frame, RawFrame):
        return {frame.from_offset + tick.offset: frame.time_ms - tick.before_ms for tick in frame.ticks}
    steps = [
        step for one in frame.symbols for step in (one, *one.bid_lows, *one.bid_highs, *one.ask_lows, *one.ask_highs)
    ]
    return {frame.from_offset + step.offset: frame.time_ms - step.before_ms for step in steps}


@contextmanager
def _as_of(reference: Reference, seen: Seen, time_ms: int) -> Iterator[None]:
    """A command that was long on its way finds quotes that are of the future for it: they fill nothing."""
    market = reference.market
    newer = [
        symbol for symbol, count in seen.counts.items() if count and seen.newest_ms(symbol) - time_ms > AHEAD_MS_MAX
    ]
    known = {symbol: market[symbol] for symbol in newer}
    market.update((symbol, Tick(symbol, None, None, tick.last)) for symbol, tick in known.items())
    yield
    market.update(known)


def _count_rules(world: World, replayed: Replayed) -> None:
    """How much of a life went by which rules."""
    changed = [n for n, record in enumerate(replayed.records) if isinstance(record, codec.RulesChanged)]
    if changed and changed[0] > 0:
        world.counted["records by the first rules"] += changed[0]
        world.counted["records by later rules, in the same journals"] += len(replayed.records) - changed[0]


def _check_rules(world: World, replayed: Replayed) -> None:
    """A new journal goes by the newest rules, whoever has written to it first."""
    if replayed.records and not world.begins_old and replayed.cell.rules < rules.NEWEST:
        world.violation(f"cell {replayed.partition} goes by rules {replayed.cell.rules}, and its journal was new")


def _is_late(world: World, frame: SymbolFrame, seen: int, is_former: bool) -> bool:
    """Whether a frame ends after what the cell has seen of its symbol, and begins before it or is a former framer's."""
    newest = world.market.ticks_of[frame.symbol][seen - 1].quote.sequence if seen else -1
    staircases = (frame.bid_lows, frame.bid_highs, frame.ask_lows, frame.ask_highs)
    begins_before = any(steps and steps[0].sequence <= newest for steps in staircases)
    return newest < frame.last.sequence and (begins_before or is_former)


def _takes_back(world: World, frame: SymbolFrame, seen: int, sequence_max: int) -> bool:
    """Whether a frame brings nothing new, and is taken all the same."""
    newest = world.market.ticks_of[frame.symbol][seen - 1].quote.sequence if seen else -1
    return newest > sequence_max >= frame.last.sequence


def _ticks_of(world: World, frame: PriceFrame, seen: Counter[str]) -> list[Told]:
    """What a frame stands for: of its symbols all ticks up to its last that were not seen before. seen: how many."""
    found: list[Told] = []
    for one in frame.symbols:
        ticks = world.market.ticks_of[one.symbol]
        while seen[one.symbol] < len(ticks) and ticks[seen[one.symbol]].quote.sequence <= one.last.sequence:
            found.append(ticks[seen[one.symbol]])
            seen[one.symbol] += 1
    return sorted(found)


def _is_transient(effects: list[Any]) -> bool:
    if len(effects) == 1 and isinstance(effects[0], str) and effects[0].startswith("close-all"):
        return "PRICE_UNAVAILABLE" in effects[0] and "closed" not in effects[0]
    return effects == ["PRICE_UNAVAILABLE"]


def _check_clients(world: World, replayed: dict[int, Replayed]) -> None:
    for client in world.clients:
        outcomes: dict[str, bytes] = {}
        for command, partition, status, reply in client.attempts:
            folded = replayed[partition].replies.get(command.command_id, [])
            if len(folded) > 1:
                world.violation(f"{command.command_id} is in the journal {len(folded)} times")
            if status == "refused" and folded:
                world.violation(f"{command.command_id} was refused, and is in the journal")
            if status != "answered":
                continue
            assert reply is not None
            if not folded:
                if not _is_told_again(client, replayed[partition], command, reply):
                    world.violation(f"{command.command_id} was answered, and is not in the journal")
            elif outcome_bytes(folded[0]) != outcome_bytes(reply) or folded[0].repeated != reply.repeated:
                world.violation(f"{command.command_id} was told another outcome than its fold's")
            key = None if command.idempotency is None else command.idempotency.key
            if key is None or is_transient(reply.outcome):
                continue
            if outcomes.setdefault(key, outcome_bytes(reply)) != outcome_bytes(reply):
                world.violation(f"key {key} of {client.account_id} was told two outcomes")


def _is_told_again(client: Client, replayed: Replayed, command: Command, reply: Reply) -> bool:
    """Whether an answer without a record is the outcome of an earlier request under its key."""
    if not reply.repeated or command.idempotency is None:
        return False
    earlier = [
        folded
        for attempt in client.attempts
        if attempt.command.idempotency == command.idempotency
        for folded in replayed.replies.get(attempt.command.command_id, [])
    ]
    return any(outcome_bytes(one) == outcome_bytes(reply) for one in earlier)
