"""A variable with our prefix is a setting, or stops the start."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from exness_streams.cli import main
from exness_streams.settings.names import refuse_unknown_variables, setting_names
from exness_streams.settings.platform import ConfigError


@pytest.mark.parametrize("name", sorted(setting_names()))
def test_every_setting_is_known_to_every_command(name: str) -> None:
    refuse_unknown_variables({name: "anything", name.lower(): "", "HOME": "/"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("EXNESS_FEERATE", "did you mean EXNESS_FEE_RATE?"),
        ("exness_feerate", "did you mean EXNESS_FEE_RATE?"),
        ("EXNESS_INSTRUMENT", "did you mean EXNESS_INSTRUMENTS?"),
        ("EXNESS_KAFKA_SASL_USERNAME", "did you mean EXNESS_KAFKA_USERNAME?"),
        ("EXNESS_PORT", "did you mean PORT?"),
        ("EXNESS_KAFKA_BROKERS", "did you mean KAFKA_BROKERS?"),
        ("EXNESS_", "docs/settings.md lists the settings"),
        ("EXNESS_QQQQQQQQQQQQQQQQQQQQQQQQQQQQ", "docs/settings.md lists the settings"),
        ("EXNESS_\n", "EXNESS_\\n is not a setting"),
    ],
)
def test_another_is_refused_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_unknown_variables({name: ""})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", [["run"], ["engine"], ["market-data"], ["state"], ["audit"], ["simulate-backpack"]])
def test_no_command_starts_with_a_slip(command: list[str]) -> None:
    ended = CliRunner().invoke(main, command, env={"EXNESS_FEERATE": "0.1"})
    assert ended.exit_code == 2
    assert "EXNESS_FEERATE is not a setting; did you mean EXNESS_FEE_RATE?" in ended.output
    assert len(ended.output.splitlines()) == 1
