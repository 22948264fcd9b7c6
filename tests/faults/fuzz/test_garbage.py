"""A fleet that is fed garbage on every subject that anybody may publish to: good runs before, in between and after all end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from jetfleet.broker.read_model.reader import Reader

from ...fleet.fleets import NODES, Fleet, chain, fleet
from ...fleet.running import run
from ...triggers.queue.places import listening, there
from .garbage import garbage

MESSAGES = 1_100
PARTITIONS = 2
RUNS = 5
OURS = ("defect", "handler_failed", "engine failed", "partition lost")
"""Words of a log entry that says: nobody has thought of this."""


async def good(one: Fleet, part: str) -> None:
    """Some runs of a flow, by each way in, and their ends."""
    sent = [await one.client.send("good", {"n": n}, id=f"{part}-{n}") for n in range(RUNS)]
    await one.client.queue("letters").send({"n": 1}, id=part)
    for id in sent:
        await one.log.ended(id)


def surprises(logs: Iterable[Mapping[str, Any]]) -> set[str]:
    """What was logged that nobody has thought of, each once."""
    found = [entry for entry in logs if any(word in entry["event"] for word in OURS) and entry.get("reason") != "released"]
    return {f"{entry['event']}: {entry.get('exc_info')!r} {entry.get('subject', '')} {entry.get('reason', '')}" for entry in found}


def test_garbage_on_every_subject_harms_nothing_but_itself(fresh_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS, coordinators=2) as one:
            await one.deploy(chain("good"), listening("reader", {"name": "letters"}), listening("hears", {"subjects": ["shop.>"]}))
            await one.shared()
            connection = one.client.connection
            await there(connection, "QUEUE_letters")
            reader = Reader(connection, PARTITIONS, tmp_path / "reader")
            await reader.start()
            await good(one, "before")
            digest = (await one.client.deploy(chain("good"), nodes=[NODES])).digest
            for number, message in enumerate(garbage(MESSAGES, seed=1, digest=digest)):
                connection.try_write(message)
                if number % 100 == 0:
                    await good(one, f"between-{number}")
            await good(one, "after")
            await one.quiet()
            await reader.caught_up()
            await reader.stop()
            assert not any(each.failed.done() for each in one.coordinators)
            for each in list(one.coordinators):  # what was taken in stands in snapshots then, which are read again
                await one.leave(each)
            await one.coordinator()
            await good(one, "after all")

    with capture_logs() as logs:
        run(test(), 60)
    assert surprises(logs) == set()
    assert not caplog.records, "asyncio found a task that ended by an error of which nobody has heard"
