"""Plain Faust with a table in RocksDB: the last price and the count of each symbol."""

from __future__ import annotations

from typing import Any

import faust
from progress import Arguments, Progress

arguments = Arguments.taken()
progress = Progress(arguments)
app = faust.App(
    arguments.group,
    broker=f"kafka://{arguments.brokers}",
    store="rocksdb://?driver=rocksdict",
    datadir=arguments.directory,
    topic_partitions=1,
    topic_replication_factor=1,
    web_enabled=False,
)
ticks = app.topic(arguments.topic, value_serializer="json")
quotes: Any = app.Table("quotes", partitions=1)


@app.agent(ticks)  # type: ignore[untyped-decorator, unused-ignore]
async def follow(stream: Any) -> None:
    """One tick after another, as the documentation of Faust does it."""
    async for tick in stream:
        known = quotes.get(tick["symbol"])
        quotes[tick["symbol"]] = {"last": tick["price"], "count": known["count"] + 1 if known else 1}
        progress.add(1)


if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()
