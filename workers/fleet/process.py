"""The worker's process: connection, telemetry and signals around a worker, from its start to its end.

The first SIGTERM or SIGINT lets the worker finish what it has in work, the second one gives that back at once, a third one ends the
process on the spot.
"""

from __future__ import annotations

import asyncio
import os
import signal

import structlog

from ...broker.client import Connection
from ...broker.fleet.membership import WORKER
from ...broker.observe import logs, otel
from ...broker.observe.health import connected, pulling
from ...broker.observe.observed import Observed
from ..hidden import hidden
from ..registry import Registry
from .reload import SourceWatch
from .settings import WorkerSettings
from .worker import Worker

log = structlog.get_logger("jetfleet.worker")


async def work(settings: WorkerSettings, registry: Registry, watch: Observed, stop_s: float, sources: SourceWatch | None) -> bool:
    """Work until a signal, or until `sources` change: then True. `stop_s`: how long what is in work may take to its end.

    Raises BrokerError, LedgerError, CannotServeMetrics.
    """
    signals = _Signals()
    telemetry = otel.set_up(WORKER)
    try:
        async with await Connection.open(settings.url, name="jetfleet-worker", credentials=settings.credentials) as connection:
            worker = Worker(connection, settings, registry, tracing=telemetry.tracing)
            logs.name_process(WORKER, worker.id)
            conditions = {"nats": connected(connection), "tasks": pulling(lambda: worker.pulling)}
            counters = [worker.counters, worker.plane.counters, worker.arena_gauges]
            with hidden(worker.executor.services.secrets.redact):
                async with watch.serving(WORKER, counters, conditions):
                    await worker.start()
                    log.info("worker is up", queues=list(settings.queues), slots=settings.concurrency, slot=worker.ledger.slot)
                    changed = await _first(signals.first, sources)
                    await worker.quiet()
                    log.info("worker takes no more tasks", in_work=len(worker.processor.units), reload=changed)
                    await _idle_within(stop_s, worker, signals.second)
                    await worker.stop(0)
    finally:
        await telemetry.close()
    return changed


class _Signals:
    """`first` and `second` are set by the first and second signal."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        if not self.first.is_set():
            self.first.set()
        elif not self.second.is_set():
            self.second.set()
        else:
            os._exit(128 + number)


async def _first(signalled: asyncio.Event, sources: SourceWatch | None) -> bool:
    """Wait for a signal or a change of the sources; whether it was a change."""
    if sources is None:
        await signalled.wait()
        return False
    came, changed = asyncio.create_task(signalled.wait()), asyncio.create_task(sources.changed())
    await _one_of(came, changed)
    return not came.done() or came.cancelled()


async def _idle_within(seconds: float, worker: Worker, hurry: asyncio.Event) -> None:
    """Wait for the worker to be idle, until time is up or somebody is in a hurry."""
    await _one_of(asyncio.create_task(worker.idle()), asyncio.create_task(hurry.wait()), timeout_s=seconds)


async def _one_of(*tasks: asyncio.Task[object], timeout_s: float | None = None) -> None:
    """Wait for the first of the tasks, and cancel the others."""
    _, pending = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
