"""How each long-running command runs: event loop, signals, logging, and what it says when it is ready.

Faust takes a while to import, so the workers are imported when they are run: not for every --help. That blocks the
event loop, on a busy machine for long; so each has its loop watched from then on.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from exness_streams import __version__
from exness_streams.domain.outside_text import without_secrets
from exness_streams.market_data.source import OtherSource, check_source, source_of
from exness_streams.processes.stopping import Stopping, unless
from exness_streams.processes.watchdog import watch_loop
from exness_streams.settings.kafka import KafkaSettings
from exness_streams.settings.platform import ConfigError, Settings
from exness_streams.simulator.newest_prices import newest_prices
from exness_streams.simulator.server import BackpackSimulator
from exness_streams.transport.faults import LogFault

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from exness_streams.processes.market_data_worker import MarketDataWorker
    from exness_streams.transport.kafka.topics import KafkaCluster

T = TypeVar("T")


def run_loop(main_coroutine: Coroutine[object, object, T]) -> T:
    """Run to the end on the fastest loop there is."""
    # Long callbacks share the interpreter with the log's writer thread: let it have its turn sooner.
    sys.setswitchinterval(0.0005)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main_coroutine)
    return uvloop.run(main_coroutine)


Failed = BaseException | None


def run_process(stopping: Stopping, main: Callable[[asyncio.Event], Coroutine[object, object, Failed]]) -> Failed:
    """Run a process that works until it is told to stop; `main` gets the event that tells it. Returns what failed.

    What is left to be done when it ends is bounded, too: tasks, threads, the interpreter.
    """

    async def run() -> Failed:
        failed: Failed = None
        try:
            failed = await main(stopping.event())
        except (LogFault, ConfigError, OtherSource, OSError) as error:
            failed = error
        finally:
            stopping.limit(as_reason(failed or sys.exc_info()[1]))
        return failed

    return run_loop(run())


def as_reason(failed: Failed) -> str:
    """Why a stop has begun, for the line that is printed should it hang."""
    return "stopped" if failed is None else in_words(failed)


async def run_platform(
    settings: Settings, simulator: BackpackSimulator | None, console: Console, stopping: Stopping, until: asyncio.Event
) -> Failed:
    """Everything in one process. Returns what failed. LogFault, OtherSource, OSError."""
    from exness_streams.processes.engine_worker import Platform

    watch_loop(stopping.end_unserving)
    try:
        check_source(settings.data_dir, "simulated" if simulator else source_of(settings.backpack_ws_url))
        await check_port(settings)
        if simulator is not None:
            simulator.resume(newest_prices(settings.log_dir, simulator.symbols))
            await simulator.start()
            platform = Platform(settings, simulator.url, simulator.rest_url)
            platform.on_left = simulator.add
        else:
            platform = Platform(settings, settings.backpack_ws_url, settings.backpack_rest_url)

        async def on_ready() -> None:
            put_start_up_aside()
            _say_what_runs(settings, simulator, console)

        return await platform.run(until, on_ready, lambda failed: stopping.limit(as_reason(failed)))
    finally:
        if simulator is not None:
            await simulator.stop()


async def check_port(settings: Settings) -> None:
    """OSError, or LogFault, when nobody can listen there: before a first start writes what later ones are bound to."""
    await _try_port(settings.host, settings.port)
    if settings.metrics_port is not None:
        try:
            await _try_port(settings.host, settings.metrics_port)
        except OSError as error:
            from exness_streams.api.metrics_port import metrics_port_refused

            raise metrics_port_refused(settings.metrics_port, error) from None


async def _try_port(host: str, port: int) -> None:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen()


async def run_engine(settings: KafkaSettings, console: Console, stopping: Stopping, until: asyncio.Event) -> Failed:
    """One engine worker on Kafka. Returns what failed. LogFault, OSError."""
    from exness_streams.processes.engine_worker import EngineWorker

    watch_loop(stopping.end_unserving)
    worker = EngineWorker(settings, settings.backpack_ws_url, settings.backpack_rest_url)

    async def on_ready() -> None:
        put_start_up_aside()
        brokers = ", ".join(settings.kafka_brokers)
        console.print(f"[bold green]engine {settings.worker_name} is ready[/] on Kafka at {brokers}")
        console.print(f"  page     {settings.own_url} (any worker answers for any account)")
        console.print(f"  API      {settings.own_url}/api/v1/state")

    worker.watch(stopping.end_unserving)
    running = worker.run(until, on_ready, lambda failed: stopping.limit(as_reason(failed)))
    return await _explained(worker.engine.app.transport.cluster, running)


async def _explained(cluster: KafkaCluster, running: Awaitable[Failed]) -> Failed:
    """What failed; where no broker could be used, why that is."""
    from exness_streams.transport.kafka.outlook import explained
    from exness_streams.transport.kafka.topics import KafkaUnreachable

    try:
        failed = await running
    except KafkaUnreachable as fault:
        failed = fault
    return await explained(cluster, failed)


async def run_market_data(
    settings: KafkaSettings, console: Console, stopping: Stopping, until: asyncio.Event
) -> Failed:
    """One market data process on Kafka. Returns what failed. LogFault, OSError."""
    from exness_streams.api.metrics import WorkHistograms, process_registry
    from exness_streams.processes.market_data_worker import MarketDataWorker

    registry = process_registry()
    worker = MarketDataWorker(settings, WorkHistograms(registry).of("ticks"))
    worker.watch(stopping.end_unserving)
    return await _explained(worker.cluster, _market_data(worker, registry, console, stopping, until))


async def _market_data(
    worker: MarketDataWorker, registry: CollectorRegistry, console: Console, stopping: Stopping, until: asyncio.Event
) -> Failed:
    from exness_streams.processes.engine_worker import run_app
    from exness_streams.processes.market_data_metrics import metrics_served

    watch_loop(stopping.end_unserving)
    settings = worker.settings
    async with metrics_served(worker, registry):
        if not await unless(until.wait(), worker.declare()):
            return None
        brokers = ", ".join(settings.kafka_brokers)
        console.print(f"[bold green]market data {settings.worker_name} is running[/] on Kafka at {brokers}")
        console.print(f"  feed     {without_secrets(settings.backpack_ws_url)} for {', '.join(settings.instruments)}")
        console.print(f"  metrics  {_where_metrics_are(settings)}", soft_wrap=True)
        ending = lambda failed: stopping.limit(as_reason(failed))  # noqa: E731
        return await run_app(worker.app, lambda: [worker.run()], until, ending)


def _where_metrics_are(settings: KafkaSettings) -> str:
    if settings.metrics_port is not None:
        return f"port {settings.metrics_port} of {settings.host}"
    if not settings.metrics_beside_api:
        return "set EXNESS_METRICS_PORT for them"
    return f"{settings.own_url}/metrics" if "port" in settings.model_fields_set else "set PORT for them"


async def serve_simulator(
    simulator: BackpackSimulator, console: Console, stopping: Stopping, until: asyncio.Event
) -> Failed:
    """The simulator alone. OSError."""
    watch_loop(stopping.end_unserving)
    await simulator.start()
    try:
        console.print(f"[bold green]Backpack simulator[/] on {simulator.url} (seed {simulator.seed})", soft_wrap=True)
        urls = f"BACKPACK_WS_URL={simulator.url} BACKPACK_REST_URL={simulator.rest_url}"
        console.print(f"  try      {urls} exness-streams run", soft_wrap=True)
        await until.wait()
    finally:
        await simulator.stop()
    return None


def put_start_up_aside() -> None:
    """What start-up has made lives as long as the process.

    Put aside, it no longer makes each full collection a long pause (docs/benchmarks.md).
    """
    gc.collect()
    gc.freeze()


def _say_what_runs(settings: Settings, simulator: BackpackSimulator | None, console: Console) -> None:
    url = settings.own_url
    feed = f"simulated prices (seed {simulator.seed})" if simulator else without_secrets(settings.backpack_ws_url)
    console.print(f"[bold green]Exness Streams {__version__} is running[/]")
    console.print(f"  page     {url}", soft_wrap=True)
    console.print(f"  API      {url}/api/v1/state (to read and try: {url}/docs)", soft_wrap=True)
    console.print(f"  feed     {feed} for {', '.join(settings.instruments)}", soft_wrap=True)
    console.print(f"  data     {settings.data_dir.absolute()} (embedded log; survives restarts)", soft_wrap=True)
    if settings.auth == "required":
        console.print("  try      exness-streams login, or sign in on the page", soft_wrap=True)
        console.print("  then     exness-streams open SOL long --margin 1000 --leverage 2")
    else:
        _propose_orders(url, console)
    console.print("  stop     Ctrl-C")
    if simulator is None:
        other = f"{settings.data_dir}-simulated"  # this directory is Backpack's from now on
        console.print(f"  offline? exness-streams run --feed simulated --data-dir {other}", soft_wrap=True)


def _propose_orders(url: str, console: Console) -> None:
    console.print("  try      exness-streams open SOL long --margin 1000 --leverage 2")
    console.print(
        f"""  or       curl -X POST {url}/api/v1/positions/open -H 'Content-Type: application/json' """
        """-d '{"margin":1000,"asset":"SOL","type":"long","leverage":2,"currentPrice":150}'""",
        soft_wrap=True,
        markup=False,
    )


def in_words(error: BaseException) -> str:
    """A fault as one line."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: choose another PORT, or stop what uses it"
    if type(error).__module__.startswith("aiokafka"):  # imported already, then
        from exness_streams.transport.kafka.error_words import words_of

        return words_of(error)
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__
