"""Values that lie elsewhere, in a run as it is run: what the engine cannot look into, workers decide, and the result is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jetfleet.schemas.source.loader import parse_flow
from jetfleet.workers import LocalRunner, Registry, node

registry = Registry()

ROWS = [{"id": number, "text": "x" * 40} for number in range(60)]


@node("far.load", registry=registry, idempotent=True)
async def load(value: Any) -> Any:
    return {"rows": ROWS, "by_id": {f"s{row['id']}": row for row in ROWS}, "n": 1}


@node("far.other", registry=registry)
async def other(value: Any) -> Any:
    return {"by_id": {"s7": {"seen": True}, "new": {"text": "y" * 2_000}}}


@node("far.id", registry=registry)
async def identify(row: Any) -> Any:
    return row["id"]


FLOW: dict[str, Any] = {
    "name": "far",
    "nodes": {
        "load": {"type": "far.load"},
        "other": {"type": "far.other"},
        "chosen": {"type": "std::switch", "config": {"condition": {"type": "equals", "field": "rows[7].id", "value": "${other.by_id.s7.seen}"}}},
        "seventh": {"type": "std::switch", "config": {"condition": "rows[7].id == 7"}},
        "each": {"type": "std::split", "config": {"field": "rows", "mode": "parallel", "max_parallel": 8}},
        "batch": {"type": "std::split", "config": {"field": "rows", "mode": "batched", "batch_size": 25}},
        "id": {"type": "far.id"},
        "size": {"type": "std::aggregate", "config": {"operation": "count", "source": {"type": "array", "array_path": "$", "value_field": "id"}, "output_field": "n"}},
        "merged": {"type": "std::merge", "config": {"output": "deep_merge"}},
    },
    "edges": [
        {"from": "load", "to": "other"},
        {"from": "load", "to": "seventh"},
        {"from": "seventh.true", "to": "each"},
        {"from": "each.item", "to": "id"},
        {"from": "load", "to": "batch"},
        {"from": "batch.item", "to": "size"},
        {"from": "load", "to": "merged"},
        {"from": "other", "to": "merged"},
        {"from": "merged", "to": "chosen"},
    ],
    "outputs": {"ids": "${each}", "sizes": "${batch}", "merged": "${merged.by_id}", "last": "${load.rows[59].id}"},
}  # fmt: skip


@pytest.mark.parametrize("inline_max", ["1KiB", "256KiB"])
async def test_a_flow_gives_the_same_whether_its_values_travel_by_reference_or_not(inline_max: str) -> None:
    loaded = parse_flow(json.dumps({**FLOW, "payloads": {"inline_max": inline_max}}).encode(), known_types=registry.node_types())
    assert loaded.plan is not None, loaded.problems
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(loaded.plan, {})
        result = await run.result()
        assert result.completed, result.error
        switch = (loaded.plan.by_id["seventh"],)
        decided_by_a_worker = any(getattr(record, "activation", ()) == switch for record in run.journal)
        assert decided_by_a_worker == (inline_max == "1KiB")
    output: Any = result.output
    assert output["ids"] == [row["id"] for row in ROWS] and output["last"] == 59
    assert [size["n"] for size in output["sizes"]] == [25, 25, 10]
    assert output["merged"]["s7"] == {**ROWS[7], "seen": True} and len(output["merged"]) == 61
    assert run.nodes()["chosen"].port == "false"
