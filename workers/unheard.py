"""Unheard: signals that were sent with a run's start and moved nothing, which is a typing error more often than not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..broker.engine import refusal
from ..broker.engine.answers import answer_of
from ..broker.engine.waits import APPROVAL
from ..schemas.payload import encode
from ..schemas.records import SignalReceived
from .local_run import LocalRun


def unheard(run: LocalRun, sent: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """A line for each of the signals that the ended run has ignored or never taken."""
    rare = run.state.rare_
    left = {} if rare is None else {name: list(kept) for name, kept in rare.signals.items()}
    for name, value in sent:
        payload = encode(value)
        kept = left.get(name, [])
        if (APPROVAL, name) in run.errands.awaited and answer_of(payload) is None:
            yield f"signal {name} was ignored: {_decision(value)} is no decision; write approve, reject or escalate"
        elif why := refusal(run.state, SignalReceived(run.id, 0, name, payload)):
            yield f"signal {name} was ignored: {why.partition(': ')[2]}"
        elif payload in kept:
            kept.remove(payload)
            yield f"nothing waited for signal {name}"


def _decision(value: Any) -> str:
    if isinstance(value, dict):
        return repr(value["decision"]) if "decision" in value else "an answer without a `decision`"
    return repr(value)
