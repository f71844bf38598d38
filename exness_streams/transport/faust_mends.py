"""Faust's private names that this package calls or overrides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exness_streams.transport.private_names import Private, refuse_without

BOUNDS = ">=0.15.3,<0.16"
"""As in pyproject.toml."""

_BY_OWNER: dict[str, tuple[str, ...]] = {
    "faust.transport.consumer:Consumer": (
        "_wait_next_records", "_new_offset", "_add_gap", "_wait_for_ack", "_getmany", "_seek", "_commit",
        "_new_topicpartition", "_to_message", "_is_changelog_tp", "_committed_offset",
        "_read_offset",
        "_acked_index", "_buffered_partitions", "_clean_unacked_messages", "_get_active_partitions",
        "_unacked_messages",
    ),
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": (
        "_consumer", "_create_worker_consumer", "_ensure_consumer", "_fetch_records", "_seek_wait", "_stopped_set",
    ),
    "mode.threads:ServiceThread": ("_start_thread", "_shutdown", "_thread_running"),
    "faust.transport.drivers.aiokafka:Consumer": ("_thread", "_new_consumer_thread"),
    "faust.transport.drivers.aiokafka:Producer": ("_producer", "_settings_extra"),
    "faust.transport.drivers.aiokafka:Transport": ("_really_create_topic",),
    "faust.tables.recovery:Recovery": ("_build_offsets", "_build_highwaters", "_seek_offsets"),
    "faust.tables.recovery": ("RebalanceAgain",),
    "faust.tables.manager:TableManager": ("_recovery", "_update_channels"),
    "faust.assignor.partition_assignor:PartitionAssignor": (
        "_assignment", "_active_tps", "_standby_tps", "_decompress", "_url", "_perform_assignment",
        "_get_client_metadata", "_update_member_urls", "_get_copartitioned_groups", "_protocol_assignments",
        "_get_changelog_distribution", "_get_external_topic_distribution",
    ),
    "faust.stores.rocksdb:Store": ("_db_for_partition", "_dbs", "_open_for_partition", "_try_open_db_for_partition"),
    "faust.tables.base:Collection": ("_new_store_by_url",),
    "faust.topics:Topic": ("_on_published",),
    "faust.app:App": ("_new_web",),
    "faust.agents.agent:Agent": ("_execute_actor",),
    "faust.worker:Worker": ("_on_sigterm", "_on_sigusr1"),
    "faust.web.drivers.aiohttp:Web": ("_new_transport_tcp", "_runner"),
}  # fmt: skip

NEEDED = tuple(Private(where, name) for where, names in _BY_OWNER.items() for name in names)


def refuse_other_faust() -> None:
    """LogFault in one line for a Faust that lacks one of the names."""
    refuse_without("faust-streaming", NEEDED, BOUNDS)


def bound_addresses(app: Any) -> Sequence[Any]:
    """Where an app's web server listens; nothing before it does."""
    addresses: Sequence[Any] = app.web._runner.addresses
    return addresses
