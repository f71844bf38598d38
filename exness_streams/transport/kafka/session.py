"""The session timeout that the brokers allow: what they refuse is said with their own bounds."""

from __future__ import annotations

import asyncio

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from async_timeout import timeout

from exness_streams.transport.faults import LogFault, Misconfigured
from exness_streams.transport.kafka.topics import KafkaCluster

ANSWER_S_MAX = 5.0

MIN, MAX = "group.min.session.timeout.ms", "group.max.session.timeout.ms"


async def session_refused(cluster: KafkaCluster, broker_id: int, session_s: float) -> Misconfigured:
    """The fault when a broker, by its id, does not allow a session timeout. It is asked what it does allow."""
    try:
        async with timeout(ANSWER_S_MAX):
            bounds = await _bounds(cluster, broker_id)
    except (KafkaError, LogFault, OSError, asyncio.TimeoutError):
        bounds = {}  # not everybody may ask: its names say where to look
    allowed = " to ".join(f"{int(bounds[name]) / 1000:g} s ({name})" if name in bounds else name for name in (MIN, MAX))
    return Misconfigured(
        f"EXNESS_SESSION_TIMEOUT_S is {session_s:g}, which the Kafka brokers refuse: they allow {allowed}. Choose one "
        "of those, or change the brokers'"
    )


async def _bounds(cluster: KafkaCluster, broker_id: int) -> dict[str, str]:
    async with cluster.admin() as admin:
        wanted = ConfigResource(ConfigResourceType.BROKER, str(broker_id), {MIN: None, MAX: None})
        (answer,) = await admin.describe_configs([wanted])
    return {
        name: value
        for code, _, _, _, entries, *_ in answer.resources
        if code == 0
        for name, value, *_ in entries
        if value is not None and value.isdigit()
    }
