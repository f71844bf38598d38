"""Quix Streams with state in RocksDB: the last price and the count of each symbol, which is the messages' key."""

from __future__ import annotations

from typing import Any

from progress import Arguments, Progress
from quixstreams import Application  # type: ignore[import-not-found, unused-ignore]

arguments = Arguments.taken()
progress = Progress(arguments)


def follow(tick: Any, state: Any) -> Any:
    """As its documentation does it."""
    state.set("last", tick["price"])
    state.set("count", state.get("count", 0) + 1)
    progress.add(1)
    return tick


def main() -> None:
    """Run until it ends itself."""
    app = Application(
        broker_address=arguments.brokers,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        state_dir=arguments.directory,
        loglevel="ERROR",
    )
    app.dataframe(app.topic(arguments.topic, value_deserializer="json")).apply(follow, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
