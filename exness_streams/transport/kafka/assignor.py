"""Faust's assignor, mended: `App(PartitionAssignor=...)` takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata, CopartitionedAssignment
from faust.assignor.partition_assignor import PartitionAssignor

from exness_streams.transport.faults import LogFault
from exness_streams.transport.kafka.members import told_of_member
from exness_streams.transport.kafka.shares import Share, even_shares, within


class NamedAssignor(PartitionAssignor):  # type: ignore[misc]  # faust is untyped here
    """Says whose assignment it was given. Faust only asserts that it is its own, and its consumer then stands still.

    As the group's leader it deals out even shares (shares.py); what it sends is of Faust's form, for members of any
    release.

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

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """By topics that are dealt together, those of many partitions first: the ticks then go where cells are few."""
        told = {name: self._get_client_metadata(one) for name, one in member_metadata.items()}
        topics_of = {name: list(one.subscription) for name, one in member_metadata.items()}
        self._update_member_urls(told)
        wanted = {topic for topics in topics_of.values() for topic in topics}
        found = sorted(self._get_copartitioned_groups(wanted, cluster, topics_of).items())
        groups = {topic: nth for nth, (_, together) in enumerate(found) for topics in together for topic in topics}
        assignments = {name: ClientAssignment(actives={}, standbys={}) for name in member_metadata}
        load: Counter[str] = Counter()
        for partitions, together in reversed(found):
            for topics in sorted(together, key=sorted):
                had = {name: told[name].assignment for name in assignments if topics <= set(topics_of[name])}
                for name, share in self._shares(had, topics, partitions, load).items():
                    load[name] += len(share.actives)
                    dealt = CopartitionedAssignment(set(share.actives), set(share.standbys), topics)
                    assignments[name].add_copartitioned_assignment(dealt)
        return self._protocol_assignments(
            assignments,
            self._get_changelog_distribution(assignments),
            self._get_external_topic_distribution(assignments),
            groups,
        )

    def _shares(
        self, had: Mapping[str, Any], topics: Collection[str], partitions: int, load: Mapping[str, int]
    ) -> dict[str, Share]:
        """Of topics with the same partitions, which go together."""
        together = {name: assignment.copartitioned_assignment(topics) for name, assignment in had.items()}
        known = {
            name: Share(within(partitions, one.actives), within(partitions, one.standbys))
            for name, one in together.items()
        }
        return even_shares(known, partitions, self.replicas, load)
