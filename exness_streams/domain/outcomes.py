"""Outcomes of requests with an idempotency key: which are remembered, and how a repeat is answered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from exness_streams.domain import codec, rules
from exness_streams.domain.account import AccountRow
from exness_streams.domain.codec import CloseResult, KeyedOutcome, Outcome, PositionsClosed
from exness_streams.domain.commands import IdempotencyKey
from exness_streams.domain.events import EventBase
from exness_streams.domain.rejections import Rejection, RejectionCode, by_first_rules

OUTCOMES_REMEMBERED = 10_000
"""How many outcomes of keyed requests an account keeps; the oldest makes room for the newest."""


class Outcomes:
    """Those that a cell remembers: read from its entries, and new ones put among its pending entries."""

    def __init__(self, pending: dict[bytes, bytes | None], fetch: Callable[[bytes], bytes | None]) -> None:
        """fetch: reads an entry by its key, pending or committed."""
        self._pending, self._fetch = pending, fetch

    def known(self, account_id: str, key: str) -> KeyedOutcome | None:
        """What came of an earlier request of this account with this key."""
        stored = self._fetch(codec.outcome_key(account_id, key))
        return None if stored is None else codec.decode_keyed_outcome(stored)

    def remember(self, row: AccountRow, key: str, outcome: KeyedOutcome) -> None:
        """Keep one more; the caller counts it in the row."""
        slot = codec.outcome_slot_key(row.account_id, row.outcomes % OUTCOMES_REMEMBERED)
        oldest = self._fetch(slot)
        if oldest is not None:
            self._pending[codec.outcome_key(row.account_id, oldest.decode())] = None
        self._pending[slot] = key.encode()
        kept = msgspec.structs.replace(outcome, outcome=without_cause(outcome.outcome))
        self._pending[codec.outcome_key(row.account_id, key)] = codec.encode(kept)


def without_cause(outcome: Outcome) -> Outcome:
    """As it is kept: the request's id decides nothing, so the entries are the same whatever a release knows of it."""
    if isinstance(outcome, EventBase):
        return msgspec.structs.replace(outcome, caused_by=msgspec.UNSET)
    if isinstance(outcome, PositionsClosed):
        kept = [CloseResult(one.position_id, without_cause(one.outcome)) for one in outcome.results]  # type: ignore[arg-type]
        return PositionsClosed(kept)
    return outcome


def is_transient(outcome: Outcome) -> bool:
    """Whether the same request may fare better later: then its key is still free, and a repeat is tried anew."""
    if isinstance(outcome, PositionsClosed):
        refused = [result.outcome for result in outcome.results if isinstance(result.outcome, Rejection)]
        return len(refused) == len(outcome.results) and any(map(is_transient, refused))
    return isinstance(outcome, Rejection) and outcome.code is RejectionCode.PRICE_UNAVAILABLE


def is_repeat(known: KeyedOutcome, keyed: IdempotencyKey) -> bool:
    """Whether a request is the one that was settled before under its key.

    Fingerprints of two versions can't be compared: then the key says it alone, for a true repeat must never be refused.
    """
    return known.version != keyed.version or known.fingerprint == keyed.fingerprint


def repeat_of(known: KeyedOutcome, keyed: IdempotencyKey) -> Outcome:
    """The remembered outcome, or a conflict when the key now names another request."""
    if is_repeat(known, keyed):
        return known.outcome
    return Rejection(RejectionCode.IDEMPOTENCY_CONFLICT, details={"field": "Idempotency-Key"})


def by_rules(outcome: Outcome, number: int) -> Outcome:
    """An outcome as these rules tell and keep it: what was refused with its words, or as code and details."""
    if isinstance(outcome, Rejection):
        if number < rules.REFUSALS_BY_CODE:
            return by_first_rules(outcome)
        return msgspec.structs.replace(outcome, message="") if outcome.message else outcome
    if isinstance(outcome, PositionsClosed):
        told = [CloseResult(one.position_id, by_rules(one.outcome, number)) for one in outcome.results]  # type: ignore[arg-type]
        return PositionsClosed(told)
    return outcome
