"""Faust's assignor, mended: `App(PartitionAssignor=...)` takes it."""

from __future__ import annotations

from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.members import told_of_member


class NamedAssignor(PartitionAssignor):  # type: ignore[misc]  # faust is untyped here
    """Says whose assignment it was given. Faust only asserts that it is its own, and its consumer then stands still.

    It also tells the group which rules of the journal this member knows, where the app says so (members.py), and how
    often it asked for another deal: brokers answer a member that tells what it told before with what it has.
    """

    def metadata(self, topics: set[str]) -> Any:
        """Faust's."""
        told = super().metadata(topics)
        known = getattr(self.app, "rules_known", 0)
        if not known:
            return told
        rejoins = getattr(self.app, "rejoins", 0)
        return ConsumerProtocolMemberMetadata(
            told.version, list(topics), told_of_member(told.user_data, known, rejoins)
        )

    def on_assignment(self, assignment: Any) -> None:
        """LogFault when it is another process's: brokers tell members apart by their names."""
        meant_for = ClientMetadata.loads(self._decompress(assignment.user_data)).url
        if meant_for != str(self._url):
            raise LogFault(
                f"another process has this one's name {self.app.conf.consumer_group_instance_id} and runs at "
                f"{meant_for}: give each a name of its own (EXNESS_WORKER_ID)"
            )
        super().on_assignment(assignment)
