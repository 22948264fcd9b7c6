"""Metrics: what the counters count is what a scraper reads, under the names of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.observe.arena_gauges import ArenaGauges
from jetfleet.broker.observe.counters import DURATION_BOUNDS_US, CoordinatorCounters, ReaderCounters, TriggerCounters, WorkerCounters
from jetfleet.broker.observe.metrics import CATALOGUE, PROCESS, Exposed, Metric
from jetfleet.broker.payloads.plane import Plane
from jetfleet.broker.payloads.producer import Producer
from jetfleet.broker.triggers.serving import Serving
from jetfleet.schemas.flow.definition import Payloads

DOCS = Path(__file__).parents[2] / "docs"
Samples = dict[tuple[str, tuple[str, ...]], float]


def scraped(subject: object) -> Samples:
    """Sample name and label values (in the order of the labels' names) → value, as a scraper reads them."""
    registry = CollectorRegistry()
    registry.register(Exposed(subject))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def metrics() -> Iterator[Metric]:
    for each in (*CATALOGUE.values(), PROCESS):
        yield from each


def test_a_coordinator_tells_what_it_counted() -> None:
    counters = CoordinatorCounters()
    counters.events_taken += 5
    counters.run_ended("failed")
    counters.open_runs = lambda: {0: 3, 11: 4}
    counters.admission_closed = lambda: {("orders", "breaker"): 1}
    found = scraped(counters)
    assert found["jetfleet_events_taken_total", ()] == 5
    assert found["jetfleet_runs_ended_total", ("failed",)] == 1
    assert found["jetfleet_runs_ended_total", ("completed",)] == 0
    assert found["jetfleet_open_runs", ("11",)] == 4
    assert found["jetfleet_admission_closed", ("orders", "breaker")] == 1


def test_a_worker_tells_outcomes_and_durations_by_queue() -> None:
    counters = WorkerCounters()
    queue = counters.queue("money")
    for took_us in (50, 100, 101, 2_000_000, 700_000_000):
        queue.executed(took_us > 1_000_000, took_us)
    queue.called_off += 1
    assert counters.queue("money") is queue
    found = scraped(counters)
    outcomes = {labels: value for (name, labels), value in found.items() if name == "jetfleet_tasks_executed_total"}
    assert outcomes == {("completed", "money"): 3, ("failed", "money"): 2, ("cancelled", "money"): 1}
    buckets = {labels[0]: value for (name, labels), value in found.items() if name == "jetfleet_task_duration_seconds_bucket"}
    assert buckets == {"0.0001": 2, "0.001": 3, "0.01": 3, "0.1": 3, "1.0": 3, "10.0": 4, "60.0": 4, "600.0": 4, "+Inf": 5}
    assert found["jetfleet_task_duration_seconds_count", ("money",)] == 5
    assert found["jetfleet_task_duration_seconds_sum", ("money",)] == pytest.approx(702.000251)


def test_whoever_serves_triggers_tells_of_each_what_it_counted_and_how_it_is() -> None:
    served = [Serving("orders", "web", "webhook", "listening", fired=3, refused=1, in_flight=2), Serving("orders", "t", "kafka", "failing")]
    found = scraped(TriggerCounters(lambda: served))
    assert found["jetfleet_trigger_fired_total", ("orders", "web", "webhook")] == 3
    assert found["jetfleet_trigger_refused_total", ("orders", "web", "webhook")] == 1
    assert found["jetfleet_trigger_in_flight", ("orders", "web", "webhook")] == 2
    assert found["jetfleet_trigger_restarts_total", ("orders", "t", "kafka")] == 0
    assert found["jetfleet_trigger_state", ("orders", "failing", "t", "kafka")] == 1
    assert ("jetfleet_trigger_state", ("orders", "listening", "t", "kafka")) not in found


def test_a_worker_tells_what_became_of_the_bytes_of_large_values(tmp_path: Path) -> None:
    plane = Plane(ArenaSettings(tmp_path / "arena", max_bytes=64 << 20))
    before = scraped(ArenaGauges(plane))
    payload = plane.encode(b"x" * 200_000, Producer("orders-1"), Payloads())
    passed_on = plane.encode(plane.decode(payload, raw=True), Producer("orders-1"), Payloads())
    assert before == {}  # no arena was opened yet
    bytes_of = scraped(plane.counters)
    assert bytes_of["jetfleet_payload_written_bytes_total", ()] == 200_000 + (0 if passed_on == payload else 200_000)
    plane.decode(payload)
    bytes_of = scraped(plane.counters)
    assert bytes_of["jetfleet_payload_handed_out_bytes_total", ()] == 200_000, "`bytes` are a copy, the view before was none"
    arena = scraped(ArenaGauges(plane))
    assert arena["jetfleet_arena_limit_bytes", ()] == 64 << 20
    assert arena["jetfleet_arena_segments", ()] == len(list((tmp_path / "arena").glob("*.seg")))
    assert arena["jetfleet_arena_used_bytes", ()] == sum(file.stat().st_size for file in (tmp_path / "arena").glob("*.seg"))
    plane.close()


def test_a_gauge_that_nobody_answers_has_no_value() -> None:
    counters = ReaderCounters()
    assert scraped(counters) == {}
    counters.lag_s = lambda: 0.0
    assert scraped(counters) == {("jetfleet_reader_lag_seconds", ()): 0.0}


def test_a_gauge_that_fails_takes_no_other_with_it() -> None:
    counters = WorkerCounters()

    def broken() -> float:
        raise RuntimeError("not there yet")

    counters.slots = broken
    counters.redeliveries = 2
    with capture_logs() as lines:
        found = scraped(counters)
    assert found["jetfleet_redeliveries_total", ()] == 2
    assert ("jetfleet_slots", ()) not in found
    assert [line["metric"] for line in lines] == ["jetfleet_slots"]


def test_names_of_flows_cannot_break_the_page() -> None:
    counters = CoordinatorCounters()
    counters.events_held = lambda: {'a"b\\c\nd': 1}
    assert scraped(counters)["jetfleet_events_held", ('a"b\\c\nd',)] == 1


def test_names_follow_the_conventions_and_are_said_once() -> None:
    names = [metric.name for metric in metrics()]
    assert len(names) == len(set(names))
    for metric in metrics():
        assert re.fullmatch(r"jetfleet_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert metric.help.endswith(".") and not {"le", "quantile"} & set(metric.labels)


def test_the_bounds_of_durations_rise() -> None:
    assert list(DURATION_BOUNDS_US) == sorted(set(DURATION_BOUNDS_US))


def test_the_page_about_operations_has_every_metric() -> None:
    row = re.compile(r"^\| `(jetfleet_\w+)`(?:\{(.*?)\})? \| (\w+) \|", re.MULTILINE)
    listed = [(name, labels or "", kind) for name, labels, kind in row.findall((DOCS / "operations.md").read_text())]
    assert sorted(listed) == sorted((metric.name, ", ".join(metric.labels), metric.kind) for metric in metrics())
