"""The cell: records in order, entries, restarts, remembered outcomes."""

from __future__ import annotations

import msgspec
import pytest
from trading_samples import (
    NOW_MS,
    SOL,
    StoredCell,
    close_all_command,
    close_command,
    dec,
    flat,
    frame,
    open_command,
    place_command,
    quote,
)

from exness_streams.domain import codec as records_module
from exness_streams.domain import outcomes as remembering
from exness_streams.domain.account import AccountRow, new_account
from exness_streams.domain.cell import Cell, Folded
from exness_streams.domain.codec import decode_row, encode, quote_key, row_key
from exness_streams.domain.frames import PriceFrame, Step, SymbolFrame
from exness_streams.domain.rejections import Rejection, RejectionCode


@pytest.mark.parametrize("offset", [0, 2])
def test_a_record_out_of_order_is_a_fault_and_changes_nothing(offset: int) -> None:
    cell = StoredCell(flat(150))
    before = cell.entries()
    with pytest.raises(ValueError, match=f"expected record 1 of the journal, got {offset}"):
        cell.cell.fold(offset, open_command())
    assert cell.entries() == before
    assert cell.cell.next_offset == 1


def test_a_row_ahead_of_the_journal_is_refused_at_the_start() -> None:
    row = AccountRow(account_id="demo", cash=dec(1), starting_balance=dec(1), applied_offset=5)
    store: dict[bytes, bytes] = {}
    cell = Cell(3, store.get)
    with pytest.raises(ValueError, match=r"demo was made by journal record 5 of partition 3.* only up to 5"):
        cell.load(5, [row], [])
    cell.load(6, [row], [])
    assert cell.next_offset == 6


TOUCHES = {
    "a command": lambda: close_command("pos_0_1"),
    "a frame that fires a trigger": lambda: frame(flat("148.5", 2)),
    "a frame that fills an order": lambda: frame(flat("149.5", 2)),
    "an order's end": lambda: PriceFrame(NOW_MS + 5_000, ()),
}


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("ahead", [0, 1, 100])
def test_no_record_is_applied_to_a_row_that_it_or_a_later_one_has_made(touch: str, ahead: int) -> None:
    cell = StoredCell(flat(150))
    cell.opened(open_command("long", 1000, 100))
    cell.placed(place_command(price="149.5", expires_ms=NOW_MS + 1_000))
    cell.commit()
    offset = cell.cell.next_offset
    written = msgspec.structs.replace(cell.row(), applied_offset=offset + ahead)
    cell.store[row_key("demo")] = encode(written)
    with pytest.raises(ValueError, match=rf"demo was made by journal record {offset + ahead} .*record {offset} must"):
        cell.cell.fold(offset, TOUCHES[touch]())
    assert cell.cell.next_offset == offset


def test_a_record_may_change_a_row_more_than_once() -> None:
    cell = StoredCell(flat(150))
    for _ in range(3):
        cell.opened(open_command("long", 100, 100))
    assert len(cell.fold(frame(flat("148.5", 2))).events) == 3
    assert cell.row().positions == {}


ALL_AT_ONCE = {
    "a frame that closes all": lambda: frame(flat("148.5", 2)),
    "a frame that fills all": lambda: frame(flat("149.5", 2)),
    "the end of all orders": lambda: PriceFrame(NOW_MS + 5_000, ()),
    "a close-all": lambda: close_all_command(),
}


