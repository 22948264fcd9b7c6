"""The oracle: how each run of a simulation must have ended, by an interpreter that shares no line with the engine.

    a run that nobody steered      status and output are the interpreter's; if it failed, by one of the errors that it allows; and what
                                   each activation put out is what it must have put out
    a run that was cancelled       ended cancelled, or as it would have without (it was over before)
    a flow with a limit of n       the log never shows more than n of its runs between grant and release

What depends on who came first (a merge of any) is read from the run and checked for being possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jetfleet.broker.engine import Run, nodes
from jetfleet.broker.engine.folding import fold
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.messages import Summary
from jetfleet.schemas.records import CancelRequested, RunStarted, SlotReleased, SlotWanted
from jetfleet.schemas.values import MISSING

from ...engine.programs import timeless
from ...engine.reference import interpret
from ..evidence import Evidence
from .programs import SimulatedFlow

_STEERED = {"cancelled", "killed"}


def complaints(evidence: Evidence, flows: Mapping[str, SimulatedFlow]) -> list[str]:
    """What is not as it must be, in words."""
    found: list[str] = []
    for run, summary in evidence.ends.items():
        flow = flows.get(summary.flow)
        if flow is not None and run in evidence.journals:
            found += [f"oracle: {run}: {what}" for what in _of_run(evidence, flow, run, summary)]
    for flow in flows.values():
        found += [f"oracle: {what}" for what in _of_limit(evidence, flow)]
    return found


def _of_run(evidence: Evidence, flow: SimulatedFlow, run: str, summary: Summary) -> Iterator[str]:
    journal = list(evidence.journals[run])
    first = journal[0]
    if not isinstance(first, RunStarted):
        yield f"its journal begins with {type(first).__name__}"
        return
    if summary.status in _STEERED:
        if not any(isinstance(record, CancelRequested) for record in journal):
            yield f"ended {summary.status}, and nobody asked for it"
        return
    state = fold(evidence.plans[first.digest], journal, True)
    try:
        expected = interpret(flow.program, payloads.decode(first.payload), lambda name: _put_out(state, name))
    except AssertionError as error:
        yield f"something impossible was put out: {error}"
        return
    if summary.status != expected.status:
        yield f"ended {summary.status} ({summary.error}), and should have {expected.status} {sorted(expected.faults)}"
    elif summary.status == "completed":
        output = payloads.decode(summary.output)
        if timeless(output) != timeless(expected.output):
            yield f"put out {output}, and should have {expected.output}"
        yield from _of_activations(state, expected.outputs, expected.unsure)
    elif summary.error is None or (_origin(summary.error.node), summary.error.type) not in expected.faults:
        yield f"failed by {summary.error}, and could only by {sorted(expected.faults)}"


def _of_activations(state: Run, outputs: Mapping[str, Any], unsure: set[str]) -> Iterator[str]:
    views = nodes(state).items()
    completed = {name: timeless(payloads.decode(view.output or b"")) for name, view in views if view.status == "completed"}
    sure = {name: output for name, output in completed.items() if name.split("[")[0] not in unsure and name[0] != "u"}
    wanted = {name: timeless(output) for name, output in outputs.items() if name.split("[")[0] not in unsure}
    for name in sorted(sure.keys() | wanted.keys()):
        if sure.get(name, MISSING) != wanted.get(name, MISSING):
            yield f"{name} put out {sure.get(name, 'nothing')}, and should have {wanted.get(name, 'nothing')}"


def _put_out(state: Run, name: str) -> Any:
    view = nodes(state).get(name)
    return MISSING if view is None or view.status != "completed" or view.output is None else payloads.decode(view.output)


def _origin(node: str | None) -> str:
    """The node of an error, without its iterations."""
    return (node or "").split("[")[0]


def _of_limit(evidence: Evidence, flow: SimulatedFlow) -> Iterator[str]:
    """Who asked first is served first and holds its slot until it gives it back; so a run that began without one to be had shows.

    A run's first effect is held against the effects of the others: with a limit of n, no more than n runs may have effects both before and
    after that moment.
    """
    if not flow.at_once:
        return
    spans: dict[str, tuple[int, int]] = {}
    for effect in evidence.account.effects:
        if effect.run.startswith(f"{flow.name}-") and "." not in effect.run:
            first, _ = spans.get(effect.run, (effect.at_ns, 0))
            spans[effect.run] = first, effect.at_ns
    ended = _released(evidence, flow)
    for run, (first, _) in spans.items():
        beside = [other for other, (begun, last) in spans.items() if other != run and begun <= first < min(last, ended.get(other, last))]
        if len(beside) >= flow.at_once:
            yield f"{run} began beside {sorted(beside)}, and {flow.name} lets {flow.at_once} begin at once"


def _released(evidence: Evidence, flow: SimulatedFlow) -> dict[str, int]:
    """When each run gave its slot back: what a worker that was taken for dead still does after that is no run at work."""
    wanted = {entry.record.holder for entry in evidence.entries if isinstance(entry.record, SlotWanted)}
    return {
        entry.record.holder: entry.at_ns
        for entry in evidence.entries
        if isinstance(entry.record, SlotReleased) and entry.record.holder in wanted
    }
