"""What the price guard of this worker's framer has done, for monitoring."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exness_streams.domain.instruments import Catalogue
from exness_streams.engine.framer import Framer


def suspension_metrics(framer: Framer, catalogue: Catalogue) -> Iterator[Metric]:
    """Of every instrument, so that the first suspension can be noticed."""
    jumps = CounterMetricFamily(
        "exness_market_suspensions", "Suspensions for a jump beyond the price band", labels=["symbol"]
    )
    held = GaugeMetricFamily(
        "exness_market_suspended", "1 while a market's newest prices are not believed yet", labels=["symbol"]
    )
    suspended = framer.suspended
    for terms in catalogue:
        jumps.add_metric([terms.symbol], framer.suspensions.counts[terms.symbol])
        held.add_metric([terms.symbol], terms.symbol in suspended)
    yield from (jumps, held)
