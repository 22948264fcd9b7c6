"""The collector by itself: whatever comes, every event is in exactly one collection, and each closes when its rules say."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.engine import collector as engine
from jetfleet.broker.engine.collector import EVENTS_MAX, Collection, Collector
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from jetfleet.schemas.payload import NULL, decode, encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import BATCH, DEBOUNCE, Plan, PlanCollecting
from jetfleet.schemas.records import RunStarted

QUIET, LONGEST, WITHIN = 100, 350, 200
RULES = {
    "debounce": PlanCollecting(DEBOUNCE, QUIET),
    "bounded": PlanCollecting(DEBOUNCE, QUIET, LONGEST),
    "batch": PlanCollecting(BATCH, WITHIN, most=4),
}
STEPS = st.lists(st.tuples(st.sampled_from(["event", "timer", "kept"]), st.integers(0, 160)), max_size=60)


def event(number: int, at: int, payload: object = None, meta: object = None) -> RunStarted:
    value = {"n": number} if payload is None else payload
    return RunStarted(f"orders-{number}", at, "orders", "d1", "go", encode(value), NULL if meta is None else encode(meta))


def reopened(collector: Collector) -> Collector:
    """As a new owner finds it in a snapshot."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(collector), type=Collector)


def version(digest: str, **settings: object) -> Plan:
    flow = {"name": "orders", "settings": settings, "nodes": {"a": {"type": "std::log"}}}
    plan = compile_flow(Flow.model_validate(flow))
    plan.digest = digest
    return plan


def times(collection: Collection, came: dict[str, int]) -> list[int]:
    return [came[id] for id in collection.events]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@given(steps=STEPS)
def test_every_event_is_in_one_collection_that_closes_by_its_rules(rules: PlanCollecting, steps: list[tuple[str, int]]) -> None:
    collector, now, came = Collector("collect/orders/", "orders"), 1_000, dict[str, int]()
    for number, (what, later) in enumerate(steps):
        now += later
        if what == "event":
            came[f"orders-{number}"] = now
            engine.collect(collector, event(number, now), now, rules)
        elif what == "timer":
            engine.timer_fired(collector, now)
        else:
            collector = reopened(collector)
        assert collector.due is None or collector.open is not None
    closed = list(collector.closed)
    collections = closed + ([collector.open] if collector.open is not None else [])
    assert [id for collection in collections for id in collection.events] == list(came)
    for collection in collections:
        at = times(collection, came)
        assert (collection.run, collection.count, collection.first_at, collection.last_at) == (collection.events[0], len(at), at[0], at[-1])
        if rules.mode == DEBOUNCE:
            assert all(late - early < QUIET for early, late in pairwise(at))
            assert not rules.longest_ms or at[-1] - at[0] < LONGEST
            assert [decode(payload) for payload in collection.payloads] == [{"n": int(collection.events[-1].removeprefix("orders-"))}]
        else:
            assert len(at) <= rules.most and at[-1] - at[0] < WITHIN
            assert len(collection.payloads) == len(at)
    for collection in closed:
        at = times(collection, came)
        full = rules.mode == BATCH and len(at) == rules.most
        assert collection.closed_at == at[-1] if full else collection.closed_at >= collection.due


def test_a_batch_closes_before_it_is_too_large_to_travel() -> None:
    collector, rules = Collector("collect/orders/", "orders"), PlanCollecting(BATCH, WITHIN, most=1_000)
    half = "x" * (PAYLOAD_INLINE_MAX_BYTES // 2 - 100)
    for number in range(5):
        engine.collect(collector, event(number, 1_000, half), 1_000, rules)
    assert [collection.count for collection in collector.closed] == [2, 2] and collector.open is not None and collector.open.count == 1
    assert all(len(engine.start_of(collection, None).payload) <= PAYLOAD_INLINE_MAX_BYTES for collection in collector.closed)


def test_a_debounce_remembers_the_latest_of_very_many_events() -> None:
    collector = Collector("collect/orders/", "orders")
    for number in range(EVENTS_MAX + 5):
        engine.collect(collector, event(number, 1_000), 1_000, RULES["debounce"])
    assert collector.open is not None and collector.open.count == EVENTS_MAX + 5
    assert (len(collector.open.events), collector.open.events[0]) == (EVENTS_MAX, "orders-5")


def test_a_debounced_run_gets_the_last_event_and_a_batched_one_the_list() -> None:
    for mode, payload, headers in (("debounce", {"n": 2}, "third"), ("batch", [{"n": 0}, {"n": 1}, {"n": 2}], "first")):
        collector = Collector("collect/orders/", "orders")
        for number, said in enumerate(("first", "second", "third")):
            engine.collect(collector, event(number, 1_000 + number, meta={"said": said}), 1_000 + number, RULES[mode])
        engine.close(collector, 1_500)
        start = engine.start_of(collector.closed[0], None)
        assert (start.run, start.at, start.digest, decode(start.payload)) == ("orders-0", 1_500, "d1", payload)
        assert decode(start.meta) == {"said": headers, "collected": {"count": 3, "first_at": 1_000, "last_at": 1_002}}


def test_a_collection_starts_in_the_current_version_unless_that_one_collects_in_another_way() -> None:
    collector = Collector("collect/orders/", "orders")
    engine.collect(collector, event(0, 1_000), 1_000, RULES["batch"])
    engine.close(collector, 1_200)
    collection = collector.closed[0]
    alike, other, none = (
        version("d2", batch={"max": 7, "within": "1h"}), version("d3", debounce={"quiet": "1s"}), version("d4"),
    )  # fmt: skip
    assert [engine.start_of(collection, plan).digest for plan in (alike, other, none, None)] == ["d2", "d1", "d1", "d1"]


def test_what_the_rules_became_closes_what_was_gathered_by_others() -> None:
    collector = Collector("collect/orders/", "orders")
    engine.collect(collector, event(0, 1_000), 1_000, RULES["batch"])
    engine.collect(collector, event(1, 1_001), 1_001, RULES["debounce"])
    assert [collection.mode for collection in collector.closed] == [BATCH]
    assert collector.open is not None and collector.open.mode == DEBOUNCE
    assert engine.started(collector, "orders-0") and not engine.started(collector, "orders-0") and not collector.closed
