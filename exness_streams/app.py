"""What `faust -A exness_streams.app worker` loads: one engine worker on Kafka, as the environment describes it."""

from __future__ import annotations

from typing import Any

import click

from exness_streams.processes.bound import check_bound
from exness_streams.processes.engine_worker import EngineWorker
from exness_streams.processes.faust_worker import BoundedWorker
from exness_streams.processes.run import put_start_up_aside
from exness_streams.processes.stopping import Stopping
from exness_streams.settings.kafka import load_kafka_settings
from exness_streams.settings.names import refuse_unknown_variables
from exness_streams.settings.platform import ConfigError
from exness_streams.transport.faults import LogFault


def faust_app() -> Any:
    """The worker's app. A wrong setting ends that in one line, exit code 2."""
    try:
        refuse_unknown_variables()
        worker = EngineWorker(load_kafka_settings())
        engine = worker.engine
    except (ConfigError, LogFault) as error:
        wrong = click.ClickException(str(error))
        wrong.exit_code = 2
        raise wrong from None
    engine.app.conf.Worker = BoundedWorker

    async def watch() -> None:
        worker.watch(Stopping().end_unserving)

    async def settle() -> None:
        await engine.cells.ready.wait()
        put_start_up_aside()

    async def check_door() -> None:
        try:
            await check_bound(engine.app, engine.settings)
        except LogFault as fault:
            await engine.app.crash(fault)

    engine.app.task(watch)
    engine.app.task(settle)
    engine.app.task(check_door)
    return engine.app


app = faust_app()
