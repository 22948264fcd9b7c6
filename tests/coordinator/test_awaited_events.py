"""Awaited events: an event finds the runs that may wait for it by its fields, and no others."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from jetfleet.broker.coordinator.awaited_events import AwaitedEvents
from jetfleet.broker.engine.event_waits import Correlation
from jetfleet.schemas.payload import encode

PATHS = [(), ("order",), ("order", "customer.id"), ("customer.id",)]


def correlation(paths: tuple[str, ...], chance: Random) -> Correlation:
    return tuple((path, str(chance.randrange(5))) for path in paths)


def fits(wait: Correlation, order: int, customer: int) -> bool:
    texts = {"order": str(order), "customer.id": str(customer)}
    return all(texts[path] == text for path, text in wait)


@pytest.mark.parametrize("seed", range(5))
def test_the_candidates_are_the_runs_with_a_matching_wait(seed: int) -> None:
    chance, awaited = Random(seed), AwaitedEvents()
    waits: set[tuple[str, str, Correlation]] = set()
    for _ in range(400):
        wait = (f"r/{chance.randrange(60)}", chance.choice(["paid", "sent"]), correlation(chance.choice(PATHS), chance))
        if chance.random() < 0.7:
            awaited.add(*wait)
            waits.add(wait)
        elif waits:
            gone = chance.choice(sorted(waits))
            awaited.discard(*gone)
            waits.discard(gone)
        awaited.discard("r/nobody", "paid", wait[2])
    for event in ("paid", "sent"):
        for order in range(5):
            for customer in range(5):
                expected = {run for run, name, wait in waits if name == event and fits(wait, order, customer)}
                payload = encode({"order": order, "customer": {"id": str(customer)}})
                assert awaited.candidates(event, payload) == sorted(expected)
    for wait in waits:
        awaited.discard(*wait)
    assert len(awaited) == 0


@pytest.mark.parametrize("value", [None, 7, {}, {"order": None}, {"orders": "7"}, b"\x00"])
def test_an_event_without_the_field_is_for_those_that_correlate_with_nothing(value: Any) -> None:
    awaited = AwaitedEvents()
    awaited.add("r/1", "paid", (("order", "7"),))
    awaited.add("r/2", "paid", ())
    assert awaited.candidates("paid", encode(value)) == ["r/2"]
    assert awaited.candidates("paid", b"\xc1") == ["r/2"]
    assert awaited.candidates("another", encode({"order": "7"})) == []
