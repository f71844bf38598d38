"""Events that a cell of this process has told, before their topic brings them: the history shows them at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice

from exness_streams.domain.account_history import HistoryHead, fold_event
from exness_streams.domain.events import Event

TOLD_MAX = 10_000
"""Events of a partition that are kept. Those beyond are shown when the topic brings them."""

FOLD_MAX = 200
"""Events folded for a reader in one go: a few milliseconds."""

_NOTHING: Mapping[bytes, bytes | None] = {}


class _Account:
    """events: told and not brought yet, without a gap. head, entries: what became of those folded for readers."""

    __slots__ = ("entries", "events", "head")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.head = HistoryHead()
        self.entries: dict[bytes, bytes | None] = {}


class ToldEvents:
    """Of one partition.

    They are folded when somebody reads, onto what the topic has brought so far; the topic brings the same events in the
    same order, so what is shown now is what will be stored. (Unless somebody deletes them there before they are read.)
    """

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._by_id: dict[str, Event] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def tell(self, events: Iterable[Event]) -> None:
        """Take events as the cell folds them. One that was told before is passed over, as is one behind a gap: it is
        shown when the topic brings it."""
        for event in events:
            account = self._accounts.get(event.account_id)
            if len(self._by_id) >= TOLD_MAX:
                return
            if account is None:
                account = self._accounts[event.account_id] = _Account()
            elif event.sequence != account.events[-1].sequence + 1:
                continue
            account.events.append(event)
            self._by_id[event.event_id] = event

    def known(self, event_id: str) -> Event | None:
        """The event, if it was told here: the topic's record of it need not be decoded."""
        return self._by_id.get(event_id)

    def brought(self, account_id: str, sequence: int) -> None:
        """The topic has brought an account's events up to a sequence."""
        account = self._accounts.get(account_id)
        if account is None:
            return
        events = account.events
        while events and events[0].sequence <= sequence:
            self._by_id.pop(events.popleft().event_id, None)
        if not events:
            del self._accounts[account_id]

    def fold_anew(self, account_id: str) -> None:
        """The topic lacks events that were told: what was folded for readers held them, and what is stored will not."""
        account = self._accounts.get(account_id)
        if account is not None:
            account.head, account.entries = HistoryHead(), {}

    def fold(self, account_id: str, brought: HistoryHead) -> HistoryHead:
        """Fold what was told, FOLD_MAX more, onto what the topic has brought: how far that comes, until it comes no
        further."""
        account = self._accounts.get(account_id)
        if account is None:
            return brought
        if account.head.sequence < brought.sequence:
            account.head, account.entries = brought, {}
        first = account.head.sequence + 1 - account.events[0].sequence
        if first >= 0:  # else some before them are still on their way
            for event in islice(account.events, first, first + FOLD_MAX):
                account.head = fold_event(account.head, event, account.entries)
        return account.head

    def head(self, account_id: str, brought: HistoryHead) -> HistoryHead:
        """As far as it was folded for readers, or has come without."""
        account = self._accounts.get(account_id)
        return brought if account is None or account.head.sequence < brought.sequence else account.head

    def entries(self, account_id: str) -> Mapping[bytes, bytes | None]:
        """What changed by the events that were folded for readers; None is removed."""
        account = self._accounts.get(account_id)
        return _NOTHING if account is None else account.entries
