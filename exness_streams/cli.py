"""The command line: running the platform, looking at it, and trading from a terminal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from exness_streams import __version__
from exness_streams.client import ApiClient, RequestFailed, show_closed, show_opened, show_state
from exness_streams.config import ConfigError, Settings, load_settings
from exness_streams.config_kafka import KafkaSettings, load_kafka_settings
from exness_streams.market_data.simulator import BackpackSimulator
from exness_streams.market_data.simulator_faults import FAULT_FORMS, parse_faults
from exness_streams.processes import (
    in_words,
    quiet_logging,
    run_engine,
    run_loop,
    run_market_data,
    run_platform,
    serve_simulator,
)
from exness_streams.transport.faults import LogFault

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_MISUSED = 2


class OneLine(click.ClickException):
    """A fault in one line, without a traceback."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: Any = None) -> None:
        errors.print(f"exness-streams: {self.message}", style="bold red", markup=False, soft_wrap=True)


def _settings(**overrides: Any) -> Settings:
    try:
        return load_settings(**overrides)
    except ConfigError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A leveraged-trading platform as a stream-processing application."""


@main.command()
@click.option("--feed", type=click.Choice(["backpack", "simulated"]), default="backpack", show_default=True)
@click.option("--seed", default=1, show_default=True, help="of the simulated prices")
@click.option("--rate", default=10.0, show_default=True, help="simulated book updates a second and symbol")
@click.option("--port", type=int, help="of the web server [env PORT, default 4000]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="where everything is kept [env EXNESS_DATA_DIR]")
def run(feed: str, seed: int, rate: float, port: int | None, data_dir: Path | None) -> None:
    """Everything in one process on the embedded log. State survives a restart."""
    settings = _settings(port=port, data_dir=data_dir)
    quiet_logging()
    try:
        simulator = BackpackSimulator(settings.instruments, seed=seed, rate=rate) if feed == "simulated" else None
    except ValueError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None
    _ended(run_loop(run_platform(settings, simulator, console)))


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
    settings = _kafka_settings(port=port, worker_id=worker_id)
    quiet_logging()
    _ended(run_loop(run_engine(settings, console)))


@main.command("market-data")
@click.option("--port", type=int, help="serve /metrics, /livez and /readyz there [env PORT, default: nowhere]")
@click.option("--worker-id", help="the same after each restart [env EXNESS_WORKER_ID, default host-port]")
def market_data(port: int | None, worker_id: str | None) -> None:
    """The market data service on Kafka; start two: one ingests, the other takes over."""
    settings = _kafka_settings(port=port, worker_id=worker_id)
    quiet_logging()
    _ended(run_loop(run_market_data(settings, console)))


@main.command("simulate-backpack")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=4100, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--rate", default=10.0, show_default=True, help="book updates a second and symbol")
@click.option("--symbols", default="SOL_USDC,BTC_USDC,ETH_USDC", show_default=True)
@click.option("--faults", default="", help=FAULT_FORMS)
def simulate_backpack(host: str, port: int, seed: int, rate: float, symbols: str, faults: str) -> None:
    """A WebSocket server that speaks Backpack's protocol."""
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
    _ended(run_loop(serve_simulator(simulator, console)))


_url_option = click.option("--url", envvar="EXNESS_URL", default="http://127.0.0.1:4000", show_default=True)
_account_option = click.option("--account", envvar="EXNESS_ACCOUNT", default="demo", show_default=True)


class Number(click.ParamType):
    """An exact number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(value)
        except (ArithmeticError, ValueError):
            number = Decimal("NaN")
        if not number.is_finite():
            self.fail(f"{value} is not a number", param, ctx)
        return number


NUMBER = Number()


def _asked(url: str, account: str, ask: Any) -> Any:
    try:
        return ask(ApiClient(url, account))
    except RequestFailed as error:
        raise OneLine(str(error)) from None


@main.command()
@_url_option
@_account_option
def state(url: str, account: str) -> None:
    """The account: balances, positions, PnL."""
    show_state(console, _asked(url, account, lambda client: client.state()))


@main.command("open")
@click.argument("asset")
@click.argument("side", type=click.Choice(["long", "short"]))
@click.option("--margin", type=NUMBER, required=True, help="USD")
@click.option("--leverage", type=NUMBER, default="1", show_default=True)
@click.option("--slippage", type=NUMBER, help="percent worse than the price now that is still taken")
@_url_option
@_account_option
def open_(
    asset: str, side: str, margin: Decimal, leverage: Decimal, slippage: Decimal | None, url: str, account: str
) -> None:
    """Open a position at the market."""
    body = {"asset": asset, "type": side, "margin": margin, "leverage": leverage, "slippage": slippage}
    show_opened(console, _asked(url, account, lambda client: client.open(body)))


@main.command()
@click.argument("position_id")
@click.option("--slippage", type=NUMBER, help="percent worse than the price now that is still taken")
@_url_option
@_account_option
def close(position_id: str, slippage: Decimal | None, url: str, account: str) -> None:
    """Close a position at the market."""
    body = {"positionId": position_id, "slippage": slippage}
    show_closed(console, _asked(url, account, lambda client: client.close(body)))


@main.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="[env EXNESS_DATA_DIR]")
def audit(data_dir: Path | None) -> None:
    """Replay the journal and compare every account with the tables. Exit code 1 on a difference."""
    from exness_streams.engine.app import APP_ID
    from exness_streams.engine.audit import audit_all

    settings = _settings(data_dir=data_dir)
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("replay", total=None)
        try:
            audits = audit_all(
                settings.log_dir,
                settings.tables_dir,
                settings.checkpoints_dir,
                APP_ID,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        except (LogFault, ValueError) as error:
            raise OneLine(str(error)) from None
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
@click.option("--data-dir", type=click.Path(path_type=Path), help="[env EXNESS_DATA_DIR]")
def checkpoint(data_dir: Path | None) -> None:
    """Write a checkpoint of every cell, from which an audit may begin."""
    from exness_streams.engine.app import APP_ID
    from exness_streams.engine.checkpoints import checkpoint_all

    settings = _settings(data_dir=data_dir)
    try:
        for header in checkpoint_all(settings.log_dir, settings.checkpoints_dir, APP_ID):
            console.print(
                f"cell {header.partition}: {header.entries} entries at journal record {header.offset}, "
                f"state hash {header.state_hash}",
                soft_wrap=True,
            )
    except LogFault as error:
        raise OneLine(str(error)) from None
