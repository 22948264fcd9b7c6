"""What a kill costs: `kill -9` of each kind of process amid 2,000 runs of three nodes, and a restart among very many waiting runs.

Victims: the worker; the only coordinator; the nats-server (which `jetfleet server` starts again); one coordinator of two, where the other
takes over (`takeover`); the same stopped for a while instead of killed, so that only its silence gives it away (`takeover_silent`); and one
server of a cluster of three, which comes back when the others do its work: the one that leads the most WALs (`cluster_leader`), and the one
that the coordinator is connected to (`cluster_connected`).

    lost               acknowledged events that are gone, and no run came of them
    stuck              acknowledged events whose run has not ended a minute after the strike, or not even begun
    reexecuted         executions that began when a completion of the same activation was already on disk
    duplicates         executions beyond the first per activation: what was in work when the worker was killed
    back_s             until the successor was there: said so, took the first partition over, listened, led all streams
    first_progress_s   until the first run ended after that, among those that the strike affects
    silence_s          the longest time without the end of such a run
    end_s              until the last run ended

Times count from the strike. What was executed is what the nodes themselves wrote into a file, what is on disk what the log says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from jetfleet.broker.api import NotEnded, RunHandle
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import BatchedEvent

from . import among_waiting, cluster, ledger
from .fleet import Fleet, chain
from .loops import run_in_loop
from .nodes import LEDGER
from .observer import Observer
from .processes import BenchmarkFailed, listening

RUNS, NODES = 2_000, 3
POLL_S = 0.005
DEADLINE_S = 60
"""A run that has not ended so long after the kill is stuck."""
WAITING, WAITING_HUGE = 100_000, 1_000_000
FLOW = chain("ledger", *["bench.ledger"] * NODES)


@dataclass(slots=True)
class Scene:
    """What a strike may touch. `affected`: the partitions that it stops; None: all."""

    fleet: Fleet
    observer: Observer
    affected: set[int] | None = None
    ends: dict[str, float] = field(default_factory=dict)


Strike: TypeAlias = Callable[[Scene], Awaitable[float]]
"""Kills somebody and waits for the successor; when that one was there, by the monotonic clock."""


def measure(scale: float, huge: bool = False) -> dict[str, Any]:
    return run_in_loop(_measure(scale, WAITING_HUGE if huge else int(WAITING * scale)))


async def _measure(scale: float, waiting_runs: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"runs": int(RUNS * scale), "fsync": True}
    for victim, (coordinators, strike) in VICTIMS.items():
        figures[victim] = await _disturb(int(RUNS * scale), strike, coordinators=coordinators)
    for victim, strike in CLUSTER_VICTIMS.items():
        figures[victim] = await _disturb(int(RUNS * scale), strike, clustered=True)
    figures["waiting"] = await among_waiting.measure(waiting_runs, scale)
    return figures


async def _disturb(runs: int, strike: Strike, *, coordinators: int = 1, clustered: bool = False) -> dict[str, Any]:
    """Strike when half of the nodes have been executed, and see what comes of it."""
    async with _scene(coordinators, clustered) as (scene, executions):
        handles = await asyncio.gather(*(scene.fleet.client.start("ledger", {"n": number}) for number in range(runs)))
        watching = [asyncio.ensure_future(_watch(scene, handle)) for handle in handles]
        await scene.fleet.watch_over(scene.observer.completions(runs * NODES // 2), DEADLINE_S)
        struck_at = time.monotonic()
        back_at = await scene.fleet.watch_over(strike(scene), DEADLINE_S)
        await asyncio.gather(*watching)
        await scene.observer.caught_up()
        return {
            **await _kept([handle.id for handle in handles], scene),
            "reexecuted": ledger.reexecuted(ledger.read(executions), scene.observer.durable_ns),
            "duplicates": ledger.duplicates(ledger.read(executions)),
            **_times(struck_at, back_at, scene),
        }


@asynccontextmanager
async def _scene(coordinators: int, clustered: bool) -> AsyncIterator[tuple[Scene, Path]]:
    """A fleet that has settled, with an observer and an empty ledger."""
    with tempfile.TemporaryDirectory(prefix="jetfleet-ledger-") as folder:
        executions = Path(folder) / "executions"
        async with Fleet(coordinators=coordinators, clustered=clustered, environment={LEDGER: str(executions)}) as fleet:
            await fleet.deploy(FLOW)
            await fleet.load("ledger", {"n": 0}, NODES, 200, 200)
            os.truncate(executions, 0)  # the worker has it open
            async with Observer(fleet.client) as observer:
                yield Scene(fleet, observer), executions


async def _watch(scene: Scene, handle: RunHandle) -> None:
    try:
        await handle.result(DEADLINE_S)
    except NotEnded:
        return
    scene.ends[handle.id] = time.monotonic()


async def _kept(acknowledged: list[str], scene: Scene) -> dict[str, int]:
    known = scene.observer.begun | scene.ends.keys() | await _events_left(scene)
    return {
        "acknowledged": len(acknowledged),
        "lost": sum(run not in known for run in acknowledged),
        "stuck": sum(run in known and run not in scene.ends for run in acknowledged),
    }


async def _events_left(scene: Scene) -> set[str]:
    """The runs that the events still in their stream would start."""
    stored = scene.fleet.client.connection.streams.read(subjects.EVENTS)
    return {
        subjects.run_id("ledger", messages.decode(BatchedEvent, entry).key)
        async for message in stored
        for entry in messages.split(message.data)
    }


def _times(struck_at: float, back_at: float, scene: Scene) -> dict[str, float]:
    partitions = scene.fleet.client.partitions
    ends = sorted(
        at for run, at in scene.ends.items() if scene.affected is None or subjects.partition_of(run, partitions) in scene.affected
    )
    after = [at for at in ends if at > struck_at]
    if not after:
        raise BenchmarkFailed("all runs had ended before the strike, or none ended after it")
    times = {
        "back_s": back_at - struck_at,
        "first_progress_s": min((at for at in after if at > back_at), default=after[-1]) - struck_at,
        "silence_s": max(later - earlier for earlier, later in pairwise([struck_at, *after])),
        "end_s": max(scene.ends.values()) - struck_at,
    }
    return {name: round(seconds, 2) for name, seconds in times.items()}


# --- strikes


async def _worker(scene: Scene) -> float:
    scene.fleet.kill(scene.fleet.workers[0])
    return await scene.observer.member(scene.fleet.start_worker().pid)


async def _coordinator(scene: Scene) -> float:
    scene.fleet.kill(scene.fleet.coordinators[0])
    return await scene.observer.member(scene.fleet.start_coordinator().pid)


async def _nats_server(scene: Scene) -> float:
    victim = scene.fleet.nats_server_pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    while scene.fleet.nats_server_pid in (None, victim):
        await asyncio.sleep(POLL_S)
    await listening(scene.fleet.port)
    return time.monotonic()


async def _takeover(scene: Scene) -> float:
    victim = scene.fleet.coordinators[0]
    scene.affected = scene.observer.owned_by(victim.pid)
    scene.fleet.kill(victim)
    return await scene.observer.lost(scene.affected, victim.pid)


async def _takeover_silent(scene: Scene) -> float:
    victim = scene.fleet.coordinators[0]
    scene.affected = scene.observer.owned_by(victim.pid)
    os.kill(victim.pid, signal.SIGSTOP)
    back_at = await scene.observer.lost(scene.affected, victim.pid)
    os.kill(victim.pid, signal.SIGCONT)  # the rest of the runs with somebody around who believes to be an owner
    return back_at


async def _cluster_leader(scene: Scene) -> float:
    return await _one_of_cluster(scene, await cluster.leads_most(scene.fleet.client.connection))


async def _cluster_connected(scene: Scene) -> float:
    return await _one_of_cluster(scene, await scene.fleet.cluster.serving("jetfleet-coordinator"))


async def _one_of_cluster(scene: Scene, victim: str) -> float:
    scene.fleet.cluster.kill(victim)
    back_at = await cluster.all_led(scene.fleet.client.connection, victim)
    await scene.fleet.cluster.restart(victim)
    return back_at


VICTIMS: dict[str, tuple[int, Strike]] = {
    "worker": (1, _worker),
    "coordinator": (1, _coordinator),
    "nats_server": (1, _nats_server),
    "takeover": (2, _takeover),
    "takeover_silent": (2, _takeover_silent),
}
"""By victim: how many coordinators there are, and what is done to it."""
CLUSTER_VICTIMS: dict[str, Strike] = {"cluster_leader": _cluster_leader, "cluster_connected": _cluster_connected}
