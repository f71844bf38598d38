"""The shapes of the answers that concern no account, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

import msgspec

from exness_streams.api.stream.messages import FeedSource, FeedStatus
from exness_streams.messages import MarketMessage


class Banner(msgspec.Struct, frozen=True, rename="camel"):
    """What this is, and where to go on. timestamp: now, ISO 8601. endpoints: method and path by name."""

    name: str
    version: str
    message: str
    email_service: Literal["configured", "not configured"]
    timestamp: str
    endpoints: dict[str, str]


class Feed(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How the market data arrives. since: ms since the epoch. skew_ms: the exchange's clock against ours.

    source: where the prices come from; unknown before the first one.
    """

    status: FeedStatus
    source: FeedSource
    reason: str = ""
    since: int | None = None
    skew_ms: int | None = None


class Markets(msgspec.Struct, frozen=True):
    """The instruments on offer, then those that left while something stands in them; and how their prices arrive."""

    markets: list[MarketMessage]
    feed: Feed


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class CellReady(msgspec.Struct, frozen=True):
    """A cell of this worker: a partition of the journal with its accounts. since: of this state, ms, to the second.

    recovering: its table is being read. loading: its journal is being folded, so far as reason says. quiesced:
    partitions are being dealt out anew. behind: commands get 503, reads are answered. deaf: it drops all price frames.
    reason: empty for one that is serving.
    """

    partition: int
    state: Literal["serving", "recovering", "loading", "quiesced", "behind", "deaf"]
    reason: str
    since: int


class Ready(msgspec.Struct, frozen=True):
    """Whether requests can be served; reasons: why not. unready, too, while a cell does not serve, or is deaf.

    degraded: they can, but the feed is away, some instruments (named) have no usable quote or are not open, or a cell
    is behind. notes: markets that are settled or not offered any more, which degrades nothing; a market data process
    has none.
    cells: each that is assigned to the worker which answers; a market data process has none.
    """

    status: Literal["ok", "degraded", "unready"]
    reasons: list[str]
    notes: list[str]
    feed: Feed
    cells: list[CellReady]
