"""Metrics of the rate limits."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from exness_streams.api.access.rate_limits import SCOPES, RateLimits


class RateCollector(Collector):
    """How often somebody was told to wait."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    def collect(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "exness_rate_limited", "Requests refused and streams closed because of a rate, by whose", labels=["scope"]
        )
        for scope in SCOPES:
            refused.add_metric([scope], self._limits.counters[scope])
        yield refused
