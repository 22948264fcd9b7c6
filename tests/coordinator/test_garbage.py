"""The garbage collector of our processes: what it has looked at for long it looks at no more, and nothing leaks by that."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from jetfleet.broker import garbage
from jetfleet.broker.coordinator.open_run import OpenRun
from jetfleet.broker.engine import begin, decide, snapshot
from jetfleet.broker.engine.state import Run, Scope
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import CancelRequested, Completion, RunStarted

ITEMS = compile_flow(
    Flow.model_validate(
        {
            "name": "items",
            "triggers": [{"id": "go", "type": "manual"}],
            "nodes": {"each": {"type": "std::split", "config": {"field": "$", "mode": "parallel"}}, "work": {"type": "x.work"}},
            "edges": [{"from": "go", "to": "each"}, {"from": "each.item", "to": "work"}],
        }
    )
)


@pytest.fixture
def collector() -> Iterator[None]:
    """As it was, when the test is over."""
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks[:] = callbacks
    gc.enable()
    gc.unfreeze()


def begun() -> Run:
    return begin(ITEMS, RunStarted("items/1", 1, "items", ITEMS.digest, "go", encode([1, 2, 3])))[0]


def states() -> int:
    return sum(type(one) in (Run, Scope) for one in gc.get_objects())


def test_what_survived_a_long_collection_is_not_looked_at_again(collector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    of_others = states()
    garbage.collect_rarely()
    garbage.freeze_what_lasts()
    monkeypatch.setattr(garbage, "LONG_S", 0.0)
    kept = [begun() for _ in range(10)]
    there = states()
    assert there >= 4 * len(kept)
    gc.collect()
    assert states() == 0, "they are frozen, and the collector does not know of them"
    garbage.thaw()
    assert states() == there + of_others


def test_a_short_collection_freezes_nothing(collector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage.collect_rarely()
    garbage.freeze_what_lasts()
    monkeypatch.setattr(garbage, "LONG_S", 60.0)
    kept, frozen = begun(), gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() <= frozen and not kept.ended


def test_where_code_of_others_runs_its_circles_are_freed_however_long_they_lived(collector: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LONG_S", 0.0)
    garbage.collect_rarely()
    ring: list[object] = [type("Told", (), {})()]
    ring.append(ring)
    freed = weakref.ref(ring[0])
    gc.collect()
    del ring
    gc.collect()
    assert freed() is None


def test_runs_leave_no_circles_behind_when_they_end_or_rest(collector: None) -> None:
    gc.collect()
    of_others = states()
    gc.disable()
    killed, completed, resting = begun(), begun(), OpenRun.begun(begun(), 1)
    decide(killed, CancelRequested("items/1", 2, kill=True))
    for item in range(3):
        decide(completed, Completion("items/1", 2, (ITEMS.node("work").index, item), 1, output=encode(item)))
    assert (killed.status, completed.status) == ("killed", "completed")
    resting.rest(snapshot(resting.run))
    del killed, completed
    assert states() == of_others
