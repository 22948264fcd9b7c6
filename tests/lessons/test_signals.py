"""Lessons on signals and events: early, out of order, repeated, sent while nobody is there."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas.records import SignalReceived

from ..fleet.fleets import flow
from .killing import Life, Steps, lesson


def wait(signal: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::wait", "config": {"signal": signal, **config}}


@lesson
async def test_two_signals_that_are_awaited_at_once_come_in_any_order(life: Life) -> Steps:
    nodes = {"start": {"type": "std::merge"}, "a": wait("paid"), "b": wait("packed"), "both": {"type": "std::merge"}}
    await life.deploy(flow("both-signals", nodes, ["start -> a", "start -> b", "a -> both", "b -> both"]))
    orders = (("paid", "packed"), ("packed", "paid"))
    runs = [await life.send("both-signals", n) for n in range(2)]
    for id in runs:
        await life.waits(id, 2)
    yield None
    for place in range(2):
        for id, order in zip(runs, orders, strict=True):
            await life.client.signal(id, order[place], order[place].upper(), id=order[place])
        yield None
    for id in runs:
        said = await life.output(id)
        assert {key: value["response"] for key, value in said.items()} == {"a": "PAID", "b": "PACKED"}
        assert life.kinds(id) == ["RunStarted", "SignalReceived", "SignalReceived"]
