"""Pending orders by the time at which they expire: those that are over are found without a walk over orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sortedcontainers import SortedList

from exness_streams.domain.account import PendingOrder
from exness_streams.domain.triggers import birth_order


class _Expiry(NamedTuple):
    expires_ms: int
    birth: tuple[int, str]
    account_id: str
    order_id: str


class ExpiryIndex:
    """The expiring orders of a cell, soonest first."""

    def __init__(self) -> None:
        self._expiries = SortedList()

    def __len__(self) -> int:
        return len(self._expiries)

    def load(self, orders: Iterable[tuple[str, PendingOrder]]) -> None:
        """Build the index from (account id, order) pairs."""
        found = (_expiry(account_id, order) for account_id, order in orders)
        self._expiries = SortedList(expiry for expiry in found if expiry is not None)

    def change(self, account_id: str, old: Mapping[str, PendingOrder], new: Mapping[str, PendingOrder]) -> None:
        """An account's orders are others now."""
        for name in old.keys() - new.keys():
            expiry = _expiry(account_id, old[name])
            if expiry is not None:
                self._expiries.remove(expiry)
        for name in new.keys() - old.keys():
            expiry = _expiry(account_id, new[name])
            if expiry is not None:
                self._expiries.add(expiry)

    def due(self, time_ms: int) -> list[tuple[str, str]]:
        """(account id, order id) of the orders that are over by `time_ms`, soonest first."""
        if not self._expiries or self._expiries[0].expires_ms > time_ms:
            return []
        due = self._expiries.irange(maximum=_Expiry(time_ms + 1, (0, ""), "", ""), inclusive=(True, False))
        return [(expiry.account_id, expiry.order_id) for expiry in due]


def _expiry(account_id: str, order: PendingOrder) -> _Expiry | None:
    if order.expires_ms is None:
        return None
    return _Expiry(order.expires_ms, birth_order(order.order_id), account_id, order.order_id)
