"""Tracing: spans of runs and of attempts, where OpenTelemetry is set up; where it is not, one look at `on`.

    run <flow>   written by the coordinator when the run has ended, with the times of the run
    node <id>    written by the worker around each attempt, below the run's span; spans that node code makes are below that

Attributes hold names and numbers, never payloads or messages of errors: a trace goes to another system, and secrets may be in both.

    if tracing.on:
        with tracing.attempt(task, plan, node) as span:
            span.ended(await execute(plan, node, task))

An attempt that is executed twice after a crash has two spans. A run whose end is carried out twice has its span twice, with the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ...schemas.messages import Summary, Task
from ...schemas.plan.plan import Plan, PlanNode
from ...schemas.records import Completion
from ...schemas.subjects import QUEUE_DEFAULT
from .counters import CALLED_OFF, COMPLETED, FAILED
from .traceparent import TraceParent, parse, run_span

MS_NS = 1_000_000
_next_ids: ContextVar[TraceParent | None] = ContextVar("jetfleet_next_ids", default=None)


class DerivedIds:
    """An SDK's id generator that gives out ids that were derived while there are some, and else what the original one gives out.

    The API has no way to say which id a span is to have; the SDK asks its generator once per span.
    """

    def __init__(self, original: Any) -> None:
        self.original = original

    def generate_span_id(self) -> int:
        ids = _next_ids.get()
        return int(self.original.generate_span_id()) if ids is None else ids.span_id

    def generate_trace_id(self) -> int:
        ids = _next_ids.get()
        return int(self.original.generate_trace_id()) if ids is None else ids.trace_id

    def is_trace_id_random(self) -> bool:
        """A digest is as good as random; generators of older SDKs have no such question."""
        if _next_ids.get() is not None:
            return True
        return bool(getattr(self.original, "is_trace_id_random", lambda: False)())


class AttemptSpan:
    """The span of an attempt that is being executed."""

    __slots__ = ("_span", "outcome")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.outcome = CALLED_OFF

    def ended(self, completion: Completion) -> None:
        error = completion.error
        self.outcome = COMPLETED if error is None else FAILED
        if error is None:
            self._span.set_attribute("jetfleet.port", completion.port)
        else:
            _fail(self._span, error.type)


class Tracing:
    """`tracer`: of an OpenTelemetry SDK; None: off. `on` tells, and nothing else here may be called while it is False."""

    __slots__ = ("_tracer", "on")

    def __init__(self, tracer: Any = None) -> None:
        """Raises TypeError for a tracer whose ids cannot be chosen: one that is not of the SDK."""
        self.on = tracer is not None
        self._tracer = tracer
        if tracer is None:
            return
        if not hasattr(tracer, "id_generator"):
            raise TypeError(f"{type(tracer).__name__} is no tracer of the OpenTelemetry SDK: the ids of its spans cannot be chosen")
        if not isinstance(tracer.id_generator, DerivedIds):  # a provider gives out the same tracer again and again
            tracer.id_generator = DerivedIds(tracer.id_generator)

    def run_ended(self, run: str, summary: Summary) -> None:
        """Write the span of a run, from its start to its end."""
        own = self._own(run, summary.trace, summary.flow)
        publisher = parse(summary.trace)
        attributes: dict[str, Any] = {"jetfleet.run": run, "jetfleet.flow": summary.flow, "jetfleet.outcome": summary.status}
        if summary.version:
            attributes["jetfleet.version"] = summary.version
        if summary.parent:
            attributes["jetfleet.parent"] = summary.parent
        token = _next_ids.set(own)
        try:
            span: Span = self._tracer.start_span(
                f"run {summary.flow}", Context() if publisher is None else _below(publisher), SpanKind.INTERNAL, attributes,
                start_time=summary.started_at * MS_NS,
            )  # fmt: skip
        finally:
            _next_ids.reset(token)
        if summary.status != COMPLETED:
            _fail(span, summary.error.type if summary.error is not None else summary.status)
        span.end(summary.ended_at * MS_NS)

    @contextmanager
    def attempt(self, task: Task, plan: Plan, node: PlanNode) -> Iterator[AttemptSpan]:
        """The span of an attempt, current while the block runs. One that is left without `ended` was called off."""
        attributes: dict[str, Any] = {
            "jetfleet.run": task.run, "jetfleet.flow": plan.name, "jetfleet.node": node.id, "jetfleet.type": node.type,
            "jetfleet.attempt": task.attempt, "jetfleet.queue": node.queue or QUEUE_DEFAULT,
        }  # fmt: skip
        parent = _below(self._own(task.run, task.trace, plan.name))
        span: Span = self._tracer.start_span(f"node {node.id}", parent, SpanKind.CONSUMER, attributes)
        attempt = AttemptSpan(span)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield attempt
        finally:
            span.set_attribute("jetfleet.outcome", attempt.outcome)
            span.end()

    def child_trace(self, run: str, traceparent: str, flow: str) -> str:
        """The traceparent that a sub-flow's run, or an event that this run emits, is to be started with."""
        return str(self._own(run, traceparent, flow))

    def _own(self, run: str, traceparent: str, flow: str) -> TraceParent:
        """The run's span. Where nobody decided whether its trace is sampled, every process asks the same sampler about the same id."""
        own = run_span(run, traceparent)
        if parse(traceparent) is not None:
            return own
        decided = self._tracer.sampler.should_sample(Context(), own.trace_id, f"run {flow}", SpanKind.INTERNAL)
        return run_span(run, "", decided.decision.is_sampled())


OFF = Tracing()


def _below(parent: TraceParent) -> Context:
    context = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))
    return trace.set_span_in_context(NonRecordingSpan(context), Context())


def _fail(span: Span, type: str) -> None:
    span.set_attribute("error.type", type)
    span.set_status(Status(StatusCode.ERROR, type))
