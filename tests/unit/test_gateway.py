"""The gateway: every way in which a command's outcome reaches its client, or does not."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from event_loop import turns

from exness_streams.domain.cell import Reply
from exness_streams.domain.checks import position_not_found
from exness_streams.domain.codec import decode_record
from exness_streams.domain.commands import ClosePosition, Command
from exness_streams.domain.instruments import Limits
from exness_streams.engine.gateway import OLDEST_WAIT_S_MAX, Gateway, NotWritten, OutcomeUnknown, Overloaded
from exness_streams.transport.faults import LogFault

OUTCOME = position_not_found("p")


def command(command_id: str = "c1") -> ClosePosition:
    return ClosePosition(
        command_id=command_id,
        account_id="ann",
        time_ms=1,
        starting_balance=Decimal(10_000),
        quote_age_ms_max=5_000,
        limits=Limits(),
        position_id="p",
    )


class FakeJournal:
    """Keeps what is appended; the test decides when it is durable."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, Command]] = []
        self.durable: list[asyncio.Future[object]] = []
        self.refuses_with: LogFault | None = None

    async def __call__(self, partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        if self.refuses_with is not None:
            raise self.refuses_with
        record = decode_record(value)
        assert isinstance(record, ClosePosition)
        self.appended.append((account_id, record))
        self.durable.append(asyncio.get_running_loop().create_future())
        return self.durable[-1]


async def submitted(
    gateway: Gateway, journal: FakeJournal, command_id: str = "c1", *, partition: int = 0
) -> asyncio.Task[Reply]:
    """A command that is appended and waits."""
    before = len(journal.appended)
    task = asyncio.create_task(gateway.submit(partition, command(command_id)))
    while len(journal.appended) == before:  # noqa: ASYNC110 - a few turns of the loop, no time
        await asyncio.sleep(0)
    return task


async def test_a_client_gets_the_outcome_of_its_own_command() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    first, second = await submitted(gateway, journal, "c1"), await submitted(gateway, journal, "c2")
    gateway.on_reply(Reply("c2", OUTCOME, repeated=True))
    gateway.on_reply(Reply("c1", OUTCOME))
    assert await first == Reply("c1", OUTCOME)
    assert await second == Reply("c2", OUTCOME, repeated=True)
    assert journal.appended == [("ann", command("c1")), ("ann", command("c2"))]


async def test_an_outcome_may_come_before_the_append_is_known_to_be_durable() -> None:
    gateway: Gateway

    async def journal(partition: int, account_id: str, value: bytes) -> asyncio.Future[object]:
        gateway.on_reply(Reply("c1", OUTCOME))
        return asyncio.get_running_loop().create_future()

    gateway = Gateway(journal)
    assert (await gateway.submit(0, command())).outcome == OUTCOME


async def test_who_may_have_lost_the_account_tells_no_outcome() -> None:
    """It is right, but the account's owner may not have read so far: its client would find less there."""
    journal, fresh = FakeJournal(), [False]
    gateway = Gateway(journal, is_fresh=lambda: fresh[0])
    first = await submitted(gateway, journal, "c1")
    gateway.on_reply(Reply("c1", OUTCOME))
    with pytest.raises(OutcomeUnknown, match="may be another worker's by now"):
        await first
    second = await submitted(gateway, journal, "c2")
    fresh[0] = True
    gateway.on_reply(Reply("c2", OUTCOME))
    assert await second == Reply("c2", OUTCOME)
    assert gateway.oldest_wait_s == 0


async def test_replies_that_nobody_waits_for_are_ignored() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    gateway.on_reply(Reply("of another process", OUTCOME))
    task = await submitted(gateway, journal)
    gateway.on_reply(Reply("c1", OUTCOME))
    gateway.on_reply(Reply("c1", OUTCOME))
    await task
    gateway.on_reply(Reply("c1", OUTCOME))


@pytest.mark.parametrize(("written", "raised"), [(False, NotWritten), (None, OutcomeUnknown)])
async def test_a_log_that_fails_after_the_append(written: bool | None, raised: type[Exception]) -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    task = await submitted(gateway, journal)
    journal.durable[0].set_exception(LogFault("the disk is full", written=written))
    with pytest.raises(raised, match="the disk is full"):
        await task


async def test_a_log_that_takes_nothing() -> None:
    journal = FakeJournal()
    journal.refuses_with = LogFault("the log is closed", written=False)
    with pytest.raises(NotWritten, match="the log is closed"):
        await Gateway(journal).submit(0, command())


async def test_an_outcome_is_final_whatever_the_log_says_later() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    task = await submitted(gateway, journal)
    gateway.on_reply(Reply("c1", OUTCOME))
    journal.durable[0].set_exception(LogFault("too late", written=None))
    assert (await task).outcome == OUTCOME


async def test_without_an_outcome_in_time_it_is_unknown() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal, answer_timeout_s=0.01)
    with pytest.raises(OutcomeUnknown, match="no outcome within"):
        await gateway.submit(0, command())
    gateway.on_reply(Reply("c1", OUTCOME))
    journal.durable[0].set_result(None)


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    task = await submitted(gateway, journal)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gateway.on_reply(Reply("c1", OUTCOME))
    journal.durable[0].set_exception(LogFault("nobody is here to hear it"))
    await asyncio.sleep(0)
    again = await submitted(gateway, journal)
    gateway.on_reply(Reply("c1", OUTCOME))
    await again


