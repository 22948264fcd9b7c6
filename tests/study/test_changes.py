"""What the steps of a journal changed, added up, is how the run is at the end: for random programs, in random orders of completion."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jetfleet.broker.engine import fold, nodes
from jetfleet.broker.study.phases import phases
from jetfleet.broker.study.steps import steps

from ..engine.driving import compiled
from ..engine.playing import Player
from ..engine.programs import Program, definition
from ..engine.strategies import programs

VALUES = st.sampled_from([{"n": 5, "items": [{"n": 1}, {"n": 95}]}, {"n": 60, "items": []}, {"n": 99, "items": [{"n": 50}] * 5}, None])


@settings(max_examples=100, derandomize=True, deadline=None)
@given(programs(), VALUES, st.integers(0, 2**32 - 1))
def test_the_changes_of_all_steps_add_up_to_the_statuses_at_the_end(program: Program, value: Any, seed: int) -> None:
    plan = compiled(definition(program))
    journal = Player(program, plan, value, seed, keep=True).play().journal
    known: dict[str, str] = {}
    for step in steps(plan, journal):
        for change in step.changes:
            begins_anew = change.node != "run" and change.before == "pending"  # an instance in a scope that was retried
            assert begins_anew or known.get(change.node, "–") == change.before
            known[change.node] = change.after
    views = nodes(fold(plan, journal, keep=True))
    begun = {key: view.status for key, view in views.items() if view.status not in ("pending", "skipped")}
    assert begun == {key: known.get(key) for key in begun}
    for key, each in phases(plan, journal).items():
        assert each.took_ms >= 0 and each.status == known[key]
