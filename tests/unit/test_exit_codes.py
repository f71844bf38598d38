"""Exit codes say whether starting again can help."""

from __future__ import annotations

from pathlib import Path

import pytest
from platform_process import run_cli
from ports import free_port

from exness_streams.engine.journal_faults import LaterJournal
from exness_streams.identity.secret_keys import FILE
from exness_streams.market_data.source import OtherSource
from exness_streams.processes.exit_codes import exit_code_of
from exness_streams.settings.platform import ConfigError
from exness_streams.transport.embedded.log import EmbeddedLog
from exness_streams.transport.faults import LogFault, LogFenced, LogFull, LogLocked, Misconfigured
from exness_streams.transport.kafka.security import KafkaSecurity
from exness_streams.transport.kafka.topics import KafkaCluster, KafkaTopic, KafkaUnreachable, _check


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        (LogFault("the brokers do not answer"), 1),
        (LogFenced("taken over"), 1),
        (LogLocked("in use"), 1),
        (LogFull("full"), 1),
        (KafkaUnreachable("nobody there"), 1),
        (OSError(98, "Address already in use"), 1),
        (RuntimeError("a fault of ours"), 1),
        (Misconfigured("8 partitions, not 4"), 2),
        (Misconfigured("8 partitions, not 4").for_waiter(False), 2),
        (LaterJournal("rules of a later release"), 2),
        (ConfigError("a wrong setting"), 2),
        (OtherSource("other prices"), 2),
        (PermissionError(13, "Permission denied"), 2),
    ],
)
def test_code_of_what_failed(failed: BaseException, code: int) -> None:
    assert exit_code_of(failed) == code


@pytest.mark.parametrize(
    ("partitions", "replication", "policy", "size"),
    [
        (4, [1] * 8, "delete", 1_048_588),
        (8, [3] * 8, "delete", 1_048_588),
        (8, [1] * 8, "compact", 1_048_588),
        (8, [1] * 8, "delete", 65_536),
    ],
)
def test_a_topic_that_is_another(partitions: int, replication: list[int], policy: str, size: int) -> None:
    settings = {"cleanup.policy": policy, "max.message.bytes": str(size)}
    with pytest.raises(Misconfigured):
        _check(KafkaCluster(("localhost:9092",)), KafkaTopic("journal", partitions), replication, settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ca_file": Path("ca.pem")},
        {"tls": True, "key_file": Path("key.pem")},
        {"username": "trader"},
        {"sasl_mechanism": "PLAIN"},
        {"sasl_mechanism": "GSSAPI", "username": "a", "password": "b"},
    ],
)
def test_security_that_does_not_fit_together(wrong: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        KafkaSecurity(**wrong)  # type: ignore[arg-type]


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        KafkaSecurity(tls=True, ca_file=tmp_path / "nowhere.pem").ssl_context()


def test_another_number_of_partitions(tmp_path: Path) -> None:
    log = EmbeddedLog.open(tmp_path)
    try:
        log.declare("journal", 4)
        with pytest.raises(Misconfigured, match="has 4 partitions, not 8"):
            log.declare("journal", 8)
        with pytest.raises(Misconfigured, match="compacted"):
            log.declare("journal", 4, compact=True)
    finally:
        log.close()


def test_a_platform_with_another_source_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("backpack\n")
    ended = run_cli("run", "--feed", "simulated", "--data-dir", str(tmp_path))
    assert ended.returncode == 2
    assert "holds trades at backpack prices" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("mode", "said"), [(0o644, "can be read by others: chmod 600"), (0o600, "does not hold")])
def test_secrets_that_cannot_be_used_end_a_start_in_one_line(tmp_path: Path, mode: int, said: str) -> None:
    (tmp_path / FILE).write_text("{}")
    (tmp_path / FILE).chmod(mode)
    ended = run_cli("run", "--feed", "simulated", "--data-dir", str(tmp_path), PORT=str(free_port()))
    assert (ended.returncode, said in ended.stderr) == (2, True)
    assert [line for line in ended.stderr.splitlines() if "INFO" not in line][1:] == []
    assert "Traceback" not in ended.stderr
