"""EXNESS_TOPIC_PREFIX: what it names, and whose a data directory is."""

from __future__ import annotations

from pathlib import Path

import pytest
from faust.types import TP

from exness_streams.engine.build import build_engine
from exness_streams.messages import Topics
from exness_streams.processes.market_data_worker import MarketDataWorker
from exness_streams.settings.kafka import load_kafka_settings
from exness_streams.settings.topic_prefix import check_prefix, claim_prefix
from exness_streams.transport.faults import Misconfigured


def test_without_one_the_topics_have_the_names_of_the_contract() -> None:
    assert tuple(load_kafka_settings().topics) == ("backpack-market-updates", "trading-journal", "trading-events")
    assert Topics.of("") == Topics()


@pytest.mark.parametrize("prefix", ["", "staging-", "a.b_c-1."])
def test_every_name_on_the_brokers_begins_with_it(prefix: str, tmp_path: Path) -> None:
    settings = load_kafka_settings(topic_prefix=prefix, data_dir=tmp_path)
    app = build_engine(settings).app
    named = {app.conf.id, *app.batched_topics, *app.self_committed_topics, *app.topics_of_one_partition}
    named |= {topic for one in app.topics for topic in one.topics}
    named |= {table.changelog_topic.get_topic_name() for table in app.tables.values()}
    named |= {f"{log._group}-{log.topic}" for log in app.transport.cell_logs.values()}  # its transactional ids
    named |= set(app.transport.frame_logs)
    market_data = MarketDataWorker(settings)
    named |= {market_data.app.conf.id, market_data.publisher._log.topic, market_data.publisher._log._group}
    assert len(named) >= 10
    plain = {name.removeprefix(prefix) for name in named}
    assert all(name.startswith(prefix) for name in named)
    assert plain >= {*Topics(), "exness-streams", "exness-market-data", "exness-streams-accounts-changelog"}


def test_a_directory_is_that_of_the_prefix_it_began_with(tmp_path: Path) -> None:
    claim_prefix(tmp_path, "a-")
    claim_prefix(tmp_path, "a-")
    for other, way_out in (("b-", "EXNESS_TOPIC_PREFIX=b- is refused"), ("", "no EXNESS_TOPIC_PREFIX is refused")):
        with pytest.raises(Misconfigured) as refused:
            claim_prefix(tmp_path, other)
        said = str(refused.value)
        assert said.startswith(way_out)
        assert str(tmp_path) in said
        assert "set EXNESS_TOPIC_PREFIX=a-;" in said
        assert "EXNESS_DATA_DIR" in said
        assert "\n" not in said
    assert check_prefix(tmp_path, "a-")


def test_a_directory_of_before_there_were_prefixes_is_that_of_topics_without(tmp_path: Path) -> None:
    (tmp_path / "workers" / "host-4000").mkdir(parents=True)
    with pytest.raises(Misconfigured, match="unset EXNESS_TOPIC_PREFIX"):
        claim_prefix(tmp_path, "a-")
    claim_prefix(tmp_path, "")
    assert check_prefix(tmp_path, "")


def test_looking_marks_nothing(tmp_path: Path) -> None:
    assert not check_prefix(tmp_path / "new", "a-")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [build_engine, MarketDataWorker], ids=["engine", "market data"])
def test_a_process_over_another_platforms_directory_is_refused(make: object, tmp_path: Path) -> None:
    claim_prefix(tmp_path, "a-")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Misconfigured, match="EXNESS_TOPIC_PREFIX=b-"):
        make(load_kafka_settings(topic_prefix="b-", data_dir=tmp_path))  # type: ignore[operator]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_engine_asks_the_brokers_for_prefixed_partitions(tmp_path: Path) -> None:
    engine = build_engine(load_kafka_settings(topic_prefix="a-", data_dir=tmp_path))
    engine.app.transport._partitions["a-trading-journal"] = 8
    assert 0 <= engine.partition_of("demo") < 8
    assert TP(engine.topics.journal, 0).topic == "a-trading-journal"
