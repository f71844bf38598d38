"""An account's row: what it holds, and whether its money is all there."""

from __future__ import annotations

import msgspec
import pytest
from trading_samples import StoredCell, dec, flat, open_command, place_command

from exness_streams.domain.account import AccountRow, new_account


@pytest.mark.parametrize(
    ("change", "conserved"),
    [
        ({}, True),
        ({"cash": dec("9999.99999999")}, False),  # a little is gone
        ({"cash": dec("10000.00000001")}, False),  # a little was made
        ({"deposited": dec(5), "cash": dec(10_005)}, True),
        ({"realized_pnl": dec(-5), "fees": dec(1), "cash": dec(9_994)}, True),
        ({"realized_pnl": dec(-5), "fees": dec(1), "cash": dec(9_996)}, False),
        ({"realized_pnl": dec(-10_001), "cash": dec(-1)}, False),  # all is there, but cash is owed
        ({"realized_pnl": dec(-10_000), "cash": dec(0)}, True),
        ({"starting_balance": dec(9_000)}, False),
    ],
)
def test_money_is_all_there_or_it_is_said(change: dict[str, object], conserved: bool) -> None:
    assert msgspec.structs.replace(new_account("ann", dec(10_000)), **change).is_conserved is conserved


def test_what_positions_and_orders_hold_is_the_accounts() -> None:
    cell = StoredCell(flat(150))
    cell.opened(open_command("long", 1000, 10))
    cell.placed(place_command(price="149.5"))
    row = cell.row()
    assert row.is_conserved is True
    for name, missing in (("positions", {}), ("orders", {})):
        assert msgspec.structs.replace(row, **{name: missing}).is_conserved is False


def test_a_row_that_was_never_stored_comes_from_before_the_first_record() -> None:
    assert new_account("ann", dec(1)).applied_offset == -1
    assert AccountRow(account_id="ann", cash=dec(1), starting_balance=dec(1)).applied_offset == -1
