"""In which markets something stands: positions and pending orders by symbol, found without a walk over accounts."""

from __future__ import annotations

from collections.abc import Iterable, KeysView

from exness_streams.domain.triggers import Item, birth_order, item_id_of


class Standing:
    """What stands in a cell."""

    def __init__(self) -> None:
        self._of_symbol: dict[str, set[tuple[str, str]]] = {}

    @property
    def symbols(self) -> KeysView[str]:
        """Those in which anything stands."""
        return self._of_symbol.keys()

    def of(self, symbol: str) -> list[tuple[str, str]]:
        """(account id, id of an order or a position): orders first, each in the order of their birth."""
        return sorted(self._of_symbol.get(symbol, ()), key=_place)

    def load(self, items: Iterable[tuple[str, Item]]) -> None:
        """Start with these (account id, position or order) pairs."""
        self._of_symbol = {}
        for account_id, item in items:
            self.add(account_id, item)

    def add(self, account_id: str, item: Item) -> None:
        """A position or an order is new, or another."""
        self._of_symbol.setdefault(item.symbol, set()).add((account_id, item_id_of(item)))

    def remove(self, account_id: str, item: Item) -> None:
        """It is gone, or another comes in its place. KeyError when it was not there."""
        names = self._of_symbol[item.symbol]
        names.remove((account_id, item_id_of(item)))
        if not names:
            del self._of_symbol[item.symbol]


def _place(name: tuple[str, str]) -> tuple[str, tuple[int, str], str]:
    account_id, item_id = name
    return item_id.split("_")[0], birth_order(item_id), account_id
