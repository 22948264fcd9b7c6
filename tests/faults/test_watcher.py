"""The watcher and the recorder see what happens after the server has lost the end of a stream: a run that ended then has not stood still."""

from __future__ import annotations

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import Topology
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Part, Summary

from ..fleet.running import run
from .recorder import Recorder
from .watcher import Watcher

TOPOLOGY = Topology(partitions=1, store_bytes=1 << 30)


async def archive(connection: Connection, name: str) -> None:
    """The end of a run."""
    part = Part(name, 0, [], Summary("orders", "1", "digest", "completed", None, 1, 2))
    await connection.publisher.publish(subjects.history(name), messages.encode_all([part]))


def test_ends_are_seen_behind_a_history_that_went_back(fresh_url: str) -> None:
    async def test() -> None:
        async with await Connection.open(fresh_url, name="test") as connection:
            await ensure(connection, TOPOLOGY)
            told: list[str] = []
            async with Watcher(connection, 1, lambda name, _: told.append(name)) as watcher, Recorder(connection, 1) as recorder:
                await archive(connection, "before")
                await archive(connection, "lost")
                await watcher.until(lambda: "lost" in watcher.ends, "ends are seen")
                await recorder.ended("before", "lost")
                history = await connection.streams.stream_info(subjects.HISTORY)
                assert history is not None
                await connection.streams.delete_stream(subjects.HISTORY)
                await connection.streams.create_stream(history["config"])
                await archive(connection, "after")
                await watcher.until(lambda: "after" in watcher.ends, "the end after it is seen")
                await recorder.ended("after")
                assert told == ["before", "lost", "after"]

    run(test(), 60)
