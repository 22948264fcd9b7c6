"""What is wrong with a trigger, and what to do about it, in one line."""

from __future__ import annotations

from ...schemas.messages import RUNNING
from ..api.triggers import TriggerView
from ..triggers.catalogue import COORDINATORS, ON_CALL


def trouble(view: TriggerView) -> str:
    """Why the trigger does not do its part; "" where it does, or where somebody decided that it should not."""
    if view.state != RUNNING:
        return ""
    if view.error:
        return view.error
    if view.served or view.type in ON_CALL:
        return ""
    if view.type in COORDINATORS:
        return "nobody serves it: coordinators do, and none says so; start `jetfleet coordinator`"
    return "nobody serves it: start `jetfleet trigger serve`"
