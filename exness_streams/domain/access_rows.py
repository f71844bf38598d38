"""The access rows of one cell: read from its entries, and changed ones put among its pending entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from exness_streams.domain import codec
from exness_streams.domain.identity import AccessRow


class AccessRows:
    """count, taken: how many rows there are, and the sum of what each has taken, as of accounts (codec.Meta)."""

    def __init__(self, partition: int, pending: dict[bytes, bytes | None], fetch: Callable[[bytes], bytes | None]):
        """fetch: reads an entry by its key, pending or committed."""
        self.count = self.taken = 0
        self._partition, self._pending, self._fetch = partition, pending, fetch

    def load(self, rows: Iterable[AccessRow], next_offset: int) -> None:
        """Count the committed rows. ValueError when one comes from a record the journal no longer reaches."""
        self.count = self.taken = 0
        for row in rows:
            if row.applied_offset >= next_offset:
                raise ValueError(
                    f"the sessions of account {row.account_id} were made by journal record {row.applied_offset} of "
                    f"partition {self._partition}, but the journal is read only up to {next_offset}"
                )
            self.count += 1
            self.taken += row.applied_offset + 1

    def row(self, account_id: str) -> AccessRow | None:
        """None for an account that nobody has signed in for."""
        stored = self._fetch(codec.access_key(account_id))
        return None if stored is None else codec.decode_access_row(stored)

    def put(self, old: AccessRow, new: AccessRow, offset: int) -> None:
        """Take a changed row, made by the record at `offset`. ValueError when one at or after it made the old one."""
        if old.applied_offset >= offset:
            raise ValueError(
                f"the sessions of account {old.account_id} were made by journal record {old.applied_offset} of "
                f"partition {self._partition}, and record {offset} must not be applied to them again: two workers "
                "have written this cell. Start this worker again"
            )
        self.count += old.applied_offset < 0
        self.taken += offset - old.applied_offset
        self._pending[codec.access_key(new.account_id)] = codec.encode(
            msgspec.structs.replace(new, applied_offset=offset)
        )
