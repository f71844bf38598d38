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
    """The instruments on offer, and how their prices arrive."""

    markets: list[MarketMessage]
    feed: Feed


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Ready(msgspec.Struct, frozen=True):
    """Whether requests can be served; reasons: why not.

    degraded: they can, but the feed is away, or some instruments (named) have no usable quote.
    """

    status: Literal["ok", "degraded", "unready"]
    reasons: list[str]
    feed: Feed
