"""The doctor's look at triggers: those that nobody serves, that fail, that somebody has paused or disabled; and what waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...schemas import subjects
from ...schemas.messages import DISABLED, PAUSED, RUNNING
from ..api.triggers import TriggerView
from .checkup import Checkup
from .finding import Finding
from .printing import moment
from .trigger_trouble import trouble

CHECK = "triggers"


def triggers(found: Checkup) -> Iterator[Finding]:
    running = [view for view in found.triggers if view.state == RUNNING]
    troubled = [view for view in running if trouble(view) and not (found.may_serve(view) and not view.error)]
    for view in troubled:
        yield Finding(CHECK, "bad", f"{_name(view)} ({view.type}): {trouble(view)}")
    for view in found.triggers:
        if view.state in (PAUSED, DISABLED) and view.in_flow:
            yield Finding(CHECK, "note", _decided(found, view))
    if not troubled:
        yield Finding(CHECK, "ok", _well(running))


def _well(running: Sequence[TriggerView]) -> str:
    served = sum(bool(view.served) for view in running)
    if served == len(running):
        return f"all {served} that run are served" if served else "none is to be served"
    return f"{served} of {len(running)} that run are served, the others need nobody"


def _decided(found: Checkup, view: TriggerView) -> str:
    said = f"{_name(view)} is {view.state} since {moment(view.since)}" + (f" ({view.reason})" if view.reason else "")
    waiting = sum(found.event_messages.get(subject, 0) for subject in _subjects(found, view))
    waits = f"; {waiting:,} {'message' if waiting == 1 else 'messages'} of its events wait" if waiting else ""
    verb = "resume" if view.state == PAUSED else "enable"
    return f"{said}{waits}; `jetfleet trigger {verb} {view.flow} {view.id}` ends that"


def _subjects(found: Checkup, view: TriggerView) -> list[str]:
    """Those of its events: also the one that names no trigger, if it is the flow's only one."""
    others = [each for each in found.triggers if each.flow == view.flow and each.in_flow and each.id != view.id]
    return [subjects.event(view.flow, view.id)] + ([] if others else [subjects.event(view.flow)])


def _name(view: TriggerView) -> str:
    return f"{view.flow}.{view.id}"
