"""What a worker may do at the brokers is what the document says that it must; once it may no longer, it says so."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import aiohttp
import confluent  # noqa: F401 - skips without it
import pytest
from broker import PASSWORD, USER, Broker, fetch_jars
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from engine_process import ENGINE, MARKET_DATA, Client, EngineProcess, prices

from exness_streams.processes.stopping import EXIT_UNSERVING

pytestmark = pytest.mark.experiment

AUTHORIZED = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
ENDS_S_MAX = 120.0
TOLD_S_MAX = 30.0
PREFIXED = ResourcePatternType.PREFIXED
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


class StrictBroker(Broker):
    """Whoever signs in may do what ACLs say; without signing in, everything."""

    def _format(self) -> None:
        self._properties.write_text(self._properties.read_text() + AUTHORIZED)
        super()._format()

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address})

    def allow(self, kind: str, name: str) -> None:
        """As kafka-acls.sh does, for the user of the tests."""
        acl = AclBinding(KINDS[kind], name, PREFIXED, f"User:{USER}", "*", AclOperation.ALL, AclPermissionType.ALLOW)
        for made in self.admin.create_acls([acl]).values():
            made.result(TOLD_S_MAX)

    def revoke(self, kind: str) -> None:
        """All that was allowed of a kind."""
        acls = AclBindingFilter(KINDS[kind], None, PREFIXED, None, None, AclOperation.ANY, AclPermissionType.ANY)
        for removed in self.admin.delete_acls([acls]).values():
            assert removed.result(TOLD_S_MAX), kind


def documented() -> list[tuple[str, str]]:
    """Kinds and names of what kafka-acls.sh allows in the document."""
    text = DOCUMENT.read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^kafka-acls\.sh --bootstrap-server \S+ --add (.+)$", text, re.MULTILINE)
    assert "--operation All" in command
    assert "--resource-pattern-type prefixed" in command
    return re.findall(r"--(topic|group|transactional-id) (\S+)", command)


@pytest.fixture
def strict(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictBroker]:
    """`broker` only says whether there can be any."""
    own = StrictBroker(tmp_path_factory.mktemp("strict-kafka"), fetch_jars())
    own.start()
    try:
        for kind, name in documented():
            own.allow(kind, name)
        yield own
    finally:
        own.kill()


def start(strict: StrictBroker, directory: Path, command: list[str], name: str) -> EngineProcess:
    return EngineProcess(
        directory / name, strict, command, EXNESS_WORKER_ID=name, KAFKA_BROKERS=f"127.0.0.1:{strict.sasl_port}",
        EXNESS_KAFKA_SASL_MECHANISM="PLAIN", EXNESS_KAFKA_USERNAME=USER, EXNESS_KAFKA_PASSWORD=PASSWORD,
        BACKPACK_WS_URL="ws://127.0.0.1:9", BACKPACK_REST_URL="",
    )  # fmt: skip


REVOKED = {"topic": "topic", "group": "group", "transactional-id": "transactional id"}
"""And a word of the last line."""


@pytest.mark.parametrize("kind", REVOKED)
async def test_revoked_while_it_runs(strict: StrictBroker, tmp_path: Path, kind: str) -> None:
    engine, market_data = (start(strict, tmp_path, command, command[-1]) for command in (ENGINE, MARKET_DATA))
    try:
        await engine.wait_ready()
        await market_data.wait_ready()
        async with aiohttp.ClientSession() as session, prices(strict.address):
            await Client(engine.url, session).trade("ann")
            await asyncio.to_thread(strict.revoke, kind)
            give_up_at_s = time.monotonic() + ENDS_S_MAX
            while engine.exit_code is None:
                assert time.monotonic() < give_up_at_s, engine.said()
                await asyncio.sleep(0.2)
        print(engine.said())
        last = engine.said().strip().splitlines()[-1]
        assert last.startswith("exness-streams: "), engine.said()
        assert REVOKED[kind] in last, engine.said()
        assert engine.exit_code in (1, 3, EXIT_UNSERVING)
        assert "Traceback" not in engine.said()
    finally:
        engine.end()
        market_data.end()
