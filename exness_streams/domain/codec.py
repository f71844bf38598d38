"""The journal's records and the cell's entries as bytes: JSON with exact numbers, so that a person can read it.

Frames alone are packed (packed_frames.py); `exness-streams journal` shows them, too.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from exness_streams.domain.account import AccountRow
from exness_streams.domain.commands import Command
from exness_streams.domain.events import Event, PositionClosed
from exness_streams.domain.frames import PriceFrame
from exness_streams.domain.identity import AccessCommand, AccessOutcome, AccessRow
from exness_streams.domain.market_states import Markets
from exness_streams.domain.packed_frames import is_packed, pack, unpack
from exness_streams.domain.quotes import Quote, ReceivedQuote
from exness_streams.domain.raw_frames import RawFrame
from exness_streams.domain.rejections import Rejection
from exness_streams.domain.rules import FIRST as FIRST_RULES


class RulesChanged(msgspec.Struct, frozen=True, tag="RulesChanged", forbid_unknown_fields=True):
    """A record of the journal: what follows it in this partition goes by these rules (rules.py).

    epoch: the newest of the ticks' owners when it was written, 0: not known. By the first rules no cell keeps it.
    """

    time_ms: int
    rules: int
    epoch: int = 0


class JournalRepaired(msgspec.Struct, frozen=True, tag="JournalRepaired", forbid_unknown_fields=True):
    """A record of the journal: an operator gives up the records from `first` to before `end` of this partition, which
    are lost or can't be read (repairs.py). operator, reason: in their own words.
    """

    time_ms: int
    first: int
    end: int
    operator: str
    reason: str


JournalRecord = Command | AccessCommand | PriceFrame | RawFrame | RulesChanged | JournalRepaired


class CloseResult(msgspec.Struct, frozen=True):
    """What became of one position when all were to be closed."""

    position_id: str
    outcome: PositionClosed | Rejection


class PositionsClosed(msgspec.Struct, frozen=True, tag="PositionsClosed"):
    """How a CloseAllPositions ended, position by position, in the order in which they were opened."""

    results: list[CloseResult]


Outcome = Event | PositionsClosed | AccessOutcome | Rejection
"""How a command ended: its event, what else it did, or why it was refused."""


class KeyedOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a request with an idempotency key, kept to be answered again. version: of its fingerprint."""

    fingerprint: str
    outcome: Outcome
    version: int = 1


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a table's partition stands: an entry of its own, written by every transaction that changes others.

    So the table itself says which of the input's records it holds, and whether it is whole. next_offset: of the
    input. accounts: how many have entries. taken: the sum over them of what each has taken (a row's applied_offset
    + 1, a history's sequence), which any account that is missing or older makes smaller. rebuilt_to: a history that
    is built anew is not whole before this offset. access, access_taken: likewise of the access rows (identity.py).
    rules: by which the input goes on at next_offset (rules.py).
    now_ms, framer_epoch, ticks_end, ticks_restarts, ticks_lost, markets: how far a cell's market has come (FrameFold).
    """

    partition: int
    next_offset: int
    accounts: int = 0
    taken: int = 0
    rebuilt_to: int = 0
    access: int = 0
    access_taken: int = 0
    rules: int = FIRST_RULES
    now_ms: int = 0
    framer_epoch: int = 0
    ticks_end: int = -1
    ticks_restarts: int = 0
    ticks_lost: bool = False
    markets: Markets = ()


class _StoredQuote(Quote, frozen=True, array_like=True, forbid_unknown_fields=False, gc=False):
    """As an entry: one of a later layout may say more, and one of the first rules says no receipt."""

    received_ms: int | None = None


class LaterRecord(msgspec.ValidationError):
    """A journal record of a kind, or with a field, that this release does not know. str() is one line."""


encode = msgspec.json.Encoder(decimal_format="number").encode

_journal_decoder: msgspec.json.Decoder[JournalRecord] = msgspec.json.Decoder(JournalRecord)
_frame_decoder: msgspec.json.Decoder[PriceFrame | RawFrame] = msgspec.json.Decoder(PriceFrame | RawFrame)
_event_decoder = msgspec.json.Decoder(Event)
_row_decoder = msgspec.json.Decoder(AccountRow)
_access_decoder = msgspec.json.Decoder(AccessRow)
_outcome_decoder = msgspec.json.Decoder(KeyedOutcome)
_quote_decoder = msgspec.json.Decoder(_StoredQuote)
_meta_decoder: msgspec.json.Decoder[Meta | tuple[int, Meta]] = msgspec.json.Decoder(Meta | tuple[int, Meta])

decode_event = _event_decoder.decode
decode_row = _row_decoder.decode
decode_access_row = _access_decoder.decode
decode_keyed_outcome = _outcome_decoder.decode

_EVENT_ID, _EVENT_ID_WITHIN = b'"eventId":"', 100


def event_id_of(value: bytes) -> str | None:
    """The id of an encoded event, without decoding the rest; None when it does not stand where we write it."""
    first = value.find(_EVENT_ID, 0, _EVENT_ID_WITHIN)
    if first < 0:
        return None
    first += len(_EVENT_ID)
    end = value.find(b'"', first, first + _EVENT_ID_WITHIN)
    return None if end < 0 else value[first:end].decode(errors="replace")


def encode_frame(frame: PriceFrame | RawFrame, *, packed: bool) -> bytes:
    """A frame as a journal record. packed: where every partition goes by rules.PACKED_FRAMES."""
    return pack(encode(frame)) if packed else encode(frame)


def as_json(record: bytes) -> bytes:
    """A journal record as JSON. msgspec.DecodeError when it is packed and damaged."""
    return unpack(record) if is_packed(record) else record


def decode_record(value: bytes) -> JournalRecord:
    """A journal record, packed or not. msgspec.DecodeError for anything else: the journal is ours alone.

    LaterRecord when it is one that says more than is known here: to fold the rest of it would give another state than
    the release gives that wrote it. Every release names the kind of each record.
    """
    decode: Callable[[bytes], JournalRecord] = _journal_decoder.decode
    if is_packed(value):
        value, decode = unpack(value), _frame_decoder.decode
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        if not _names_its_kind(value):
            raise
        raise LaterRecord(
            f"{error}: this release knows no such record. The release that wrote it does, and those after it: start one"
        ) from error


def _names_its_kind(value: bytes) -> bool:
    document = msgspec.json.decode(value)
    return isinstance(document, dict) and isinstance(document.get("type"), str)


def encode_meta(meta: Meta) -> bytes:
    """A Meta as an entry. After the first rules in a layout of its own, [rules, meta].

    A release that knows no rules can't read that, and so never goes on with a cell by the first ones.
    """
    return encode(meta if meta.rules == FIRST_RULES else (meta.rules, meta))


def decode_meta(value: bytes) -> Meta:
    """A Meta's entry, of either layout."""
    found = _meta_decoder.decode(value)
    return found[1] if isinstance(found, tuple) else found


def decode_quote(value: bytes) -> Quote:
    """A quote's entry."""
    stored = _quote_decoder.decode(value)
    quote = stored.sequence, stored.time_ms, stored.price, stored.bid, stored.ask, stored.volume
    return Quote(*quote) if stored.received_ms is None else ReceivedQuote(*quote, stored.received_ms)


# The entries of a cell, all in one table. Account ids hold no slash, so no key is a part of another's.
def row_key(account_id: str) -> bytes:
    return b"account/" + account_id.encode()


def access_key(account_id: str) -> bytes:
    return b"access/" + account_id.encode()


def outcome_key(account_id: str, key: str) -> bytes:
    return b"outcome/" + account_id.encode() + b"/" + key.encode()


def outcome_slot_key(account_id: str, slot: int) -> bytes:
    return b"slot/%s/%d" % (account_id.encode(), slot)


def quote_key(symbol: str) -> bytes:
    return b"quote/" + symbol.encode()


META_KEY = b"meta"
"""Of the Meta; no other key is without a slash."""

ROW_PREFIX = b"account/"
ACCESS_PREFIX = b"access/"
QUOTE_PREFIX = b"quote/"
SLOT_PREFIX = b"slot/"
OUTCOME_PREFIX = b"outcome/"
