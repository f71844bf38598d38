"""The command line: running the platform, looking at it, and trading from a terminal."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from exness_streams import __version__
from exness_streams.client import ApiClient, RequestFailed, show_closed, show_opened, show_state
from exness_streams.config import ConfigError, Settings, load_settings
from exness_streams.market_data.simulator import BackpackSimulator
from exness_streams.market_data.simulator_faults import FAULT_FORMS, parse_faults
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
    _quiet_logging()
    try:
        simulator = BackpackSimulator(settings.instruments, seed=seed, rate=rate) if feed == "simulated" else None
    except ValueError as error:
        raise OneLine(str(error), EXIT_MISUSED) from None
    failed = _run_loop(_run_platform(settings, simulator))
    if failed is not None:
        raise OneLine(_in_words(failed))


def _run_loop(main_coroutine: Any) -> Any:
    # Long callbacks share the interpreter with the log's writer thread: let it have its turn sooner.
    sys.setswitchinterval(0.0005)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main_coroutine)
    return uvloop.run(main_coroutine)


async def _run_platform(settings: Settings, simulator: BackpackSimulator | None) -> BaseException | None:
    from exness_streams.worker import Platform  # Faust takes a while to import: not for every --help

    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, until.set)
    if simulator is not None:
        await simulator.start()
    try:
        platform = Platform(settings, simulator.url if simulator is not None else settings.backpack_ws_url)
        feed = f"simulated prices (seed {simulator.seed})" if simulator else settings.backpack_ws_url

        async def on_ready() -> None:
            # What start-up has made lives as long as the process: put aside, it no longer makes each full
            # collection a pause of 45 to 110 ms (docs/benchmarks.md).
            gc.collect()
            gc.freeze()
            _say_what_runs(settings, feed)
            if simulator is None:
                console.print("  offline? exness-streams run --feed simulated")

        return await platform.run(until, on_ready)
    except (LogFault, OSError) as error:
        return error
    finally:
        if simulator is not None:
            await simulator.stop()


def _say_what_runs(settings: Settings, feed: str) -> None:
    url = f"http://{settings.host}:{settings.port}"
    console.print(f"[bold green]Exness Streams {__version__} is running[/]")
    console.print(f"  API      {url}/api/v1/state", soft_wrap=True)
    console.print(f"  feed     {feed} for {', '.join(settings.instruments)}", soft_wrap=True)
    console.print(f"  data     {settings.data_dir.absolute()} (embedded log; survives restarts)", soft_wrap=True)
    console.print("  try      exness-streams open SOL long --margin 1000 --leverage 2")
    console.print(
        f"""  or       curl -X POST {url}/api/v1/positions/open -H 'Content-Type: application/json' """
        """-d '{"margin":1000,"asset":"SOL","type":"long","leverage":2,"currentPrice":150}'""",
        soft_wrap=True,
        markup=False,
    )
    console.print("  stop     Ctrl-C")


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: choose another PORT, or stop what uses it"
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _quiet_logging() -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("exness_streams").setLevel(logging.INFO)
    # Faust's services log each of their steps under the module of their class.
    for name in ("exness_streams.transport", "exness_streams.engine.app"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("exness_streams.engine.app").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log record says more than the last line of the command will: a fault has its own words."""
    return not any(isinstance(argument, LogFault) for argument in record.args or ())


@main.command("simulate-backpack")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=4100, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--rate", default=10.0, show_default=True, help="book updates a second and symbol")
@click.option("--symbols", default="SOL_USDC,BTC_USDC,ETH_USDC", show_default=True)
@click.option("--faults", default="", help=FAULT_FORMS)
def simulate_backpack(host: str, port: int, seed: int, rate: float, symbols: str, faults: str) -> None:
    """A WebSocket server that speaks Backpack's protocol."""
    _quiet_logging()
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
    _run_loop(_serve_simulator(simulator))


async def _serve_simulator(simulator: BackpackSimulator) -> None:
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    try:
        await simulator.start()
    except OSError as error:
        raise OneLine(_in_words(error)) from None
    try:
        console.print(f"[bold green]Backpack simulator[/] on {simulator.url} (seed {simulator.seed})", soft_wrap=True)
        console.print(f"  try      BACKPACK_WS_URL={simulator.url} exness-streams run", soft_wrap=True)
        await until.wait()
    finally:
        await simulator.stop()


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
