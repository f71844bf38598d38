"""What a cell says of its entries: it counts on what a cell that is loaded from them counts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from trading_samples import NOW_MS, StoredCell, deposit_command, flat, frame, open_command

from exness_streams.domain import codec
from exness_streams.domain.access_rows import AccessRows
from exness_streams.domain.cell import Cell
from exness_streams.domain.codec import Meta
from exness_streams.domain.commands import Command
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.identity import AccessRow, RedeemLink


def link(account: str, session: str) -> RedeemLink:
    return RedeemLink(
        command_id="c",
        account_id=account,
        time_ms=NOW_MS,
        link=session,
        nonce="nonce",
        link_expires_ms=NOW_MS + 1,
        session_id=session,
        session_expires_ms=NOW_MS + 1,
        agent="",
    )


def of(account: str, command: Command) -> Command:
    return msgspec.structs.replace(command, account_id=account)


def loaded(stored: StoredCell) -> Meta:
    """What a cell says that is loaded from the entries."""
    store = stored.store
    rows = [codec.decode_row(value) for key, value in store.items() if key.startswith(codec.ROW_PREFIX)]
    access = [codec.decode_access_row(value) for key, value in store.items() if key.startswith(codec.ACCESS_PREFIX)]
    cell = Cell(stored.cell.partition, store.get)
    cell.load(stored.cell.next_offset, rows, [], access)
    return cell.meta


def test_it_counts_accounts_and_what_they_have_taken_record_by_record() -> None:
    cell = StoredCell()
    expected_taken: dict[str, int] = {}
    expected_access: dict[str, int] = {}
    steps: list[Command | RedeemLink | PriceFrame] = [
        of("ann", deposit_command()),  # record 0 makes an account, and 1 the same one again
        of("ann", deposit_command()),
        frame(flat(150)),
        of("bob", open_command("long", 1000, 100)),
        of("cid", deposit_command()),
        of("bob", deposit_command()),
        link("ann", "s1"),
        link("ann", "s2"),
        link("dan", "s3"),
    ]
    for offset, step in enumerate(steps):
        assert cell.cell.next_offset == offset
        cell.fold(step)
        if isinstance(step, RedeemLink):
            expected_access[step.account_id] = offset + 1
        elif not isinstance(step, PriceFrame):
            expected_taken[step.account_id] = offset + 1
        meta = cell.cell.meta
        assert (meta.next_offset, meta.accounts, meta.taken) == (
            offset + 1, len(expected_taken), sum(expected_taken.values())
        )  # fmt: skip
        assert (meta.access, meta.access_taken) == (len(expected_access), sum(expected_access.values()))
        cell.commit()
        assert loaded(cell) == meta


@pytest.mark.parametrize("ahead", [0, 1, 100])
def test_no_record_is_applied_to_sessions_that_it_or_a_later_one_has_made(ahead: int) -> None:
    rows = AccessRows(0, {}, lambda key: None)
    with pytest.raises(ValueError, match=rf"made by journal record {7 + ahead} .*record 7 must not be applied"):
        rows.put(AccessRow(account_id="ann", applied_offset=7 + ahead), AccessRow(account_id="ann"), 7)
    assert (rows.count, rows.taken) == (0, 0)


def test_a_meta_that_says_only_where_it_stands_counts_nothing() -> None:
    known = codec.decode_meta(b'{"partition":3,"next_offset":5}')
    counts = (known.accounts, known.taken, known.rebuilt_to, known.access, known.access_taken, known.rules)
    assert counts == (0, 0, 0, 0, 0, 1)


@dataclass(frozen=True)
class Told:
    """A source that a frame names, and what the cell says after it."""

    named: str | None
    known: str | None


def test_where_prices_come_from_is_known_until_another_frame_says_otherwise() -> None:
    cell = StoredCell()
    told = [Told(None, None), Told("simulated", "simulated"), Told(None, "simulated"), Told("backpack", "backpack")]
    for number, each in enumerate(told):
        cell.fold(PriceFrame(NOW_MS + number, (), each.named))
        assert cell.cell.source == each.known


def test_a_first_tick_may_have_the_lowest_number() -> None:
    fresh = StoredCell()
    first = frame(flat(150)).symbols[0]
    lowest = msgspec.structs.replace(first, last=msgspec.structs.replace(first.last, sequence=0))
    fresh.fold(PriceFrame(NOW_MS, (lowest,)))
    assert fresh.cell.quotes["SOL_USDC"].sequence == 0
