"""The catalogue of metrics: the name, kind and labels of each, and where its value comes from. docs/operations.md has the same table.

Values are read at a scrape and never kept. A gauge that fails is left out of that scrape, with a line in the log: the others are still
wanted, most of all when something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from ..payloads.counters import PlaneCounters
from .arena_gauges import ArenaGauges
from .backlog import Backlog, Waiting
from .counters import (
    CALLED_OFF,
    COMPLETED,
    DURATION_BOUNDS_US,
    FAILED,
    CoordinatorCounters,
    Durations,
    ReaderCounters,
    TriggerCounters,
    WorkerCounters,
)

PREFIX = "jetfleet_"
US = 1_000_000
Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Values: TypeAlias = float | Mapping[Any, float | Durations] | None
"""One value, or one by label: a text or number for one label, a tuple for more."""

log = structlog.get_logger("jetfleet.observe")


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` as Prometheus shows it, `_total` included. `read` gets the object that the metric is about."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Any], Values]
    labels: tuple[str, ...] = ()


def _counter(name: str, help: str, read: Callable[[Any], Values], *labels: str) -> Metric:
    return Metric(f"{PREFIX}{name}_total", "counter", help, read, labels)


def _gauge(name: str, help: str, read: Callable[[Any], Values], *labels: str) -> Metric:
    return Metric(PREFIX + name, "gauge", help, read, labels)


COORDINATOR = (
    _counter("events_taken", "Events taken in.", lambda it: it.events_taken),
    _counter("runs_started", "Runs whose start was taken in.", lambda it: it.runs_started),
    _counter("runs_ended", "Runs that ended.", lambda it: it.runs_ended, "status"),
    _counter("records_folded", "Records taken in from the WAL.", lambda it: it.records_folded),
    _counter("records_ignored", "Records that changed nothing: repetitions, or of runs that have ended.", lambda it: it.records_ignored),
    _counter("tasks_emitted", "Tasks given out, repetitions included.", lambda it: it.tasks_emitted),
    _counter("timers_set", "Timers set.", lambda it: it.timers_set),
    _counter("timers_fired", "Timers fired by this process.", lambda it: it.timers_fired),
    _counter("dead_letters", "Events and records put with the dead letters.", lambda it: it.dead_letters),
    _gauge("open_runs", "Runs that are open.", lambda it: it.open_runs(), "partition"),
    _gauge("snapshot_age_seconds", "Since the partition's last snapshot.", lambda it: it.snapshot_age_s(), "partition"),
    _gauge("events_held", "Events in memory that wait for room.", lambda it: it.events_held(), "flow"),
    _gauge("events_collected", "Events that are gathered here and in no run yet.", lambda it: it.events_collected(), "flow"),
    _gauge("admission_closed", "1 while no run of the flow may start.", lambda it: it.admission_closed(), "flow", "reason"),
    _gauge("slots_held", "Slots held at limits that live here.", lambda it: it.slots_held(), "limit"),
    _gauge("slots_waiting", "Runs and attempts that wait at limits that live here.", lambda it: it.slots_waiting(), "limit"),
    _gauge("effects_unacknowledged", "Entries published and not acknowledged yet.", lambda it: it.effects_unacknowledged()),
)

WORKER = (
    _counter("tasks_executed", "Attempts that ended here.", lambda it: _executed(it), "queue", "outcome"),
    Metric(f"{PREFIX}task_duration_seconds", "histogram", "How long attempts took.", lambda it: _durations(it), ("queue",)),
    _counter("redeliveries", "Messages of tasks that had been delivered before.", lambda it: it.redeliveries),
    _counter("tasks_given_back", "Tasks given back for somebody else to execute.", lambda it: it.given_back),
    _gauge("tasks_in_flight", "Attempts in work or waiting for a slot.", lambda it: it.tasks_in_flight()),
    _gauge("slots", "Attempts that may execute at once.", lambda it: it.slots()),
    _gauge("completions_unacknowledged", "Completions that are not on disk yet.", lambda it: it.completions_unacknowledged()),
)

PAYLOADS = (
    _counter("payload_written_bytes", "Bytes of values written into the arena.", lambda it: it.written),
    _counter(
        "payload_handed_out_bytes", "Bytes of values handed to nodes as views of the arena, without a copy.", lambda it: it.handed_out
    ),
    _counter(
        "payload_passed_on_bytes", "Bytes of values that nodes returned as they had got them; not written again.", lambda it: it.passed_on
    ),
    _counter("payload_uploaded_bytes", "Bytes sent to the object store.", lambda it: it.uploaded),
    _counter("payload_downloaded_bytes", "Bytes got from the object store.", lambda it: it.downloaded),
)

ARENA = (
    _counter("arena_waits", "Times that a value waited for room in the arena.", lambda it: it.waits()),
    _gauge("arena_used_bytes", "Size of all segments in the arena of this host.", lambda it: it.used_bytes()),
    _gauge("arena_limit_bytes", "What they may come to.", lambda it: it.limit_bytes()),
    _gauge("arena_segments", "How many there are.", lambda it: it.segments()),
)
"""Of the host as a whole, so all its workers say the same but for the waits: take the maximum, not the sum."""

TRIGGER = (
    _counter("trigger_fired", "Firings of a trigger.", lambda it: _by_trigger(it, "fired"), "flow", "trigger", "type"),
    _counter("trigger_refused", "Firings that some flow refused.", lambda it: _by_trigger(it, "refused"), "flow", "trigger", "type"),
    _counter("trigger_restarts", "Times that its source failed.", lambda it: _by_trigger(it, "restarts"), "flow", "trigger", "type"),
    _gauge("trigger_in_flight", "Firings not on disk yet.", lambda it: _by_trigger(it, "in_flight"), "flow", "trigger", "type"),
    _gauge("trigger_state", "1 for the state that it is in.", lambda it: _states(it), "flow", "trigger", "type", "state"),
)

READER = (
    _counter("reader_messages", "Messages taken into the read model.", lambda it: it.messages()),
    _counter("reader_rows", "Rows written.", lambda it: it.rows()),
    _counter("reader_refused", "Entries that could not be read.", lambda it: it.refused()),
    _gauge("reader_position", "Last sequence that is in the read model.", lambda it: it.positions(), "stream"),
    _gauge("reader_backlog", "Messages received and not written yet.", lambda it: it.backlog()),
    _gauge("reader_lag_seconds", "Since the read model last had everything.", lambda it: it.lag_s()),
)

BACKLOG = (
    _gauge("events_waiting", "Events that no coordinator has taken yet.", lambda it: _column(it.flows, "count"), "flow"),
    _gauge("oldest_event_age_seconds", "Age of the first of them.", lambda it: _column(it.flows, "oldest_s"), "flow"),
    _gauge("tasks_waiting", "Tasks messages that no worker has taken yet.", lambda it: _column(it.queues, "count"), "queue"),
    _gauge("oldest_task_age_seconds", "Age of the first of them.", lambda it: _column(it.queues, "oldest_s"), "queue"),
    _gauge(
        "tasks_unacknowledged", "Tasks messages that workers have and have not finished.", lambda it: _column(it.queues, "taken"), "queue"
    ),
    _gauge("stream_bytes", "What a stream holds.", lambda it: {name: use.bytes for name, use in it.streams.items()}, "stream"),
    _gauge("stream_limit_bytes", "What it may hold, if it has a limit.", lambda it: _limits(it), "stream"),
)
"""Of the broker as a whole, so every coordinator says the same: take the maximum, not the sum."""

PROCESS = (
    _gauge("build_info", "1, with what this process is.", lambda it: {(it.role, it.version): 1}, "role", "version"),
    _gauge("ready", "1 while /readyz says so.", lambda it: float(not it.readiness.reasons())),
    _gauge("loop_lag_seconds", "Longest delay of the event loop in the last seconds.", lambda it: it.pulse.lag_s),
)

CATALOGUE: dict[type, tuple[Metric, ...]] = {
    CoordinatorCounters: COORDINATOR,
    WorkerCounters: WORKER,
    PlaneCounters: PAYLOADS,
    ArenaGauges: ARENA,
    TriggerCounters: TRIGGER,
    ReaderCounters: READER,
    Backlog: BACKLOG,
}


class Exposed(Collector):
    """The metrics of one object, for a prometheus_client registry."""

    def __init__(self, subject: object, metrics: Iterable[Metric] | None = None) -> None:
        """Raises KeyError for an object that the catalogue does not know, unless its `metrics` are given."""
        self._subject = subject
        self._metrics = tuple(CATALOGUE[type(subject)] if metrics is None else metrics)

    def collect(self) -> Iterator[Family]:
        for metric in self._metrics:
            try:
                yield _family(metric, metric.read(self._subject))
            except Exception:
                log.exception("a metric cannot be read", metric=metric.name)


def _family(metric: Metric, values: Values) -> Family:
    kinds: dict[str, type[Family]] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    family: Any = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
    if values is None:
        return family  # type: ignore[no-any-return]
    for key, value in (values if isinstance(values, Mapping) else {(): values}).items():
        labels = [str(part) for part in (key if isinstance(key, tuple) else (key,))]
        if isinstance(value, Durations):
            family.add_metric(labels, _buckets(value), value.sum_us / US)
        else:
            family.add_metric(labels, value)
    return family  # type: ignore[no-any-return]


def _buckets(durations: Durations) -> list[tuple[str, int]]:
    """As Prometheus wants them: each counts what the ones below it count."""
    buckets, total = [], 0
    for bound, count in zip((*(str(us / US) for us in DURATION_BOUNDS_US), "+Inf"), durations.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def _executed(counters: WorkerCounters) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for name, queue in counters.queues.items():
        found |= {(name, COMPLETED): queue.completed, (name, FAILED): queue.failed, (name, CALLED_OFF): queue.called_off}
    return found


def _durations(counters: WorkerCounters) -> dict[str, float | Durations]:
    return {name: queue.durations for name, queue in counters.queues.items()}


def _by_trigger(counters: TriggerCounters, name: str) -> dict[tuple[str, str, str], float]:
    return {(each.flow, each.trigger, each.type): getattr(each, name) for each in counters.served()}


def _states(counters: TriggerCounters) -> dict[tuple[str, str, str, str], float]:
    return {(each.flow, each.trigger, each.type, each.state): 1.0 for each in counters.served()}


def _limits(backlog: Backlog) -> dict[str, float]:
    return {name: use.limit_bytes for name, use in backlog.streams.items() if use.limit_bytes > 0}


def _column(waiting: Mapping[str, Waiting], name: str) -> dict[str, float]:
    values = {key: getattr(each, name) for key, each in waiting.items()}
    return {key: value for key, value in values.items() if value is not None}
