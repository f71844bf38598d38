"""The command line: running the platform, looking at it, and trading from a terminal."""

from __future__ import annotations

import _thread
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from exness_streams import __version__
from exness_streams.processes.logs import quiet_logging
from exness_streams.processes.run import (
    in_words,
    run_engine,
    run_loop,
    run_market_data,
    run_platform,
    run_process,
    serve_simulator,
)
from exness_streams.processes.stopping import EXIT_FORCED, Stopping
from exness_streams.settings.kafka import KafkaSettings, load_kafka_settings
from exness_streams.settings.names import refuse_unknown_variables
from exness_streams.settings.platform import ConfigError, Settings, load_settings
from exness_streams.simulator.faults import FAULT_FORMS, parse_faults
from exness_streams.simulator.server import RATE_MAX, BackpackSimulator
from exness_streams.terminal.commands import CLIENT_COMMANDS
from exness_streams.terminal.console import EXIT_MISUSED, OneLine, console, errors
from exness_streams.transport.faults import LogFault
from exness_streams.transport.faust_environment import forget_faust_variables

RATE_MIN = 0.1
"""Below it a simulated market has no book for so long that nothing can be traded."""


def _check_rate(context: click.Context, parameter: click.Parameter, rate: float) -> float:
    if not RATE_MIN <= rate <= RATE_MAX:  # nan is refused, too
        raise OneLine(f"--rate {rate:g}: should be a number from {RATE_MIN} to {RATE_MAX}", EXIT_MISUSED)
    return rate


def _settings(**overrides: Any) -> Settings:
    try:
        return load_settings(**overrides)
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A leveraged-trading platform as a stream-processing application."""
    forget_faust_variables()
    try:
        refuse_unknown_variables()
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


for client_command in CLIENT_COMMANDS:
    main.add_command(client_command)


@main.command()
@click.option("--feed", type=click.Choice(["backpack", "simulated"]), default="backpack", show_default=True)
@click.option("--seed", default=1, show_default=True, help="of the simulated prices")
@click.option(
    "--rate", default=10.0, show_default=True, callback=_check_rate, help="simulated book updates a second and symbol"
)
@click.option("--port", type=int, help="of the web server [env PORT, default 4000]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="where everything is kept [env EXNESS_DATA_DIR]")
def run(feed: str, seed: int, rate: float, port: int | None, data_dir: Path | None) -> None:
    """Everything in one process on the embedded log. State survives a restart."""
    stopping = _watched()
    settings = _settings(port=port, data_dir=data_dir)
    quiet_logging()
    try:
        simulator = BackpackSimulator(settings.instruments, seed=seed, rate=rate) if feed == "simulated" else None
    except ValueError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None
    _ended(run_process(stopping, lambda until: run_platform(settings, simulator, console, stopping, until)))


def _watched() -> Stopping:
    """Before anything that may hang, and before there is another thread."""
    stopping = Stopping()
    stopping.watch()
    return stopping


def _ended(failed: BaseException | None) -> None:
    if failed is not None:
        raise OneLine(in_words(failed))


def _kafka_settings(**overrides: Any) -> KafkaSettings:
    try:
        return load_kafka_settings(**overrides)
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


@main.command()
@click.option("--port", type=int, help="of the web server [env PORT, default 4000]")
@click.option("--worker-id", help="the same after each restart [env EXNESS_WORKER_ID, default host-port]")
def engine(port: int | None, worker_id: str | None) -> None:
    """One engine worker on Kafka (KAFKA_BROKERS); start as many as you like."""
    stopping = _watched()
    settings = _kafka_settings(port=port, worker_id=worker_id)
    quiet_logging()
    _ended(run_process(stopping, lambda until: run_engine(settings, console, stopping, until)))


@main.command("market-data")
@click.option("--port", type=int, help="serve /metrics, /livez and /readyz there [env PORT, default: nowhere]")
@click.option("--worker-id", help="the same after each restart [env EXNESS_WORKER_ID, default host-port]")
def market_data(port: int | None, worker_id: str | None) -> None:
    """The market data service on Kafka; start two: one ingests, the other takes over."""
    stopping = _watched()
    settings = _kafka_settings(port=port, worker_id=worker_id)
    quiet_logging()
    _ended(run_process(stopping, lambda until: run_market_data(settings, console, stopping, until)))


@main.command("simulate-backpack")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=4100, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--rate", default=10.0, show_default=True, callback=_check_rate, help="book updates a second and symbol")
@click.option("--symbols", default="SOL_USDC,BTC_USDC,ETH_USDC", show_default=True)
@click.option("--faults", default="", help=FAULT_FORMS)
def simulate_backpack(host: str, port: int, seed: int, rate: float, symbols: str, faults: str) -> None:
    """A WebSocket and REST server that speaks Backpack's protocol."""
    stopping = _watched()
    quiet_logging()
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
    _ended(run_process(stopping, lambda until: serve_simulator(simulator, console, until)))


