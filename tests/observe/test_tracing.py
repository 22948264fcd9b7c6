"""Tracing with a real OpenTelemetry SDK that exports into memory: one trace from the publisher down to what node code traces."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from jetfleet.broker.observe import otel
from jetfleet.broker.observe.traceparent import parse, run_span
from jetfleet.broker.observe.tracing import OFF, Tracing
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.messages import Summary, Task
from jetfleet.schemas.payload import NULL
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import Completion, Error

from ..fleet.running import run

PUBLISHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLAN = compile_flow(
    Flow.model_validate(
        {
            "name": "orders",
            "nodes": {"charge": {"type": "shop.charge", "queue": "money"}, "pack": {"type": "shop.pack"}},
            "edges": [{"from": "charge", "to": "pack"}],
        }
    )
)
CHARGE, PACK = (next(node for node in PLAN.nodes if node.id == id) for id in ("charge", "pack"))


class Process:
    """A process of the fleet: a provider of its own, and what it exported."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(self.provider.get_tracer("jetfleet"))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def execute(self, run: str, node: Any, parent: str, error: Error | None = None, attempt: int = 1) -> None:
        task = Task(run, (node.index,), attempt, PLAN.digest, NULL, trace=parent)
        with self.tracing.attempt(task, PLAN, node) as span:
            span.ended(Completion(run, 0, task.activation, attempt, error=error))

    def end(self, run: str, parent: str, status: str = "completed", error: Error | None = None) -> None:
        self.tracing.run_ended(run, Summary("orders", "1.0", PLAN.digest, status, None, 1_000, 3_500, error=error, trace=parent))


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_publisher_run_and_attempts_are_one_trace_though_three_processes_wrote_it() -> None:
    coordinator, one, another = Process(), Process(), Process()
    one.execute("orders-1", CHARGE, PUBLISHER)
    another.execute("orders-1", PACK, PUBLISHER)
    coordinator.end("orders-1", PUBLISHER)
    (run,), (charge,), (pack,) = coordinator.spans, one.spans, another.spans
    publisher = parse(PUBLISHER)
    assert publisher is not None and {span.context.trace_id for span in (run, charge, pack)} == {publisher.trace_id}
    assert parent_of(run) == publisher.span_id
    assert parent_of(charge) == parent_of(pack) == run.context.span_id
    assert len({run.context.span_id, charge.context.span_id, pack.context.span_id}) == 3
    assert [span.name for span in (run, charge, pack)] == ["run orders", "node charge", "node pack"]


def test_a_run_that_nobody_traced_is_a_trace_of_its_own() -> None:
    coordinator, worker = Process(), Process()
    worker.execute("orders-1", CHARGE, "")
    worker.execute("orders-2", CHARGE, "")
    coordinator.end("orders-1", "")
    (run,), (first, second) = coordinator.spans, worker.spans
    assert run.parent is None
    assert (first.context.trace_id, parent_of(first)) == (run.context.trace_id, run.context.span_id)
    assert second.context.trace_id != run.context.trace_id


def test_a_runs_span_lasts_as_long_as_the_run() -> None:
    coordinator = Process()
    coordinator.end("orders-1", "")
    (run,) = coordinator.spans
    assert (run.start_time, run.end_time) == (1_000_000_000, 3_500_000_000)


def test_a_run_whose_end_is_carried_out_twice_has_one_span_id() -> None:
    first, successor = Process(), Process()
    first.end("orders-1", PUBLISHER)
    successor.end("orders-1", PUBLISHER)
    assert first.spans[0].context == successor.spans[0].context


def test_attempts_say_what_they_were() -> None:
    worker = Process()
    worker.execute("orders-1", CHARGE, PUBLISHER, Error("card_declined", "card 4111 1111 is empty"), attempt=2)
    (charge,) = worker.spans
    assert charge.kind is SpanKind.CONSUMER
    assert dict(charge.attributes or {}) == {
        "jetfleet.run": "orders-1", "jetfleet.flow": "orders", "jetfleet.node": "charge", "jetfleet.type": "shop.charge",
        "jetfleet.attempt": 2, "jetfleet.queue": "money", "jetfleet.outcome": "failed", "error.type": "card_declined",
    }  # fmt: skip
    assert (charge.status.status_code, charge.status.description) == (StatusCode.ERROR, "card_declined")


def test_messages_of_errors_do_not_leave_the_fleet() -> None:
    process = Process()
    secret = Error("card_declined", "the password is swordfish", details={"password": "swordfish"})
    process.execute("orders-1", CHARGE, "", secret)
    process.end("orders-1", "", "failed", secret)
    assert not [span for span in process.spans if "swordfish" in span.to_json()]
    assert all(span.status.status_code is StatusCode.ERROR for span in process.spans)


def test_runs_that_did_not_complete_are_errors() -> None:
    coordinator = Process()
    for status in ("completed", "failed", "cancelled", "killed"):
        coordinator.end(f"orders-{status}", "", status)
    assert [span.status.is_ok for span in coordinator.spans] == [True, False, False, False]
    assert [(span.attributes or {})["jetfleet.outcome"] for span in coordinator.spans] == ["completed", "failed", "cancelled", "killed"]


def test_an_attempt_that_is_called_off_ends_its_span() -> None:
    worker = Process()

    async def endless() -> None:
        with worker.tracing.attempt(Task("orders-1", (0,), 1, PLAN.digest, NULL), PLAN, CHARGE):
            await asyncio.Event().wait()

    async def test() -> None:
        task = asyncio.create_task(endless())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(test())
    (span,) = worker.spans
    assert (span.attributes or {})["jetfleet.outcome"] == "cancelled"
    assert span.status.is_ok and not span.events


