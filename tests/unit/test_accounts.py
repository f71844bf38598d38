"""Which cell answers for an account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exness_streams.api.accounts import Accounts
from exness_streams.api.errors import ApiError

CELL: Any = object()


class Worker:
    """Has one cell, or none, and may have to catch up."""

    def __init__(self, unready: str, cell: Any) -> None:
        self._unready, self._cell = unready, cell

    def partition_of(self, account_id: str) -> int:
        return 0

    def unready_of(self, partition: int) -> str:
        return self._unready

    def cell(self, partition: int) -> Any:
        return self._cell


@pytest.mark.parametrize(
    ("unready", "cell", "serves"),
    [("", CELL, True), ("it is still reading its journal", CELL, False), ("", None, False), ("starting", None, False)],
)
def test_only_a_cell_that_has_caught_up_serves(unready: str, cell: Any, serves: bool) -> None:
    """Before, it may not know yet what clients were told by who had it before."""
    worker: Any = Worker(unready, cell)
    accounts = Accounts(worker, worker, Decimal(0))
    assert (accounts.serving_cell(0) is CELL) is serves
    if not serves:
        with pytest.raises(ApiError):
            accounts.cell_of("demo")
