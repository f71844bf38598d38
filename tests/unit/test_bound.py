"""A web server listens where the settings say, or the process ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exness_streams.processes import bound
from exness_streams.processes.bound import check_bound, refuse_elsewhere
from exness_streams.settings.platform import Settings, load_settings
from exness_streams.transport.faults import LogFault


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, port=4000)


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", ("127.0.0.1", 4000)), ("::1", ("::1", 4000, 0, 0)), ("localhost", ("127.0.0.1", 4000))],
)
def test_what_was_meant_passes(tmp_path: Path, host: str, address: tuple[Any, ...]) -> None:
    refuse_elsewhere([address], load_settings(data_dir=tmp_path, port=4000, host=host))


@pytest.mark.parametrize(
    "address",
    [
        ("0.0.0.0", 4000),
        ("::", 4000, 0, 0),
        ("10.1.2.3", 4000),
        ("127.0.0.1", 4001),
        ("127.0.0.2", 4000),
        ("192.168.0.1", 80),
    ],
)
def test_anything_else_is_refused_in_one_line(settings: Settings, address: tuple[Any, ...]) -> None:
    with pytest.raises(LogFault) as refused:
        refuse_elsewhere([("127.0.0.1", 4000), address], settings)
    assert f"listens on {address[0]}, port {address[1]}" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_server_that_never_listens_is_noticed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "WEB_START_S_MAX", 0.1)
    app = SimpleNamespace(web=SimpleNamespace(_runner=SimpleNamespace(addresses=[])))
    with pytest.raises(LogFault, match=r"does not listen on 127\.0\.0\.1, port 4000"):
        await check_bound(app, settings)