def test_what_node_code_traces_is_below_its_attempt() -> None:
    worker = Process()
    own = worker.provider.get_tracer("shop")
    with worker.tracing.attempt(Task("orders-1", (0,), 1, PLAN.digest, NULL), PLAN, CHARGE), own.start_as_current_span("ask the bank"):
        pass
    bank, charge = worker.spans
    assert (bank.name, parent_of(bank)) == ("ask the bank", charge.context.span_id)


def test_ids_of_other_spans_stay_random() -> None:
    coordinator = Process()
    coordinator.end("orders-1", "")
    for _ in range(3):
        coordinator.provider.get_tracer("jetfleet").start_span("other").end()
    run, *others = coordinator.spans
    assert len({span.context.span_id for span in (run, *others)}) == len({span.context.trace_id for span in (run, *others)}) == 4


def test_what_the_publisher_does_not_sample_is_not_sampled() -> None:
    process = Process()
    process.execute("orders-1", CHARGE, PUBLISHER[:-1] + "0")
    process.end("orders-1", PUBLISHER[:-1] + "0")
    assert process.spans == []


def test_a_sampler_that_takes_some_runs_takes_whole_runs() -> None:
    coordinator, worker = (Process(ParentBased(TraceIdRatioBased(0.5))) for _ in range(2))
    runs = [f"orders-{number}" for number in range(100)]
    for id in runs:
        worker.execute(id, CHARGE, "")
        coordinator.end(id, "")
    sampled = [{(span.attributes or {})["jetfleet.run"] for span in process.spans} for process in (coordinator, worker)]
    assert sampled[0] == sampled[1]
    assert 0 < len(sampled[0]) < len(runs)


def test_a_sub_flow_goes_on_with_the_trace_of_its_parent() -> None:
    coordinator = Process()
    inherited = coordinator.tracing.child_trace("orders-1", PUBLISHER, "orders")
    coordinator.end("orders-1", PUBLISHER)
    coordinator.end("orders-1.0", inherited)
    parent, child = coordinator.spans
    assert (child.context.trace_id, parent_of(child)) == (parent.context.trace_id, parent.context.span_id)
    unsampled = Process(ALWAYS_OFF).tracing.child_trace("orders-1", "", "orders")
    assert parse(unsampled) == run_span("orders-1", "", sampled=False)


# --- on and off


@pytest.fixture
def no_global_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has just begun."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())
    yield


OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.usefixtures("no_global_provider")
@pytest.mark.parametrize("environ", [{}, OTLP | {"OTEL_SDK_DISABLED": "true"}, OTLP | {"OTEL_TRACES_EXPORTER": "none"}])
def test_nothing_is_traced_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    with capture_logs() as lines:
        assert otel.set_up("worker", environ).tracing is OFF
    assert lines == []


def test_off_means_that_there_is_no_tracer_to_make_spans_with() -> None:
    assert not OFF.on
    with pytest.raises(AttributeError):
        OFF.run_ended("orders-1", Summary("orders", "1.0", "", "completed", None, 0, 0))


@pytest.mark.usefixtures("no_global_provider")
def test_a_provider_that_is_set_up_already_is_used() -> None:
    process = Process()
    trace.set_tracer_provider(process.provider)
    telemetry = otel.set_up("worker", {})
    assert telemetry.tracing.on
    telemetry.tracing.run_ended("orders-1", Summary("orders", "1.0", "", "completed", None, 0, 1))
    asyncio.run(telemetry.close())
    trace.get_tracer("shop").start_span("still works").end()
    assert [span.name for span in process.spans] == ["run orders", "still works"]


@pytest.mark.usefixtures("no_global_provider")
@pytest.mark.parametrize(
    ("protocol", "module", "remedy"),
    [
        ("http/protobuf", "opentelemetry.exporter.otlp.proto.http.trace_exporter", "pip install 'jetfleet[otel]'"),
        ("grpc", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "pip install opentelemetry-exporter-otlp-proto-grpc"),
    ],
)
def test_a_missing_exporter_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, protocol: str, module: str, remedy: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with capture_logs() as lines:
        assert not otel.set_up("worker", OTLP | {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}).tracing.on
    assert [(line["log_level"], line["next"]) for line in lines] == [("warning", remedy)]


def test_the_end_of_a_process_does_not_wait_for_a_collector_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "FLUSH_S", 0.01)
    asked, answers = threading.Event(), threading.Event()

    class Silent(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            asked.set()
            answers.wait()
            return super().export(spans)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Silent()))
    telemetry = otel.Telemetry(Tracing(provider.get_tracer("jetfleet")), provider)
    telemetry.tracing.run_ended("orders-1", Summary("orders", "1.0", "", "completed", None, 0, 1))
    run(telemetry.close())
    assert asked.wait(30)
    answers.set()


@pytest.mark.usefixtures("no_global_provider")
def test_an_unknown_protocol_is_named() -> None:
    with capture_logs() as lines:
        assert not otel.set_up("worker", OTLP | {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}).tracing.on
    assert "carrier-pigeon" in lines[0]["reason"]


@pytest.mark.usefixtures("no_global_provider")
def test_a_provider_whose_ids_cannot_be_chosen_is_refused() -> None:
    class Foreign(trace.TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
            return trace.NoOpTracer()

    trace.set_tracer_provider(Foreign())
    with capture_logs() as lines:
        assert not otel.set_up("worker", {}).tracing.on
    assert lines[0]["event"] == "nothing is traced"