async def test_an_append_that_is_cancelled_ends_the_waiting() -> None:
    """The log was closed under it: whether the record is there, nobody here knows."""
    journal = FakeJournal()
    task = await submitted(Gateway(journal), journal)
    journal.durable[0].cancel()
    with pytest.raises(OutcomeUnknown):
        await task


async def test_who_waits_for_a_cell_that_moves_away_is_told_at_once() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    moved, stays, moves_later = [
        await submitted(gateway, journal, f"c{partition}", partition=partition) for partition in range(3)
    ]
    gateway.abandon([])
    gateway.abandon([0, 7])
    await turns()
    assert moved.done()
    with pytest.raises(OutcomeUnknown, match="moved"):
        await moved
    assert not stays.done()
    assert not moves_later.done()
    gateway.abandon(iter([2]))
    with pytest.raises(OutcomeUnknown, match="moved"):
        await moves_later
    gateway.on_reply(Reply("c1", OUTCOME))
    assert await stays == Reply("c1", OUTCOME)


async def test_a_stopping_worker_takes_no_command_and_settles_those_under_way() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    waiting = await submitted(gateway, journal)
    closing = asyncio.create_task(gateway.close(60.0))
    while not gateway._closed:  # noqa: ASYNC110 - a turn of the loop, no time
        await asyncio.sleep(0)
    with pytest.raises(NotWritten, match="stopping"):
        await gateway.submit(0, command("late"))
    reply = Reply("c1", OUTCOME)
    gateway.on_reply(reply)
    assert await waiting is reply
    await closing
    assert len(journal.appended) == 1


async def test_what_a_stopping_worker_cannot_settle_is_unknown_at_once() -> None:
    journal = FakeJournal()
    gateway = Gateway(journal)
    waiting = await submitted(gateway, journal)
    await gateway.close(0.0)
    with pytest.raises(OutcomeUnknown, match="stopping"):
        await waiting


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("waited_s", "is_taken"), [(0.0, True), (OLDEST_WAIT_S_MAX, True), (1.001, False)])
async def test_a_cell_whose_oldest_command_waits_too_long_takes_no_more(waited_s: float, is_taken: bool) -> None:
    journal, clock = FakeJournal(), Clock()
    gateway = Gateway(journal, clock_s=clock)
    await submitted(gateway, journal, "c1")
    clock.now_s += waited_s
    if is_taken:
        gateway.check_room(0)
        await submitted(gateway, journal, "c2")
        return
    with pytest.raises(Overloaded, match="oldest of 1 requests"):
        gateway.check_room(0)
    with pytest.raises(Overloaded):
        await gateway.submit(0, command("c2"))
    assert len(journal.appended) == 1
    await submitted(gateway, journal, "c3", partition=1)  # another cell is not behind


async def test_a_cell_takes_commands_again_once_the_old_ones_are_settled() -> None:
    journal, clock = FakeJournal(), Clock()
    gateway = Gateway(journal, clock_s=clock)
    await submitted(gateway, journal, "old")
    clock.now_s += 0.9
    await submitted(gateway, journal, "newer")
    clock.now_s += 0.9
    with pytest.raises(Overloaded):
        gateway.check_room(0)
    gateway.on_reply(Reply("old", OUTCOME))
    gateway.check_room(0)  # at once: not when its client has taken the answer
    clock.now_s += 0.2
    with pytest.raises(Overloaded):
        gateway.check_room(0)
    gateway.on_reply(Reply("newer", OUTCOME))
    gateway.check_room(0)


@pytest.mark.parametrize("end", ["gone", "moved", "failed", "timed out"])
async def test_who_waits_no_more_keeps_nobody_out(end: str) -> None:
    journal, clock = FakeJournal(), Clock()
    gateway = Gateway(journal, clock_s=clock, answer_timeout_s=0.01 if end == "timed out" else 60.0)
    waiting = await submitted(gateway, journal)
    clock.now_s += 5
    if end == "gone":
        waiting.cancel()
    elif end == "moved":
        gateway.abandon([0])
    elif end == "failed":
        journal.durable[0].set_exception(LogFault("the disk is full", written=None))
    await asyncio.wait({waiting})
    gateway.check_room(0)


async def test_a_long_queue_is_looked_at_in_one_step() -> None:
    """From its front, however many were there before: the cost of a look does not grow with what is settled."""
    journal, clock = FakeJournal(), Clock()
    gateway = Gateway(journal, clock_s=clock)
    tasks = [await submitted(gateway, journal, f"c{number}") for number in range(300)]
    for number in range(299):
        gateway.on_reply(Reply(f"c{number}", OUTCOME))
    clock.now_s += 2
    with pytest.raises(Overloaded, match="oldest of 1 requests"):
        gateway.check_room(0)
    gateway.on_reply(Reply("c299", OUTCOME))
    await asyncio.gather(*tasks)
