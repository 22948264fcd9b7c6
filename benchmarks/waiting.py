"""Very many runs that wait: what one costs, how soon a new coordinator has them, how soon they go on, how late timers are among them.

Half of the runs wait for a timer that is a week away, half for a signal; a tenth on top for an event that is found by a field of it.
They come as runs come: events, sent by 1,000 senders, taken in by the fleet. What is measured begins when all of them rest in snapshots.

    bytes_per_run                 resident memory of the coordinator that started them, beyond that of before
    bytes_per_run_after_restart   the same of the one that found them in the snapshots
    snapshot_bytes_per_run        what the server keeps of each in SNAPSHOTS; `schedule_bytes_per_timer`: in TIMERS
    restart_s                     `kill -9`, a new process, until it owns every partition and answers for a run in each
    signal_10k_s                  10,000 signals: from the first one sent until the nodes behind all these waits are done
    event_ms                      one event that one of the runs waits for by a field: until the node behind its wait is done; median
    lateness_…                    50,000 delays due within 5 s: from due to stored, see lateness.py
    lateness_restart_…            the same with the coordinator killed in the middle: those due when the next one was ready
    failed                        the steps that did not end within their time; what they measure is missing
    overdue_s                     from when that one was ready until the last was stored that had come due meanwhile
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine
from typing import Any

from jetfleet.broker.coordinator.snapshots import Manifest
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.subjects import partition_of, run_id

from .fleet import Fleet, chain
from .lateness import Lateness, now_ms, shares
from .load import drive
from .loops import run_in_loop
from .observer import Observer
from .processes import BenchmarkFailed

RUNS, RUNS_FULL = 100_000, 1_000_000
SENDERS = 1_000
SIGNALS, DELAYS = 10_000, 50_000
EVENTS = 20
"""Events that are sent one after the other, each for one run."""
WINDOW_MS, LEAD_MS = 5_000, 8_000
"""Delays come due within so long, and first after so long: until then all of them have been set."""
WEEK_MS = 7 * 24 * 3_600 * 1_000
START_S_PER_RUN = 0.001
REST_S, RESTART_S, STEP_S = 300, 120, 120
POLL_S = 0.02
SIGNAL, EVENT = "go", "paid"
FLOWS = [
    chain("timers", "std::delay", "bench.inline", config={"n0": {"duration_ms": WEEK_MS}}),
    chain("signals", "std::wait", "bench.inline", config={"n0": {"signal": SIGNAL}}),
    chain("events", "std::wait", "bench.inline", config={"n0": {"event": EVENT, "correlate": {"order": "${trigger.payload.n}"}}}),
    chain("delays", "std::delay", "bench.inline", config={"n0": {"duration_ms": "${trigger.payload.ms}"}}),
]


def measure(scale: float, runs: int = 0, full: bool = False) -> dict[str, Any]:
    return run_in_loop(_measure(runs or (RUNS_FULL if full else int(RUNS * scale))))


async def _measure(count: int) -> dict[str, Any]:
    async with Fleet() as fleet:
        for flow in FLOWS:
            await fleet.deploy(flow)
        await _start(fleet, "delays", [{"ms": 0}] * 1_000)
        fresh = fleet.rss_mib()["coordinator-1"]
        figures: dict[str, Any] = {"waiting_runs": count + count // 10, "fsync": True}
        figures["starts_per_s"] = await fleet.watch_over(_begin(fleet, count), STEP_S + count * START_S_PER_RUN)
        figures["rested_s"] = await fleet.watch_over(_rest(fleet), REST_S)
        total = figures["waiting_runs"]
        figures["bytes_per_run"] = _per_run(fleet, "coordinator-1", fresh, total)
        figures["snapshot_bytes_per_run"] = round(await _stored(fleet, subjects.SNAPSHOTS) / total)
        figures["schedule_bytes_per_timer"] = round(await _stored(fleet, subjects.TIMERS) / (count // 2))
        figures["restart_s"] = await fleet.watch_over(_restart(fleet, count), RESTART_S)
        figures["bytes_per_run_after_restart"] = _per_run(fleet, "coordinator-2", fresh, total)
        signals = min(SIGNALS, count // 4)
        figures["signals"] = signals
        delays = min(DELAYS, count)
        figures |= {"delays": delays, "delays_within_ms": WINDOW_MS, "failed": []}
        for step in (_signal(fleet, signals), _events(fleet), _lateness(fleet, delays), _lateness_restart(fleet, delays)):
            await _add(fleet, figures, step)
        figures["rss_mib"] = fleet.rss_mib()
        return figures


async def _add(fleet: Fleet, figures: dict[str, Any], step: Coroutine[Any, Any, dict[str, Any]]) -> None:
    """What a step found; or that it failed, since what was found before took minutes."""
    try:
        figures |= await fleet.watch_over(step, STEP_S)
    except BenchmarkFailed as error:
        figures["failed"].append(f"{step.__name__.strip('_')}: {str(error).splitlines()[0]}")


# --- runs that wait


async def _start(fleet: Fleet, flow: str, payloads: list[Any]) -> None:
    """Send an event for each, with its number as key."""

    async def one(number: int) -> None:
        await fleet.client.send(flow, payloads[number], id=str(number))

    await drive(one, len(payloads), SENDERS, 0)


async def _begin(fleet: Fleet, count: int) -> int:
    """Starts per second: until the coordinator holds all of them."""
    async with Observer(fleet.client) as observer:
        started = time.perf_counter()
        await _start(fleet, "timers", [None] * (count // 2))
        await _start(fleet, "signals", [None] * (count - count // 2))
        await _start(fleet, "events", [{"n": f"order-{number}"} for number in range(count // 10)])
        total = count + count // 10
        await observer.started(total)
        seconds = time.perf_counter() - started
        await observer.holds(fleet.coordinators[0].pid, total)
        return round(total / seconds)


async def _rest(fleet: Fleet) -> float:
    """Wait until every partition has a snapshot that says all; for how long that took."""
    started = time.monotonic()
    for partition in range(fleet.client.partitions):
        while await _behind(fleet, partition):
            await asyncio.sleep(POLL_S)
    return round(time.monotonic() - started, 1)


async def _behind(fleet: Fleet, partition: int) -> bool:
    streams = fleet.client.connection.streams
    info = await streams.stream_info(subjects.wal_stream(partition))
    stored = await streams.last(subjects.SNAPSHOTS, f"snapshot.{partition}.manifest")
    position = 0 if stored is None else messages.decode(Manifest, stored.data).position
    return info is not None and position < int(info["state"]["last_seq"])


async def _stored(fleet: Fleet, stream: str) -> int:
    info = await fleet.client.connection.streams.stream_info(stream)
    return 0 if info is None else int(info["state"]["bytes"])


def _per_run(fleet: Fleet, process: str, before_mib: float, count: int) -> int:
    return round((fleet.rss_mib()[process] - before_mib) * 2**20 / count)


# --- a restart


async def _restart(fleet: Fleet, count: int) -> float:
    fleet.kill(fleet.coordinators[0])
    started = time.monotonic()
    fleet.coordinators = [fleet.start_coordinator()]
    await _answers(fleet, count)
    return round(time.monotonic() - started, 2)


async def _answers(fleet: Fleet, count: int) -> None:
    """Wait until somebody answers for a waiting run of each partition."""
    by_partition = {partition_of(run := run_id("timers", str(number)), fleet.client.partitions): run for number in range(count // 2)}
    for run in by_partition.values():
        while await fleet.client.look(run) is None:
            await asyncio.sleep(POLL_S)


# --- going on


async def _signal(fleet: Fleet, count: int) -> dict[str, Any]:
    """Seconds until so many runs have gone on."""

    async def one(number: int) -> None:
        await fleet.client.signal(run_id("signals", str(number)), SIGNAL)

    async with Observer(fleet.client) as observer:
        started = time.perf_counter()
        await drive(one, count, SENDERS, 0)
        await observer.completions(count)
        return {"signal_10k_s": round(time.perf_counter() - started, 2)}


async def _events(fleet: Fleet) -> dict[str, Any]:
    """Median of the milliseconds that one event takes."""
    found = []
    async with Observer(fleet.client) as observer:
        for number in range(EVENTS):
            started = time.perf_counter()
            await fleet.client.event(EVENT, {"order": f"order-{number}"})
            await observer.on_disk((run_id("events", str(number)), "1"))
            found.append((time.perf_counter() - started) * 1e3)
    return {"event_ms": round(statistics.median(found), 2)}


# --- timers


async def _set_delays(fleet: Fleet, count: int, key: str) -> float:
    """Set so many, due one after the other within the window; when that begins."""
    due = now_ms() + LEAD_MS

    async def one(number: int) -> None:
        wait_ms = due + number * WINDOW_MS / count - now_ms()
        await fleet.client.send("delays", {"ms": max(0, round(wait_ms))}, id=f"{key}-{number}")

    await drive(one, count, SENDERS, 0)
    return due


async def _lateness(fleet: Fleet, count: int) -> dict[str, Any]:
    async with Lateness(fleet.client, "delays") as lateness:
        await _set_delays(fleet, count, "first")
        await lateness.all_set(count)
        await lateness.all_fired(count)
        return {**shares(lateness.due_from(0), "lateness"), "fired_early": lateness.early(), "fired_again": lateness.again}


async def _lateness_restart(fleet: Fleet, count: int) -> dict[str, Any]:
    async with Lateness(fleet.client, "delays") as lateness:
        due = await _set_delays(fleet, count, "second")
        await lateness.all_set(count)
        await lateness.all_fired(count // 5)
        await _restart(fleet, count)
        ready_at = now_ms()
        await lateness.all_fired(count)
        overdue = [firing.stored for firing in lateness.fired.values() if firing.due < ready_at]
        return {
            **shares(lateness.due_from(max(ready_at, due)), "lateness_restart"),
            "overdue_s": round(max(0.0, *overdue, ready_at) / 1e3 - ready_at / 1e3, 2),
            "fired_early_restart": lateness.early(),
            "fired_again_restart": lateness.again,
        }