_kafka_option = click.option("--kafka", is_flag=True, help="of the cluster at KAFKA_BROKERS, not of the embedded log")
_data_dir_option = click.option("--data-dir", type=click.Path(path_type=Path), help="[env EXNESS_DATA_DIR]")


@contextmanager
def _replaying() -> Iterator[Callable[[int, int], None]]:
    """A progress bar while it lasts; faults that end it are told in one line, and so is a signal."""
    stopping = _watched()
    stopping.when_asked(_thread.interrupt_main)
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own line says what is wrong
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("replay", total=None)
        try:
            yield lambda done, total: progress.update(task, completed=done, total=total)
        except (LogFault, ValueError, OSError) as error:
            stopping.limit(in_words(error))
            raise OneLine(in_words(error)) from None
        except KeyboardInterrupt:
            raise OneLine("interrupted before the end", EXIT_FORCED) from None


def _cluster(settings: KafkaSettings) -> Any:
    from exness_streams.transport.kafka.topics import KafkaCluster

    return KafkaCluster(settings.kafka_brokers, settings.security().credentials())


@main.command()
@_kafka_option
@_data_dir_option
def audit(kafka: bool, data_dir: Path | None) -> None:
    """Replay the journal and compare every account with the tables. Exit code 1 on a difference."""
    from exness_streams.audit.embedded import audit_all
    from exness_streams.audit.kafka import audit_cluster
    from exness_streams.engine.engine import APP_ID

    settings = _kafka_settings(data_dir=data_dir) if kafka else _settings(data_dir=data_dir)
    checkpoints = settings.checkpoints_dir
    with _replaying() as on_progress:
        if isinstance(settings, KafkaSettings):
            audits = run_loop(audit_cluster(_cluster(settings), APP_ID, checkpoints, on_progress))
        else:
            audits = audit_all(settings.log_dir, settings.tables_dir, checkpoints, APP_ID, on_progress)
    for cell in audits:
        console.print(
            f"cell {cell.partition}: journal records {cell.began_at} to {cell.ended_at}, {cell.accounts} accounts, "
            f"compared with {cell.table}",
            soft_wrap=True,
        )
        console.print(f"  replayed {cell.replayed_hash}\n  table    {cell.table_hash}")
        for difference in cell.differences:
            console.print(f"  {difference}", style="red", markup=False, soft_wrap=True)
    if not all(cell.is_clean for cell in audits):
        raise OneLine("the journal and the tables differ")
    console.print("[bold green]all agree, and money is conserved[/]")


@main.command()
@_kafka_option
@_data_dir_option
def checkpoint(kafka: bool, data_dir: Path | None) -> None:
    """Audit every cell and write its checkpoint, from which an audit may begin. One that differs is refused."""
    from exness_streams.audit.embedded import CheckpointRefused, checkpoint_all
    from exness_streams.audit.kafka import checkpoint_cluster
    from exness_streams.engine.engine import APP_ID

    settings = _kafka_settings(data_dir=data_dir) if kafka else _settings(data_dir=data_dir)
    checkpoints = settings.checkpoints_dir
    with _replaying() as on_progress:
        if isinstance(settings, KafkaSettings):
            headers = run_loop(checkpoint_cluster(_cluster(settings), APP_ID, checkpoints, on_progress))
        else:
            try:
                headers = checkpoint_all(settings.log_dir, settings.tables_dir, checkpoints, APP_ID, on_progress)
            except CheckpointRefused as refused:
                raise OneLine(str(refused)) from None
    for header in headers:
        console.print(
            f"cell {header.partition}: {header.entries} entries at journal record {header.offset}, "
            f"state hash {header.state_hash}",
            soft_wrap=True,
        )
