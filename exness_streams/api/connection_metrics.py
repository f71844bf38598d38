"""Metrics of the connections to a web server."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exness_streams.transport.connections import Connections, Wait


class ConnectionCollector(Collector):
    """How many there are, and what became of those that are not."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        now, counted = self._connections, self._connections.counters
        yield GaugeMetricFamily("exness_connections", "Connections to the web server", value=len(now))
        yield GaugeMetricFamily("exness_connections_max", "As many as there may be", value=now.total_max)
        refused = CounterMetricFamily("exness_connections_refused", "Connections refused, by reason", labels=["reason"])
        for reason in ("all", "address"):
            refused.add_metric([reason], counted[f"refused_{reason}"])
        yield refused
        yield CounterMetricFamily(
            "exness_connections_displaced", "Idle connections that made room for others", value=counted["displaced"]
        )
        late = CounterMetricFamily(
            "exness_connections_late", "Times that a connection waited too long, by for what", labels=["wait"]
        )
        for wait in Wait:
            late.add_metric([wait.value], counted[f"late_{wait.value}"])
        yield late
