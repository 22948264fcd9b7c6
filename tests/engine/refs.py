"""Refs by hand: values that lie elsewhere, as far as an engine can tell."""

from __future__ import annotations

from itertools import count
from typing import Any

from jetfleet.schemas.records import Completion, Error
from jetfleet.schemas.ref import Ref

from .driving import Driver

_entries = count()

CHAIN = "nodes: {p: {type: x.p}, c: {type: x.c}, d: {type: x.d}}\nedges: [{from: p, to: c}, {from: c, to: d}]"


def a_ref(run: Driver | None = None, name: str = "", *, items: int | None = None, again: bool = True, **fields: Any) -> Ref:
    """The ref to an entry of its own, written by the named activation of the run."""
    written: dict[str, Any] = {} if run is None else {"run": "r1", "activation": run.address(name)}
    return Ref(
        "list" if items is not None else "msgpack",
        1_000,
        7,
        "host-a",
        "w1",
        1,
        next(_entries),
        count=items,
        again=again,
        **written,
        **fields,
    )


def lose(run: Driver, name: str, *refs: Ref) -> None:
    """The worker that has the activation finds the payloads behind these refs nowhere."""
    task = run.open.pop(name)
    producers = [{"run": ref.run, "activation": list(ref.activation), "again": ref.again} for ref in refs]
    error = Error("payload_lost", "the bytes are nowhere", False, details={"producers": producers})
    run.give(Completion("r1", run.now, task.activation, task.attempt, error=error))


def lost_once(flow: str = CHAIN, **written: Any) -> tuple[Driver, Ref]:
    """A run in which p's output was lost when c wanted it."""
    run = Driver(flow)
    old = a_ref(run, "p", **written)
    run.complete("p", {"table": old, "n": 1})
    lose(run, "c", old)
    return run, old
