"""The commands that run a process of the platform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exness_streams.simulator.faults import FAULT_FORMS
from exness_streams.terminal.command import Command, Setting
from exness_streams.terminal.console import EXIT_MISUSED, OneLine, console

if TYPE_CHECKING:
    from exness_streams.processes.stopping import Stopping
    from exness_streams.settings.kafka import KafkaSettings
    from exness_streams.settings.platform import Settings

RATE_MIN = 0.1
"""Below it a simulated market has no book for so long that nothing can be traded."""


def _check_rate(context: click.Context, parameter: click.Parameter, rate: float) -> float:
    if context.resilient_parsing:
        return rate
    from exness_streams.simulator.server import RATE_MAX

    if not RATE_MIN <= rate <= RATE_MAX:  # nan is refused, too
        raise OneLine(f"--rate {rate:g}: should be a number from {RATE_MIN} to {RATE_MAX}", EXIT_MISUSED)
    return rate


def platform_settings(**overrides: Any) -> Settings:
    """The settings of a platform in one process; a wrong one in one line."""
    from exness_streams.settings.platform import ConfigError, load_settings

    try:
        return load_settings(**overrides)
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


def cluster_settings(**overrides: Any) -> KafkaSettings:
    """The settings of a worker on Kafka; a wrong one in one line."""
    from exness_streams.settings.kafka import load_kafka_settings
    from exness_streams.settings.platform import ConfigError

    try:
        return load_kafka_settings(**overrides)
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


def watched() -> Stopping:
    """Before anything that may hang, and before there is another thread."""
    from exness_streams.processes.stopping import Stopping

    stopping = Stopping()
    stopping.watch()
    return stopping


def _quiet() -> None:
    from exness_streams.processes.logs import quiet_logging

    quiet_logging()


def _ended(failed: BaseException | None) -> None:
    from exness_streams.processes.exit_codes import exit_code_of
    from exness_streams.processes.run import in_words

    if failed is not None:
        raise OneLine(in_words(failed), exit_code_of(failed))


data_dir_option = click.option(
    "--data-dir",
    cls=Setting,
    type=click.Path(path_type=Path),
    envvar="EXNESS_DATA_DIR",
    help="The directory where everything is kept.",
)
_port_option = click.option(
    "--port", cls=Setting, type=int, envvar="PORT", help="The port of the web server, 4000 if nothing else is said."
)
_worker_id_option = click.option(
    "--worker-id",
    cls=Setting,
    envvar="EXNESS_WORKER_ID",
    help="The worker's name, the same after each restart; HOST-PORT if nothing else is said.",
)
_rate_option = click.option(
    "--rate",
    default=10.0,
    show_default=True,
    callback=_check_rate,
    help="How many updates of its book each simulated market has a second, from 0.1 to 100000.",
)
_seed_option = click.option(
    "--seed", default=1, show_default=True, help="The seed of the simulated prices: the same seed, the same prices."
)


@click.command(cls=Command)
@click.option(
    "--feed",
    type=click.Choice(["backpack", "simulated"]),
    default="backpack",
    show_default=True,
    help="Where the prices come from: the exchange, or a simulation of it that needs no network.",
)
@_seed_option
@_rate_option
@_port_option
@data_dir_option
def run(feed: str, seed: int, rate: float, port: int | None, data_dir: Path | None) -> None:
    """Run everything in one process on the embedded log. State survives a restart."""
    stopping = watched()
    from exness_streams.processes.run import run_platform, run_process
    from exness_streams.simulator.server import BackpackSimulator

    settings = platform_settings(port=port, data_dir=data_dir)
    _quiet()
    try:
        simulator = BackpackSimulator(settings.instruments, seed=seed, rate=rate) if feed == "simulated" else None
    except ValueError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None
    _ended(run_process(stopping, lambda until: run_platform(settings, simulator, console(), stopping, until)))


@click.command(cls=Command)
@_port_option
@_worker_id_option
def engine(port: int | None, worker_id: str | None) -> None:
    """Run one engine worker on Kafka; start as many as you like.

    The brokers are those of KAFKA_BROKERS.
    """
    stopping = watched()
    from exness_streams.processes.run import run_engine, run_process

    settings = cluster_settings(port=port, worker_id=worker_id)
    _quiet()
    _ended(run_process(stopping, lambda until: run_engine(settings, console(), stopping, until)))


@click.command("market-data", cls=Command)
@click.option(
    "--port",
    cls=Setting,
    type=int,
    envvar="PORT",
    help="The port of /metrics, /livez and /readyz; they are served nowhere if none is given.",
)
@_worker_id_option
def market_data(port: int | None, worker_id: str | None) -> None:
    """Run the market data service on Kafka; start two: one ingests, the other takes over.

    The brokers are those of KAFKA_BROKERS.
    """
    stopping = watched()
    from exness_streams.processes.run import run_market_data, run_process

    settings = cluster_settings(port=port, worker_id=worker_id)
    _quiet()
    _ended(run_process(stopping, lambda until: run_market_data(settings, console(), stopping, until)))


@click.command("simulate-backpack", cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4100,
    show_default=True,
    help="The port to listen on; 0 takes one that is free.",
)
@_seed_option
@_rate_option
@click.option(
    "--symbols",
    default="SOL_USDC,BTC_USDC,ETH_USDC",
    show_default=True,
    help="The markets to simulate, separated by commas.",
)
@click.option("--faults", default="", help=f"Faults on a schedule, separated by commas, of the forms {FAULT_FORMS}.")
def simulate_backpack(host: str, port: int, seed: int, rate: float, symbols: str, faults: str) -> None:
    """Run a WebSocket and REST server that speaks Backpack's protocol.

    It keeps nothing: each start begins at the first prices of its seed, a leap for whoever goes on from before. (What
    `run --feed simulated` shows goes on where it was.)
    """
    stopping = watched()
    from exness_streams.processes.run import run_process, serve_simulator
    from exness_streams.simulator.faults import parse_faults
    from exness_streams.simulator.server import BackpackSimulator

    _quiet()
    try:
        simulator = BackpackSimulator(
            tuple(part.strip() for part in symbols.split(",") if part.strip()),
            seed=seed,
            rate=rate,
            host=host,
            port=port,
            schedule=parse_faults(faults),
        )
    except ValueError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None
    _ended(run_process(stopping, lambda until: serve_simulator(simulator, console(), stopping, until)))
