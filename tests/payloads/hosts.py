"""Hosts for tests: worker processes, each with an arena in a folder of its own, so that they are to one another what hosts are.

    async with fleet(url, folder, workers=0) as one:
        with host(url, folder / "a", "a") as a, host(url, folder / "b", "b"):
            await one.client.deploy(produced_and_summed(), nodes=[BULK])

Two workers of one host: give the second `arena=folder / "a" / "arena"`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.engine import Blocked
from jetfleet.broker.study.words import in_words
from jetfleet.schemas.messages import Summary
from jetfleet.schemas.payload import decode, refs_in
from jetfleet.schemas.records import Completion
from jetfleet.schemas.ref import Ref

from ..fleet.fleets import Fleet, flow
from ..fleet.worker_processes import WorkerProcess
from .bulk_nodes import bulk, checksum

BULK = str(Path(__file__).with_name("bulk_nodes.py"))
MIB = 1 << 20
HURRIED = {"jetfleet.workers.fleet.arena_keeping.ROUND_S": 0.2}
"""Keepers look five times as often as in life: tests wait for what they free."""


@contextmanager
def host(
    url: str,
    folder: Path,
    *queues: str,
    arena: Path | None = None,
    options: Mapping[str, Any] | None = None,
    constants: Mapping[str, float] | None = None,
) -> Iterator[WorkerProcess]:
    """A worker that takes from these queues, and keeps all it has under `folder`. `options`: further ones of the command."""
    words = [word for queue in queues for word in ("--queue", queue)]
    words += [word for name, value in (options or {}).items() for word in (f"--{name}", str(value))]
    started = WorkerProcess(
        url, folder, "--arena", str(arena or folder / "arena"), *words, nodes=BULK, constants=HURRIED | dict(constants or {})
    )
    try:
        yield started
    finally:
        started.kill_if_alive()


def produced_and_summed(name: str = "bulk", make: str = "bulk.make", end: str = "bulk.sum", **blocks: Any) -> dict[str, Any]:
    """`make` on queue a, then `sum` on queue b."""
    return flow(name, {"make": {"type": make, "queue": "a"}, "sum": {"type": end, "queue": "b"}}, **blocks)


async def deploy(one: Fleet, *flows: Mapping[str, Any]) -> None:
    for each in flows:
        await one.client.deploy(each, nodes=[BULK])


async def start(
    one: Fleet, flow: str = "bulk", *, length: int = 16 * MIB, kind: str = "float64", key: str | None = None, **more: Any
) -> str:
    """Send an event whose producer makes so many bytes; the id of the run."""
    event = {"bytes": length, "kind": kind, "log": str(one.folder / "log"), **more}
    return await one.client.send(flow, event, id=key)


def completions(one: Fleet, run: str, place: int) -> list[Completion]:
    """What the log says of the node at that place of the flow."""
    return [record for record in one.log.of(run, Completion) if record.activation == (place,)]


async def made(one: Fleet, run: str) -> Ref:
    """Wait until the producer's completion is on disk; the first ref to what it made."""
    await one.log.until(lambda: bool(completions(one, run, 0)), "the producer's completion", 30)
    return refs_in(completions(one, run, 0)[0].output)[0]


async def why(one: Fleet, id: str, wanted: str) -> str:
    """Wait until the run's owner says that it does not move for this reason; in the words of the commands."""
    async with asyncio.timeout(14):
        while True:
            view = await one.client.look(id)
            for node, reason, detail, due in view.blocked if view is not None else ():
                if reason == wanted:
                    return in_words(Blocked(node, reason, detail, due), 0)
            await asyncio.sleep(0.05)


def executions(one: Fleet, word: str, run: str | None = None) -> int:
    """How often nodes of that word were executed: "made", "summed"."""
    log = one.folder / "log"
    lines = [line.split(" ") for line in log.read_text().splitlines()] if log.exists() else []
    return sum(line[0] == word and run in (None, line[1]) for line in lines)


def is_right(summary: Summary, length: int, kind: str = "float64", seed: int = 0) -> bool:
    """Whether the run completed, and its consumer saw what its producer made."""
    if summary.status != "completed":
        raise AssertionError(f"the run {summary.status}: {summary.error}")
    return bool(decode(summary.output)["sum"] == checksum(bulk(kind, length, seed)))


def segments(arena: Path) -> list[Path]:
    """Files of the arena that hold values, or may be used again for some."""
    return sorted(path for path in arena.iterdir() if path.suffix in (".seg", ".free", ".new")) if arena.exists() else []


def segment_of(arena: Path, ref: Ref) -> Path:
    return arena / f"{ref.segment}.seg"


def patched(path: Path, offset: int, change: Callable[[int], int]) -> None:
    """Change one byte of a file in place, as a failing disk would."""
    fd = os.open(path, os.O_RDWR)
    try:
        (before,) = os.pread(fd, 1, offset)
        os.pwrite(fd, bytes([change(before) & 0xFF]), offset)
    finally:
        os.close(fd)
