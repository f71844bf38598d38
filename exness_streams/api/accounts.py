"""The accounts that this worker answers for."""

from __future__ import annotations

from decimal import Decimal

from exness_streams.api.errors import ApiError
from exness_streams.api.ports import Cells, Owner
from exness_streams.domain.account import AccountRow, new_account
from exness_streams.domain.cell import Cell


class Accounts:
    """Finds an account's cell and row. starting_balance: USD, of an account without a row."""

    def __init__(self, owner: Owner, cells: Cells, starting_balance: Decimal) -> None:
        self._owner = owner
        self._cells = cells
        self._starting_balance = starting_balance

    def cell_of(self, account_id: str) -> Cell:
        """The cell of an account. 503 while it can't be served here."""
        partition = self.partition_of(account_id)
        if unready := self._owner.unready_of(partition):
            raise ApiError(503, "NOT_READY", unready)
        cell = self.cell(partition)
        if cell is None:
            raise ApiError(503, "REBALANCING", "the account is moving to another worker")
        return cell

    def partition_of(self, account_id: str) -> int:
        """The cell of an account, whoever owns it."""
        return self._owner.partition_of(account_id)

    def cell(self, partition: int) -> Cell | None:
        """None while it is another worker's."""
        return self._cells.cell(partition)

    def serving_cell(self, partition: int) -> Cell | None:
        """None while it is another worker's, or has not folded yet what a former owner may have told clients of."""
        return None if self._owner.unready_of(partition) else self.cell(partition)

    def row_of(self, cell: Cell, account_id: str) -> AccountRow:
        """An account's row, or the one that it would begin with."""
        return cell.account(account_id) or new_account(account_id, self._starting_balance)