@pytest.mark.parametrize("what", ALL_AT_ONCE)
def test_a_record_that_changes_an_account_many_times_writes_its_row_once(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cost would be that of the square of what the account has."""
    cell = StoredCell(flat(150))
    for _ in range(40):
        cell.opened(open_command("long", 10, 100))
        cell.placed(place_command(price="149.5", margin=10, expires_ms=NOW_MS + 1_000))
    cell.commit()
    written: list[object] = []
    plain = records_module.encode

    def counted(value: object) -> bytes:
        written.append(value)
        return plain(value)

    monkeypatch.setattr(records_module, "encode", counted)
    folded = cell.fold(ALL_AT_ONCE[what]())
    assert row_key("demo") in cell.cell.pending
    assert len([value for value in written if isinstance(value, AccountRow)]) == 1
    told = len(folded.events) or len(folded.reply.outcome.results)  # type: ignore[union-attr]
    assert told >= 40
    row = cell.row()
    assert decode_row(cell.entries()[row_key("demo")]) == row
    assert row.is_conserved
    assert len(cell.cell.triggers) == len(row.positions) + len(row.orders)
    assert len(cell.cell.expiries) == len(row.orders)


def test_an_order_that_is_over_is_filled_by_no_price_of_the_same_record() -> None:
    cell = StoredCell(flat(150))
    cell.placed(place_command(price="149.5", expires_ms=NOW_MS + 1_000))
    late = PriceFrame(NOW_MS + 1_000, frame(flat("149.5", 2)).symbols)
    assert [type(event).__name__ for event in cell.fold(late).events] == ["OrderExpired"]
    assert (len(cell.cell.triggers), cell.row().orders, cell.row().positions) == (0, {}, {})


def test_a_row_that_many_records_change_is_encoded_once_for_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[AccountRow] = []

    def encode_counted(entry: object) -> bytes:
        encoded.extend([entry] if isinstance(entry, AccountRow) else [])
        return encode(entry)

    cell = StoredCell(flat(150))
    cell.commit()
    monkeypatch.setattr(records_module, "encode", encode_counted)
    opened = [cell.opened(open_command(margin=10)).position_id for _ in range(20)]
    for position_id in opened[:19]:
        cell.closed(close_command(position_id))
    assert (cell.cell.has("demo"), list(cell.cell.pending_keys), encoded) == (True, [row_key("demo")], [])
    assert cell.cell.pending == {row_key("demo"): encode(cell.row())}
    assert cell.cell.stored("demo") == cell.cell.pending[row_key("demo")]
    assert encoded == [cell.row()]
    cell.closed(close_command(opened[19]))
    assert cell.cell.stored("demo") == encode(cell.row()) == cell.cell.pending[row_key("demo")]
    assert len(encoded) == 2
    cell.commit()
    assert (cell.cell.has("demo"), cell.cell.has("ann"), cell.cell.pending) == (True, False, {})


def test_a_refused_command_leaves_no_entry() -> None:
    cell = StoredCell(flat(150))
    cell.commit()
    cell.rejected(open_command("long", 10_001))
    assert cell.cell.pending == {}
    assert cell.cell.account("demo") is None


def test_a_row_is_the_same_pending_committed_and_after_a_restart() -> None:
    cell = StoredCell(flat(150))
    cell.opened(open_command())
    pending = cell.row()
    assert pending.applied_offset == 1
    cell.commit()
    assert cell.cell.pending == {}
    assert cell.row() == pending
    cell.restart()
    assert cell.row() == pending
    assert decode_row(cell.store[row_key("demo")]) == pending
    assert set(cell.store) == {row_key("demo"), quote_key(SOL)}


def test_a_position_survives_a_restart_and_is_still_liquidated() -> None:
    cell = StoredCell(flat(150))
    cell.opened(open_command("long", 1000, 100))
    cell.restart()
    assert cell.liquidated(flat("148.5", 2)).reason == "liquidation"
    assert len(cell.cell.triggers) == 0


def test_a_quote_survives_a_restart() -> None:
    cell = StoredCell(flat(150, 7))
    cell.restart()
    assert cell.opened(open_command()).entry_price == dec(150)
    assert cell.fold(frame(flat(1, 7))) == Folded([])
    assert cell.cell.quotes[SOL].price == dec(150)


@pytest.mark.parametrize("sequence", [4, 5])
def test_a_late_or_repeated_frame_changes_nothing(sequence: int) -> None:
    cell = StoredCell(flat(150, 5))
    cell.opened(open_command("long", 1000, 100))
    before = cell.entries()
    assert cell.fold(frame(flat(1, sequence))) == Folded([])
    assert cell.entries() == before


def test_what_happened_before_an_opening_does_not_touch_it() -> None:
    """The step of tick 5 lies before the quote of tick 6 at which the position was opened."""
    cell = StoredCell(flat(150, 6))
    cell.opened(open_command("long", 1000, 100))
    late = SymbolFrame(SOL, flat(150, 8), bid_lows=(Step(5, dec(1)), Step(7, dec(149))))
    assert cell.fold(PriceFrame(NOW_MS, (late,))).events == []


def test_a_frame_closes_many_and_numbers_its_events() -> None:
    cell = StoredCell(flat(100))
    for account in ("ann", "bob"):
        for _ in range(2):
            cell.opened(open_command("long", 1000, 10, account=account))
    events = cell.fold(frame(flat(90, 2))).events
    assert [event.event_id for event in events] == [f"0-5-{nth}" for nth in range(4)]
    assert [(event.account_id, event.sequence) for event in events] == [("ann", 3), ("ann", 4), ("bob", 3), ("bob", 4)]
    assert cell.row("ann").cash == dec(8000)
    assert cell.row("bob").applied_offset == 5


def test_a_close_frees_the_margin_for_the_next() -> None:
    cell = StoredCell(flat(100))
    opened = cell.opened(open_command("long", 10_000, 1))
    assert cell.rejected(open_command()).code is RejectionCode.INSUFFICIENT_MARGIN
    cell.closed(close_command(opened.position_id))
    cell.opened(open_command("long", 10_000, 1))
    assert cell.rejected(close_command(opened.position_id)).code is RejectionCode.POSITION_NOT_FOUND


def test_the_reply_names_the_command() -> None:
    reply = StoredCell(flat(100)).fold(open_command()).reply
    assert reply is not None
    assert (reply.command_id, reply.repeated) == ("c-1", False)


class TestIdempotency:
    @pytest.mark.parametrize("restart", [False, True])
    def test_a_repeat_hears_the_first_outcome_and_changes_nothing(self, restart: bool) -> None:
        cell = StoredCell(flat(100))
        first = cell.opened(open_command(key="k"))
        cell.fold(frame(flat(120, 2)))
        if restart:
            cell.restart()
        before = cell.entries()
        again = cell.fold(open_command(key="k", time_ms=NOW_MS + 10**9))
        assert again.events == []
        assert again.reply is not None
        assert (again.reply.outcome, again.reply.repeated) == (first, True)
        assert cell.entries() == before

    def test_a_refusal_is_remembered_even_when_it_would_succeed_now(self) -> None:
        cell = StoredCell(flat(100))
        all_in = cell.opened(open_command("long", 10_000, 1))
        refused = cell.rejected(open_command(key="k"))
        assert refused.code is RejectionCode.INSUFFICIENT_MARGIN
        cell.closed(close_command(all_in.position_id))
        assert cell.rejected(open_command(key="k")) == refused

    def test_a_refusal_for_want_of_a_price_leaves_the_key_free(self) -> None:
        cell = StoredCell()
        assert cell.rejected(open_command(key="k")).code is RejectionCode.PRICE_UNAVAILABLE
        assert cell.cell.pending == {}
        cell.fold(frame(flat(100)))
        opened = cell.opened(open_command(key="k"))
        assert cell.outcome(open_command(key="k")) == opened

    def test_another_body_under_the_same_key_conflicts(self) -> None:
        cell = StoredCell(flat(100))
        opened = cell.opened(open_command(key="k"))
        before = cell.entries()
        conflict = cell.rejected(close_command(opened.position_id, key="k", fingerprint="other"))
        assert conflict.code is RejectionCode.IDEMPOTENCY_CONFLICT
        assert conflict.details == {"field": "Idempotency-Key"}
        assert cell.entries() == before

    def test_keys_belong_to_accounts(self) -> None:
        cell = StoredCell(flat(100))
        cell.opened(open_command(key="k", account="ann"))
        cell.opened(open_command(key="k", account="bob", fingerprint="other"))

    def test_a_key_may_be_any_text(self) -> None:
        cell = StoredCell(flat(100))
        cell.opened(open_command(key="x/../y ü\n"))
        cell.restart()
        assert cell.cell.remembered("demo", "x/../y ü\n") is not None
        assert cell.cell.remembered("demo", "x") is None

    @pytest.mark.parametrize("restart", [False, True])
    def test_the_oldest_outcome_makes_room(self, monkeypatch: pytest.MonkeyPatch, restart: bool) -> None:
        monkeypatch.setattr(remembering, "OUTCOMES_REMEMBERED", 2)
        cell = StoredCell(flat(100))
        outcomes = {}
        for key in ("a", "b", "c"):
            outcomes[key] = cell.opened(open_command(key=key))
            if restart:
                cell.restart()
        assert cell.outcome(open_command(key="b")) == outcomes["b"]
        assert cell.outcome(open_command(key="c")) == outcomes["c"]
        assert cell.opened(open_command(key="a")) != outcomes["a"]
        assert cell.cell.remembered("demo", "b") is None
        assert sum(key.startswith(b"outcome/") for key in cell.entries()) == 2

    def test_a_remembered_refusal_gives_a_new_account_its_row(self) -> None:
        cell = StoredCell(flat(100))
        refused = cell.rejected(open_command("long", 10_001, key="k"))
        row = cell.row()
        assert (row.cash, row.sequence, row.outcomes) == (dec(10_000), 0, 1)
        known = cell.cell.remembered("demo", "k")
        assert known is not None
        assert isinstance(known.outcome, Rejection)
        assert known.outcome == refused


def test_the_same_records_give_the_same_hash_and_other_ones_another() -> None:
    def played(margin: int) -> str:
        cell = StoredCell(flat(150))
        cell.opened(open_command("long", margin))
        cell.fold(frame(quote("140", "141", 2)))
        return cell.hash()

    assert played(1000) == played(1000)
    assert played(1000) != played(1001)


def test_a_new_account_has_its_starting_balance_in_money() -> None:
    row = new_account("demo", dec("10000.000000005"))
    assert row.cash == row.starting_balance == dec(10_000)
    assert row.is_conserved
