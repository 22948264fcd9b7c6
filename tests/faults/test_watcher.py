"""The watcher and the recorder see what happens after the server has lost the end of a stream: a run that ended then has not stood still."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import Topology
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.records import SignalReceived

from ..client.servers import Server
from ..fleet.running import run
from . import recorder as recording
from .invariants.log_order import the_log_only_grows
from .ledger import Ledger
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    one.start()
    yield one
    one.kill()


async def record(connection: Connection, name: str) -> None:
    signal = SignalReceived("orders-1", 1, name)
    await connection.publisher.publish(subjects.wal(0), messages.encode_all([signal]))


@pytest.mark.parametrize(("shown_ns", "complaints"), [(60_000_000_000, 0), (-1, 1)], ids=["it was only shown", "it was there for long"])
def test_a_wal_that_lost_its_last_message_has_gone_back_unless_that_had_only_been_shown(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown_ns: int, complaints: int
) -> None:
    monkeypatch.setattr(recording, "SHOWN_NS", shown_ns)

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, TOPOLOGY)
            await record(connection, "kept")
            server.kill()
            shutil.copytree(server.store, tmp_path / "before")
            server.start()
            async with Recorder(connection, 1) as recorder:
                await record(connection, "lost")
                await recorder.until(lambda: len(recorder.entries) == 2, "both are read")
                server.kill()
                shutil.rmtree(server.store)
                shutil.copytree(tmp_path / "before", server.store)
                server.start()
                await record(connection, "after")
                await recorder.until(lambda: [entry.record.name for entry in recorder.entries][-1] == "after", "what came after it is read")
                found = the_log_only_grows(await recorder.evidence(Ledger()))
                assert isinstance(found, list) and bool(found) == bool(complaints)

    run(test(), 60)
