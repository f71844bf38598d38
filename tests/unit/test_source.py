"""Where prices come from, and that a data directory belongs to one source."""

from __future__ import annotations

from pathlib import Path

import pytest

from exness_streams.market_data.source import OtherSource, Source, check_source, check_topic, claim_source, source_of


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("wss://ws.backpack.exchange", "backpack"),
        ("wss://WS.Backpack.Exchange:443/stream", "backpack"),
        ("wss://ws.backpack.exchange.", "backpack"),
        ("ws://ws.backpack.exchange", "backpack"),
        ("wss://backpack.exchange/", "backpack"),
        ("ws://127.0.0.1:4100", "simulated"),
        ("ws://simulator:4100", "simulated"),
        ("wss://backpack.exchange.example.com", "simulated"),
        ("wss://notbackpack.exchange", "simulated"),
        ("wss://ws.backpack.exchange@example.com", "simulated"),
    ],
)
def test_only_the_exchange_itself_is_backpack(url: str, source: Source) -> None:
    assert source_of(url) == source


@pytest.mark.parametrize(("first", "other"), [("backpack", "simulated"), ("simulated", "backpack")])
def test_a_directory_belongs_to_the_source_it_was_first_started_with(
    tmp_path: Path, first: Source, other: Source
) -> None:
    data_dir = tmp_path / "data"
    claim_source(data_dir, first)
    claim_source(data_dir, first)
    with pytest.raises(OtherSource, match="--data-dir") as refused:
        claim_source(data_dir, other)
    assert f"run --feed {first}" in str(refused.value)
    assert "\n" not in str(refused.value)
    claim_source(data_dir, first)


def test_a_directory_without_a_mark_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    claim_source(tmp_path, "simulated")
    with pytest.raises(OtherSource):
        claim_source(tmp_path, "backpack")


@pytest.mark.parametrize("mark", [b"", b"binance\n", b"\xff" * 1000])
def test_a_mark_that_says_nothing_is_not_overruled(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "source").write_bytes(mark)
    with pytest.raises(OtherSource, match="does not"):
        claim_source(tmp_path, "backpack")
    assert (tmp_path / "source").read_bytes() == mark


@pytest.mark.parametrize("counted", [{}, {"backpack": 1}, {"backpack": 9_000, "simulated": 1}])
def test_most_of_a_topic_says_whose_it_is(counted: dict[str, int]) -> None:
    check_topic(counted, "backpack")
    if counted:
        with pytest.raises(OtherSource, match="holds backpack prices"):
            check_topic(counted, "simulated")


def test_to_check_marks_nothing(tmp_path: Path) -> None:
    assert check_source(tmp_path / "data", "backpack") is False
    assert not (tmp_path / "data").exists()
    claim_source(tmp_path / "data", "simulated")
    assert check_source(tmp_path / "data", "simulated") is True
    with pytest.raises(OtherSource):
        check_source(tmp_path / "data", "backpack")
